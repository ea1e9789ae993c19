//! Conditions and the closed list of their reasons.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One aspect of an object's state, as in the Kubernetes API conventions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// `Ready`, `Reconciling` or `Stalled`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word of the documented list.
    pub reason: String,
    /// What it means and what to do about it, for a person.
    pub message: String,
    /// The generation of the spec that this speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}

/// Why a role's `Ready` is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleReason {
    /// The Secret holds a live token.
    Issued,
    /// The same, with a shorter life or another deletion policy than the role asks for.
    IssuedClamped,
    /// The first token is on its way.
    Issuing,
    /// The lease is over and was not to be renewed.
    Expired,
    /// `suspend` is set.
    Suspended,
    /// The config does not exist, or does not admit this role.
    ConfigNotAvailable,
    /// The config can't be used at the moment.
    ConfigNotReady,
    /// The slot holds somebody's token.
    SlotOccupied,
    /// Minting would revoke the operator's own admin token.
    WouldRevokeOwnToken,
    /// Another role holds the slot.
    Conflict,
    /// Someone else took the slot.
    TakenOver,
    /// A Secret of that name is not the operator's.
    SecretConflict,
    /// The API server refuses the Secret for good.
    SecretRefused,
    /// TFC refuses the request.
    Rejected,
    /// The config's account may not do this, or the subject is hidden from it.
    NotPermitted,
    /// TFC is out of reach.
    Unreachable,
    /// TFC's rate limit is used up.
    Limited,
    /// Eight predecessors still live.
    TooManyPredecessors,
    /// A token may still live, and its revocation can't be proven.
    RevocationUnproven,
    /// The role goes; its tokens are being revoked.
    Revoking,
}

/// Why a config's `Ready` is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigReason {
    /// TFC accepts the token.
    Authenticated,
    /// TFC refuses the token.
    Unauthorized,
    /// TFC is out of reach.
    Unreachable,
    /// The admin Secret does not exist.
    SecretNotFound,
    /// The admin Secret lacks the key, or what stands there is no token.
    KeyNotFound,
    /// The CA bundle is missing or is none.
    InvalidCABundle,
    /// `--allowed-addresses` does not allow the address.
    AddressNotAllowed,
    /// http without `--insecure-allow-http`.
    InsecureAddress,
    /// It is being deleted, and roles depend on it.
    InUse,
}
impl RoleReason {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            RoleReason::Issued => "Issued",
            RoleReason::IssuedClamped => "IssuedClamped",
            RoleReason::Issuing => "Issuing",
            RoleReason::Expired => "Expired",
            RoleReason::Suspended => "Suspended",
            RoleReason::ConfigNotAvailable => "ConfigNotAvailable",
            RoleReason::ConfigNotReady => "ConfigNotReady",
            RoleReason::SlotOccupied => "SlotOccupied",
            RoleReason::WouldRevokeOwnToken => "WouldRevokeOwnToken",
            RoleReason::Conflict => "Conflict",
            RoleReason::TakenOver => "TakenOver",
            RoleReason::SecretConflict => "SecretConflict",
            RoleReason::SecretRefused => "SecretRefused",
            RoleReason::Rejected => "Rejected",
            RoleReason::NotPermitted => "NotPermitted",
            RoleReason::Unreachable => "Unreachable",
            RoleReason::Limited => "Limited",
            RoleReason::TooManyPredecessors => "TooManyPredecessors",
            RoleReason::RevocationUnproven => "RevocationUnproven",
            RoleReason::Revoking => "Revoking",
        }
    }
}
impl ConfigReason {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            ConfigReason::Authenticated => "Authenticated",
            ConfigReason::Unauthorized => "Unauthorized",
            ConfigReason::Unreachable => "Unreachable",
            ConfigReason::SecretNotFound => "SecretNotFound",
            ConfigReason::KeyNotFound => "KeyNotFound",
            ConfigReason::InvalidCABundle => "InvalidCABundle",
            ConfigReason::AddressNotAllowed => "AddressNotAllowed",
            ConfigReason::InsecureAddress => "InsecureAddress",
            ConfigReason::InUse => "InUse",
        }
    }
}
/// The new conditions, each with the old one's time where its status is the same.
pub fn merge_conditions(old: &[Condition], new: Vec<Condition>, now: &Time) -> Vec<Condition> {
    new.into_iter()
        .map(|mut c| {
            let same = old.iter().find(|o| o.type_ == c.type_ && o.status == c.status);
            c.last_transition_time = same.and_then(|o| o.last_transition_time.clone()).or_else(|| Some(now.clone()));
            c
        })
        .collect()
}
