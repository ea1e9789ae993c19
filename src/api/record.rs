//! What the operator writes down about a token, so that no crash, lost reply or second replica can lose one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One token, made or about to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// 128 random bits that name this attempt to mint, in base32; never used twice.
    pub attempt: String,
    /// TFC's id of the token (`at-...`), once known.
    #[serde(rename = "tokenID", skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// Host that issued it, with the port where it is not 443.
    pub host: String,
    /// TFC's id of the account that minted it.
    pub account: String,
    /// Whom the token acts for: `users/ID`, `teams/ID`, `teams/ID/legacy` or `organizations/NAME`.
    pub subject: String,
    /// When TFC made it, on TFC's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,
    /// When TFC lets it die, on TFC's clock: the reply's value, not the one asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When the lease in being was started: at the mint, or by the renew annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_started_at: Option<Time>,
    /// End of the lease as it was last started: at the mint, or by the renew annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_expires_at: Option<Time>,
    /// When the operator will revoke it: the end of a predecessor's overlap, or of the grace after lost admission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_at: Option<Time>,
    /// How the token id came here.
    pub source: Source,
    /// Salted digest of the value: an edited Secret is noticed without keeping the value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// The Secret's resourceVersion when it was last seen to hold this token unchanged.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secret_resource_version: String,
}

/// How a token id came into a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Source {
    /// From a reply of TFC: trusted. Of a mint, by the process that then saw its one write of the Secret answered.
    Reply,
    /// From the Secret's annotation, which tenants can write: revoked only after TFC showed our marker on it.
    #[default]
    #[serde(other)]
    Secret,
}

/// An attempt to mint that has been written down, and not yet been recorded as the current token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Intent {
    /// The token to be.
    #[serde(flatten)]
    pub record: Record,
    /// When it was written down, on TFC's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The exact expiry sent to TFC; tells a slot's token as ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_expiry: Option<Time>,
    /// Id of the token that the slot held when this was written down.
    #[serde(rename = "slotTokenIDBefore", skip_serializing_if = "Option::is_none")]
    pub slot_token_id_before: Option<String>,
    /// The wishes that this attempt answers.
    pub answers: Answers,
}

/// Values of the annotations by which people ask for something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = super::schema::status::answers)]
pub struct Answers {
    /// Value of `terraformcloud.dev/rotate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate: Option<String>,
    /// Value of `terraformcloud.dev/renew`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew: Option<String>,
    /// Value of `terraformcloud.dev/revoke` on the role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke: Option<String>,
    /// Value of `terraformcloud.dev/revoke` on the config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_revoke: Option<String>,
}
