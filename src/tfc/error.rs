//! What a call can end in. The kind decides what happens next; the words are for a person.

use std::fmt;
use std::time::Duration;

/// The longest text of TFC's that is passed on, in characters.
const MAX_WORDS: usize = 256;

/// What an error means for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 401: something is wrong with the caller's token itself, and nothing else (API page "API Overview").
    Unauthorized,
    /// 404: there is no such thing, or the caller may not see it; TFC makes no difference. Also a name that is on no page of a list.
    Hidden,
    /// 403.
    Forbidden,
    /// 429, again and again; nothing happened.
    Limited {
        /// How long TFC asked to wait.
        after: Duration,
    },
    /// TFC or this client refused the request for what it says (400, 409, 415, 422 and the like, or a redirect): repeating is no use, nothing happened.
    Rejected,
    /// Nothing happened: no connection (DNS, TCP, TLS), or a read that brought no answer of TFC's.
    Unavailable,
    /// A mutating request may have been acted on: no answer, half an answer, a 5xx, or an answer that can't be understood.
    Ambiguous,
    /// A read was answered with something that is not the API's: not JSON:API, cut short, or enormous.
    Malformed,
}

impl Kind {
    /// A metric's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Kind::Unauthorized => "unauthorized",
            Kind::Hidden => "hidden",
            Kind::Forbidden => "forbidden",
            Kind::Limited { .. } => "limited",
            Kind::Rejected => "rejected",
            Kind::Unavailable => "unavailable",
            Kind::Ambiguous => "ambiguous",
            Kind::Malformed => "malformed",
        }
    }
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What it means.
    pub kind: Kind,
    /// TFC's title and detail, or this client's own sentence; printable, at most 256 characters, without any token.
    pub words: String,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// The id of a token that was made though its value is lost (a 201 without a token).
    pub token_id: Option<String>,
    /// Whether the same read may be tried again at once: the connection broke or the server stumbled.
    pub(super) again: bool,
}

impl Error {
    pub(super) fn new(kind: Kind, words: impl AsRef<str>) -> Error {
        Error { kind, words: printable(words.as_ref(), MAX_WORDS), status: None, token_id: None, again: false }
    }

    pub(crate) fn rejected(words: impl AsRef<str>) -> Error {
        Error::new(Kind::Rejected, words)
    }

    pub(super) fn hidden(words: impl AsRef<str>) -> Error {
        Error::new(Kind::Hidden, words)
    }

    pub(super) fn with_status(self, status: u16) -> Error {
        Error { status: Some(status), ..self }
    }

    pub(super) fn with_token_id(self, id: Option<String>) -> Error {
        Error { token_id: id, ..self }
    }

    pub(super) fn once_more(self) -> Error {
        Error { again: true, ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{} ({status})", self.words),
            None => f.write_str(&self.words),
        }
    }
}

impl std::error::Error for Error {}

/// Whether a request changes anything, and so what not knowing its fate means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// GET.
    Read,
    /// POST and DELETE.
    Write,
}

impl Effect {
    /// The kind of a request that was sent and has no usable outcome.
    pub fn unknown(self) -> Kind {
        match self {
            Effect::Read => Kind::Unavailable,
            Effect::Write => Kind::Ambiguous,
        }
    }

    /// The kind of a success whose body can't be used.
    pub fn undecodable(self) -> Kind {
        match self {
            Effect::Read => Kind::Malformed,
            Effect::Write => Kind::Ambiguous,
        }
    }
}

/// Judges an answer that is no success. `words` is TFC's text, `None` if the body is not JSON:API errors: then it may come from
/// something between here and TFC.
pub(super) fn judge(effect: Effect, status: u16, words: Option<String>, wait: Duration) -> Error {
    let from_tfc = words.is_some();
    let or = |sentence: &str| words.clone().unwrap_or_else(|| sentence.to_owned());
    let error = match status {
        401 => Error::new(Kind::Unauthorized, or("TFC does not accept the token")),
        403 => Error::new(
            Kind::Forbidden,
            or("refused, and not in TFC's own form; does a proxy or firewall answer for it?"),
        ),
        // A router whose backends are away, or a wrong base path, says 404 as well. Taken for TFC's word it would pass for "gone".
        404 if !from_tfc => Error::new(
            Kind::Unavailable,
            "404, and not in TFC's own form; does a proxy answer for it, or is spec.basePath wrong?",
        )
        .once_more(),
        404 => Error::new(Kind::Hidden, or("not found")),
        // A proxy's words for an answer that did not come; the request itself may have gone through.
        408 | 499 => Error::new(effect.unknown(), or("the request timed out on the way")),
        429 => Error::new(Kind::Limited { after: wait }, or("TFC's rate limit is reached")),
        400..=498 => Error::rejected(or("TFC refused the request, without a reason in its own form")),
        // Whatever a gateway says of its upstream, TFC may have acted before.
        500..=599 => Error::new(effect.unknown(), or("the server failed")).once_more(),
        _ => Error::new(effect.undecodable(), "an answer that the API does not have"),
    };
    error.with_status(status)
}

