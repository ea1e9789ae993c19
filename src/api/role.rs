//! `TerraformCloudRole`: whose token, for how long, into which Secret.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answers, Condition, Intent, Record};

/// Asks for one TFC API token, kept in one Secret.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "terraformcloud.dev",
    version = "v1alpha1",
    kind = "TerraformCloudRole",
    namespaced,
    status = "TerraformCloudRoleStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct TerraformCloudRoleSpec {
    /// The config whose account mints the token.
    pub config_ref: ConfigRef,
    /// The token acts for an organization (single slot).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationSubject>,
    /// The token acts for a team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamSubject>,
    /// The token acts for a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserSubject>,
    /// Stands in TFC after the operator's marker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Length of a lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// Longest life of one token.
    #[serde(rename = "maxTTL", skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<String>,
    /// What happens at the end of a lease; Auto where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// How long before its end a token gets a successor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
    /// The same in percent of the lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before_percentage: Option<i32>,
    /// How long a predecessor lives on beside its successor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    /// Single slots only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// Single slots only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotPolicy>,
    /// The Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretTemplate>,
    /// What becomes of the token when the role is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Keep everything as it is.
    pub suspend: bool,
}

/// Names a `TerraformCloudConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigRef {
    /// Name of the config.
    pub name: String,
    /// Its namespace; the role's own where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// An organization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OrganizationSubject {
    /// Name of the organization.
    pub name: String,
}

/// A team, by id or by organization and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TeamSubject {
    /// Id of the team (`team-...`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Organization of the team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Name of the team in its organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which of the team's tokens.
    pub credential_type: TeamCredentialType,
}

/// A user, by id or as the account behind the config's token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UserSubject {
    /// Id of the user (`user-...`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The account behind the config's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub me: Option<bool>,
}

/// Which of a team's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TeamCredentialType {
    /// One of many tokens.
    #[default]
    Team,
    /// The single token without a description.
    TeamLegacy,
    /// Not known to this version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What happens at the end of a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Renewal {
    /// It is renewed, or a successor is minted.
    #[default]
    Auto,
    /// The token is revoked.
    Never,
    /// Not known to this version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Rotation of a single slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rotation {
    /// Time between two rotations.
    pub interval: String,
}

/// How to treat a slot that holds somebody's token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SlotPolicy {
    /// At the first mint.
    pub if_occupied: IfOccupied,
}

/// At the first mint on a slot that holds somebody's token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IfOccupied {
    /// Leave it alone.
    #[default]
    Refuse,
    /// Take the slot: the token in it dies.
    Replace,
    /// Not known to this version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// The Secret that holds the token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretTemplate {
    /// Name of the Secret; the role's own where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels to put on it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations to put on it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Further keys.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub template: BTreeMap<String, String>,
}

/// What becomes of the token when the role is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is revoked, and the Secret goes.
    #[default]
    Revoke,
    /// Token and Secret stay.
    Retain,
    /// Not known to this version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What the operator knows of the role's tokens.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TerraformCloudRoleStatus {
    /// `Ready` always; `Reconciling` and `Stalled` only while true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// User, Team, TeamLegacy or Organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The subject, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Name of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// TFC's id of the subject, looked up once and kept.
    #[serde(rename = "subjectID", skip_serializing_if = "Option::is_none")]
    pub subject_id: Option<String>,
    /// The attempt that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The token in the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Record>,
    /// Former tokens that still live.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub predecessors: Vec<Record>,
    /// Attempts of unknown fate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<Intent>,
    /// The wishes that have been answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handled: Option<Answers>,
    /// When the next successor is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<Time>,
}
pub enum Kind {
    User,
    Team,
    TeamLegacy,
    Organization,
}
impl Kind {
    pub fn as_str(&self) -> &'static str {
        ""
    }
}
impl TerraformCloudRoleSpec {
    pub fn kind(&self) -> Option<Kind> {
        None
    }
}
impl TerraformCloudRole {
    pub fn secret_name(&self) -> String {
        let named = self.spec.secret.as_ref().and_then(|s| s.name.clone());
        named.or_else(|| self.metadata.name.clone()).unwrap_or_default()
    }
}
