//! `TerraformCloudConfig`: where TFC is, the account that mints, and who may use it for what.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelectorRequirement, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;

/// An account of a TFC host, and who may use it for what.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "terraformcloud.dev",
    version = "v1alpha1",
    kind = "TerraformCloudConfig",
    namespaced,
    status = "TerraformCloudConfigStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase", default)]
pub struct TerraformCloudConfigSpec {
    /// URL of the host.
    #[serde(default = "default_address")]
    pub address: String,
    /// Path of the API on it.
    #[serde(default = "default_base_path")]
    pub base_path: String,
    /// The admin token.
    pub token_secret_ref: TokenSecretRef,
    /// A private CA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<CABundleRef>,
    /// For a role that sets no `ttl`.
    #[serde(rename = "defaultTTL", default = "default_ttl")]
    pub default_ttl: String,
    /// Cap of every lease's token.
    #[serde(rename = "maxTTL", default = "default_max_ttl")]
    pub max_ttl: String,
    /// Between a role's loss of admission and the loss of its token.
    #[serde(default = "default_grace")]
    pub revocation_grace_period: String,
    /// Cap under what the server grants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Who may use this config for what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<AllowEntry>>,
}

/// `https://app.terraform.io`
pub fn default_address() -> String {
    "https://app.terraform.io".into()
}
/// `/api/v2/`
pub fn default_base_path() -> String {
    "/api/v2/".into()
}
/// `24h`
pub fn default_ttl() -> String {
    "24h".into()
}
/// `768h`, the system default of Vault
pub fn default_max_ttl() -> String {
    "768h".into()
}
/// `10m`
pub fn default_grace() -> String {
    "10m".into()
}
/// `token`
pub fn default_token_key() -> String {
    "token".into()
}
/// `ca.crt`
pub fn default_ca_key() -> String {
    "ca.crt".into()
}

/// Key of a Secret in the config's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenSecretRef {
    /// Name of the Secret.
    pub name: String,
    /// Key in it.
    #[serde(default = "default_token_key")]
    pub key: String,
}

/// Key of a ConfigMap or Secret in the config's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CABundleRef {
    /// ConfigMap or Secret.
    pub kind: CABundleKind,
    /// Name of the object.
    pub name: String,
    /// Key in it.
    #[serde(default = "default_ca_key")]
    pub key: String,
}

/// Where a CA bundle stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CABundleKind {
    /// A ConfigMap.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
    /// Not known to this version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Cap of the requests to TFC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimit {
    /// Requests per second.
    pub requests_per_second: i32,
    /// Requests at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<i32>,
}

/// Admits the roles of some namespaces for some subjects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowEntry {
    /// Whose roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<AllowedNamespaces>,
    /// Organization tokens: `NAME` or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<String>,
    /// Team tokens: `ID`, `ORG/NAME`, `ORG/*` or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<String>,
    /// User tokens: `ID` or `me`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Cap for these roles.
    #[serde(rename = "maxTTL", skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<String>,
    /// What these roles may say as their `deletionPolicy`; `[Revoke]` where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policies: Option<Vec<super::role::DeletionPolicy>>,
}

/// Which namespaces' roles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedNamespaces {
    /// Same, All or Selector.
    pub from: From,
    /// With Selector: labels of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
}

/// Which namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum From {
    /// The config's own.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Those with matching labels.
    Selector,
    /// Not known to this version.
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// Selects namespaces by label, as Kubernetes' LabelSelector does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that must be there with these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that must all hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// What the operator knows of the account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TerraformCloudConfigStatus {
    /// `Ready` always; `Reconciling` and `Stalled` only while true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The account behind the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// The admin token itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<AdminToken>,
    /// The server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Teams that `allow` or roles name, as TFC showed them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<ResolvedTeam>,
}

/// An account of TFC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Account {
    /// TFC's id of the (service) user.
    pub id: String,
    /// Its name.
    pub name: String,
    /// User, Team or Organization.
    pub kind: String,
    /// What it can mint: `User` only for itself.
    pub can_mint: Vec<String>,
}

/// The admin token itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AdminToken {
    /// TFC's id of it.
    pub id: String,
    /// When it expires; absent where TFC does not show it or it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// The server behind the address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Server {
    /// `HCP Terraform` or `Terraform Enterprise`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// Its version, of Terraform Enterprise only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Version of its API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
}

/// A team as TFC showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResolvedTeam {
    /// TFC's id.
    pub id: String,
    /// Its organization.
    pub organization: String,
    /// Its name.
    pub name: String,
}
