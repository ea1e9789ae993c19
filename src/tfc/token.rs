//! A token's value: wiped when dropped, and shown only by a call that says so.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The longest value that is taken, in bytes. TFC's tokens are about 90 characters, a signed one (JWT) of a compatible server some
/// hundred; what is longer is a wrong file.
const MAX_BYTES: usize = 4096;

/// The value of a token of TFC.
///
/// It has no `Clone`, `PartialEq`, `Display` or `Serialize`, its `Debug` shows nothing, and its memory is wiped when it is dropped.
/// (Copies inside the HTTP and TLS libraries are out of reach.)
pub struct TokenValue(Zeroizing<String>);

/// Why a string is no token. It never repeats the string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenValueError {
    /// Nothing, or nothing but white space.
    #[error("the token is empty; put the token's value there")]
    Empty,
    /// White space within.
    #[error(
        "the token has white space inside; store the bare value, without quotes, line breaks, or the word Bearer before it"
    )]
    WhiteSpace,
    /// Characters that no HTTP header takes.
    #[error("the token has characters that no token has (only printable ASCII is allowed); store the bare value")]
    NotPrintable,
    /// Longer than any token.
    #[error("the token is longer than 4096 bytes, so it is none; store the bare value")]
    TooLong,
}

impl TokenValue {
    /// Takes a value as it stands in a Secret: line breaks and blanks around it, which files tend to end with, are dropped.
    ///
    /// # Errors
    /// If what is left can't be sent as a bearer token; the error says what to do about it.
    pub fn new(value: impl Into<String>) -> Result<TokenValue, TokenValueError> {
        let value = Zeroizing::new(value.into());
        let bare = value.trim();
        if bare.is_empty() {
            return Err(TokenValueError::Empty);
        }
        if bare.len() > MAX_BYTES {
            return Err(TokenValueError::TooLong);
        }
        if bare.chars().any(char::is_whitespace) {
            return Err(TokenValueError::WhiteSpace);
        }
        if !bare.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenValueError::NotPrintable);
        }
        Ok(TokenValue(Zeroizing::new(bare.to_owned())))
    }

    /// The value itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `sha256:` and the hexadecimal hash of `salt`, a zero byte and the value: tells later whether a stored value is still this one.
    #[must_use]
    pub fn digest(&self, salt: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(salt.as_bytes());
        hash.update([0]);
        hash.update(self.0.as_bytes());
        format!("sha256:{}", HEXLOWER.encode(&hash.finalize()))
    }

    /// Whether `digest` was made of this value with this salt. Takes the same time wherever the two differ.
    #[must_use]
    pub fn matches(&self, salt: &str, digest: &str) -> bool {
        let own = self.digest(salt);
        own.len() == digest.len()
            && own.bytes().zip(digest.bytes()).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
    }
}

impl fmt::Debug for TokenValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenValue(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_line_break_is_dropped_and_what_can_be_no_token_is_refused() {
        assert_eq!(TokenValue::new("abc.atlasv1.def\n").expect("a token").expose(), "abc.atlasv1.def");
        assert_eq!(TokenValue::new(" abc\r\n").expect("a token").expose(), "abc");
        for (value, why) in [
            ("", TokenValueError::Empty),
            (" \n", TokenValueError::Empty),
            ("Bearer abc", TokenValueError::WhiteSpace),
            ("abc\ndef", TokenValueError::WhiteSpace),
            ("abc\u{a0}def", TokenValueError::WhiteSpace),
            ("abc\0def", TokenValueError::NotPrintable),
            ("äbc", TokenValueError::NotPrintable),
        ] {
            assert_eq!(TokenValue::new(value).expect_err("no token"), why, "{value:?}");
        }
        assert_eq!(TokenValue::new("a".repeat(5000)).expect_err("no token"), TokenValueError::TooLong);
    }

    #[test]
    fn debug_shows_nothing() {
        let value = TokenValue::new("verysecret").expect("a token");
        assert_eq!(format!("{value:?} {value:#?}"), "TokenValue(..) TokenValue(..)");
    }

    #[test]
    fn a_digest_is_of_one_salt_and_one_value() {
        let value = TokenValue::new("value").expect("a token");
        let digest = value.digest("salt");
        // printf 'salt\0value' | sha256sum
        assert_eq!(digest, "sha256:d5822b13fbf3d5a4c69a9c54a2a62544d48b1839f827258b3bc8d2fa01f4b36a");
        assert!(value.matches("salt", &digest));
        assert!(!value.matches("other", &digest));
        assert!(!value.matches("salt", "sha256:"));
        assert!(!value.matches("salt", ""));
        assert!(!TokenValue::new("valuf").expect("a token").matches("salt", &digest));
    }
}
