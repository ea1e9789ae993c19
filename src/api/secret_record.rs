//! The annotation `terraformcloud.dev/record` on a Secret: what it holds, in words that a wiped status can be rebuilt from.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

use super::{Answers, Record};

/// Version of the annotation's form.
pub const VERSION: u32 = 1;
/// Nothing that we write into it is longer: a host has 253 characters and a port, a wish is written down with 128.
const LONGEST: usize = 512;

/// What a Secret holds. Tenants can write it, so nothing in it is trusted beyond what TFC confirms.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretRecord {
    /// Version of this form.
    pub v: u32,
    /// Hash of the installation that wrote it.
    pub installation: String,
    /// UID of the role.
    #[serde(rename = "roleUID")]
    pub role_uid: String,
    /// The attempt whose token stands here; absent where the credential was withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Wishes answered so far.
    pub answers: Answers,
    /// Hash of what shapes the Secret beside the token: labels, annotations, template.
    pub layout: String,
    /// Names of the data keys, labels and annotations that are ours, so that one that is no longer wanted can go.
    pub keys: BTreeSet<String>,
    /// Labels of ours.
    pub labels: BTreeSet<String>,
    /// Annotations of ours.
    pub annotations: BTreeSet<String>,
}

impl SecretRecord {
    /// What of it can come into a status is no longer than a status takes: else a tenant's words would have every write of it refused.
    pub fn fits_a_status(&self) -> bool {
        let Answers { rotate, renew, revoke, config_revoke } = &self.answers;
        let answers = [rotate, renew, revoke, config_revoke].into_iter().flatten();
        let held = self
            .held
            .iter()
            .flat_map(|held| [&held.attempt, &held.token_id, &held.host, &held.account, &held.subject, &held.digest]);
        answers.chain(held).all(|text| text.len() <= LONGEST)
    }
}

/// The token that stands in the Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Held {
    /// The attempt that made it.
    pub attempt: String,
    /// TFC's id of it.
    #[serde(rename = "tokenID")]
    pub token_id: String,
    /// Host that issued it.
    pub host: String,
    /// Account that minted it.
    pub account: String,
    /// Whom it acts for.
    pub subject: String,
    /// When TFC made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,
    /// When TFC lets it die.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Salted digest of the value.
    pub digest: String,
}

impl From<&Record> for Held {
    fn from(record: &Record) -> Self {
        Held {
            attempt: record.attempt.clone(),
            token_id: record.token_id.clone().unwrap_or_default(),
            host: record.host.clone(),
            account: record.account.clone(),
            subject: record.subject.clone(),
            issued_at: record.issued_at.clone(),
            expires_at: record.expires_at.clone(),
            digest: record.digest.clone(),
        }
    }
}

/// The annotation `terraformcloud.dev/pending`: a slot's mint is about to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pending {
    /// The attempt.
    pub attempt: String,
    /// The exact expiry that is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_expiry: Option<Time>,
    /// The slot's token before.
    #[serde(rename = "slotTokenIDBefore", skip_serializing_if = "Option::is_none")]
    pub slot_token_id_before: Option<String>,
    /// Account that is about to mint.
    pub account: String,
    /// When it was written down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}
