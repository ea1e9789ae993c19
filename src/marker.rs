//! The marker: the first word of the description of every many-token token that the operator mints.
//!
//! It names version, installation, role and attempt, so that a token whose value was lost can be found again and can
//! be told from everybody else's. Names that others can read are hashed.

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

const PREFIX: &str = "tto1";
const INSTALLATION_CHARS: usize = 8;
const ROLE_CHARS: usize = 13;
/// Length of an attempt: 128 bits in base32.
const ATTEMPT_CHARS: usize = 26;

/// One installation of the operator: the hash of `--installation-id`, or of the cluster's and the operator's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation(String);

impl Installation {
    /// From whatever names the installation uniquely.
    pub fn new(identity: &str) -> Self {
        Self(short_hash(identity, INSTALLATION_CHARS))
    }

    /// The hash, as it stands in markers and in the Secret's record.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The marker of one attempt of one role.
    pub fn marker(&self, role_uid: &str, attempt: &str) -> String {
        format!("{PREFIX}.{}.{}.{attempt}", self.0, role_hash(role_uid))
    }

    /// What all markers of one role begin with: whose records a status holds.
    pub fn owner(&self, role_uid: &str) -> String {
        format!("{}.{}", self.0, role_hash(role_uid))
    }

    /// The attempt that a token's description names, if it carries this installation's marker and this role's.
    pub fn attempt_of<'a>(&self, role_uid: &str, description: &'a str) -> Option<&'a str> {
        self.read(description).filter(|(role, _)| *role == role_hash(role_uid)).map(|(_, attempt)| attempt)
    }

    /// The role's hash and the attempt that a token's description names, if it carries this installation's marker.
    pub fn read<'a>(&self, description: &'a str) -> Option<(&'a str, &'a str)> {
        let word = description.split(' ').next().unwrap_or_default();
        let mut parts = word.split('.');
        let ours = parts.next() == Some(PREFIX) && parts.next() == Some(self.0.as_str());
        let (role, attempt) = (parts.next()?, parts.next()?);
        (ours && parts.next().is_none() && attempt.len() == ATTEMPT_CHARS).then_some((role, attempt))
    }
}

/// A role's UID as it stands in its markers.
pub fn role_hash(role_uid: &str) -> String {
    short_hash(role_uid, ROLE_CHARS)
}

/// A new attempt's name out of 128 random bits.
pub fn attempt(random: [u8; 16]) -> String {
    BASE32_NOPAD.encode(&random).to_ascii_lowercase()
}

fn short_hash(text: &str, chars: usize) -> String {
    let mut word = BASE32_NOPAD.encode(&Sha256::digest(text.as_bytes())).to_ascii_lowercase();
    word.truncate(chars);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_leads_back_to_its_attempt_and_to_nobody_elses() {
        let here = Installation::new("cluster-1/tfc/operator");
        let attempt = attempt([7; 16]);
        let description = format!("{} CI of the shop", here.marker("uid-1", &attempt));
        assert_eq!(here.attempt_of("uid-1", &description), Some(attempt.as_str()));
        assert_eq!(here.attempt_of("uid-2", &description), None);
        assert_eq!(Installation::new("cluster-2").attempt_of("uid-1", &description), None);
        assert_eq!(here.attempt_of("uid-1", "made by hand"), None);
        assert_eq!(here.attempt_of("uid-1", &format!("{}.x", here.marker("uid-1", &attempt))), None);
    }

    #[test]
    fn a_marker_has_at_most_64_characters() {
        assert!(Installation::new("x").marker("uid", &attempt([255; 16])).len() <= 64);
    }
}