/// Printable characters of `text`, white space as single blanks, token values replaced, cut at `max` characters.
pub(super) fn printable(text: &str, max: usize) -> String {
    let mut words = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(&without_tokens(word));
    }
    let mut printable: String = words.chars().filter(|c| !is_invisible(*c)).collect();
    if printable.chars().count() > max {
        printable = printable.chars().take(max.saturating_sub(1)).collect();
        printable.push('…');
    }
    printable
}

/// Characters that show nothing or turn the text around (Unicode's format characters that matter in a terminal).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `word` with each run that looks like a token replaced: TFC's (`….atlasv1.…`), its metrics tokens (`hcpt_…`), a JWT (`eyJ….….…`).
fn without_tokens(word: &str) -> String {
    let mut clean = String::with_capacity(word.len());
    let mut rest = word;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_token_character(c)).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        let token = run.contains(".atlasv1.")
            || run.contains("hcpt_")
            || run.find("eyJ").is_some_and(|start| run[start..].matches('.').count() >= 2);
        clean.push_str(if token { "[token]" } else { run });
        let other = tail.chars().next().map_or(0, char::len_utf8);
        clean.push_str(&tail[..other]);
        rest = &tail[other..];
    }
    clean
}

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        let wait = Duration::from_secs(2);
        let limited = Kind::Limited { after: wait };
        for (status, from_tfc, read, write) in [
            (400, true, Kind::Rejected, Kind::Rejected),
            (401, true, Kind::Unauthorized, Kind::Unauthorized),
            (401, false, Kind::Unauthorized, Kind::Unauthorized),
            (403, true, Kind::Forbidden, Kind::Forbidden),
            (404, true, Kind::Hidden, Kind::Hidden),
            (404, false, Kind::Unavailable, Kind::Unavailable),
            (408, false, Kind::Unavailable, Kind::Ambiguous),
            (409, true, Kind::Rejected, Kind::Rejected),
            (415, false, Kind::Rejected, Kind::Rejected),
            (422, true, Kind::Rejected, Kind::Rejected),
            (429, true, limited, limited),
            (500, true, Kind::Unavailable, Kind::Ambiguous),
            (502, false, Kind::Unavailable, Kind::Ambiguous),
            (503, false, Kind::Unavailable, Kind::Ambiguous),
            (504, false, Kind::Unavailable, Kind::Ambiguous),
            (303, false, Kind::Malformed, Kind::Ambiguous),
            (999, false, Kind::Malformed, Kind::Ambiguous),
        ] {
            let words = from_tfc.then(|| "words".to_owned());
            assert_eq!(judge(Effect::Read, status, words.clone(), wait).kind, read, "GET {status}");
            assert_eq!(judge(Effect::Write, status, words, wait).kind, write, "POST {status}");
        }
    }

    #[test]
    fn words_are_printable_short_and_without_tokens() {
        let token = format!("{}.atlasv1.{}", "a".repeat(14), "b".repeat(67));
        for (text, words) in [
            ("a\n\tb\u{7}c".to_owned(), "a b c".to_owned()),
            ("\u{202e}txt\u{200b}".to_owned(), "txt".to_owned()),
            (format!("token {token} is bad"), "token [token] is bad".to_owned()),
            (format!("{{\"token\":\"{token}\"}}"), "{\"token\":\"[token]\"}".to_owned()),
            ("jwt=eyJhbGciOi.eyJzdWIi.c2ln!".to_owned(), "jwt=[token]!".to_owned()),
            ("ü.ö hcpt_abcdef".to_owned(), "ü.ö [token]".to_owned()),
        ] {
            assert_eq!(printable(&text, 256), words);
        }
        let long = printable(&"ß".repeat(1000), 256);
        assert_eq!(long.chars().count(), 256);
    }
}
