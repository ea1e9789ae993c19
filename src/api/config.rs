//! `TerraformCloudConfig`: where TFC is, the account that mints, and who may use it for what.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelectorRequirement, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;
use super::schema::{config as config_rules, status as status_rules};

/// An account of a TFC host, and who may use it for what.
#[expect(clippy::duplicated_attributes, reason = "several columns are strings")]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "terraformcloud.dev",
    version = "v1alpha1",
    kind = "TerraformCloudConfig",
    plural = "terraformcloudconfigs",
    shortname = "tfcconfig",
    category = "tfc",
    namespaced,
    status = "TerraformCloudConfigStatus",
    derive = "PartialEq",
    doc = "An account of HCP Terraform or Terraform Enterprise that mints tokens, and the roles that may use it for \
        which subjects.",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address", description = "The host."),
    printcolumn(
        name = "Account",
        type_ = "string",
        json_path = ".status.account.name",
        description = "The account behind the token."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether tokens can be minted."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since the config was created."
    )
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = config_rules::spec)]
pub struct TerraformCloudConfigSpec {
    /// URL of the host, without a path, e.g. `https://tfe.example.com` or `https://tfe.example.com:8443`. Default:
    /// `https://app.terraform.io`. Immutable. `http` works only where the operator runs with `--insecure-allow-http`.
    #[serde(default = "default_address")]
    pub address: String,
    /// Path of the API on the host; starts and ends with `/`. Default: `/api/v2/`. Immutable.
    #[serde(default = "default_base_path")]
    pub base_path: String,
    /// Key of a Secret in the config's namespace that holds the admin token: the one with which tokens are minted.
    /// Required. A change of the Secret is picked up at once.
    pub token_secret_ref: TokenSecretRef,
    /// Key of a ConfigMap or Secret in the config's namespace with the certificates (PEM) of a private CA, for a
    /// Terraform Enterprise that is not signed by a public one. Default: the public CAs alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<CABundleRef>,
    /// Length of a lease for a role that sets no `ttl`, as a duration in hours, minutes and seconds, at least 10s.
    /// Default: `24h`. Not longer than `maxTTL`.
    #[serde(rename = "defaultTTL", default = "default_ttl")]
    pub default_ttl: String,
    /// Longest life of a token with a lease (users, teams), as a duration. Default: `768h`. A role that asks for more
    /// is clamped. Single slots are bounded by their `rotation.interval` instead.
    #[serde(rename = "maxTTL", default = "default_max_ttl")]
    pub max_ttl: String,
    /// Time between a role's loss of admission (a change of `allow`, a namespace that lost a label) and the revocation
    /// of its token, as a duration. Default: `10m`; `0s` revokes at once.
    #[serde(default = "default_grace")]
    pub revocation_grace_period: String,
    /// Cap of the requests to TFC with this account, e.g. `{requestsPerSecond: 20, burst: 20}`. Default: what the
    /// server grants, which the cap can't exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Who may use this config for what: a role is admitted if one entry admits it. Default: the roles of the config's
    /// own namespace, for any subject. An empty list admits none.
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
#[schemars(transform = config_rules::token_secret_ref)]
pub struct TokenSecretRef {
    /// Name of the Secret, e.g. `tfc-admin`. Required.
    pub name: String,
    /// Key in it. Default: `token`.
    #[serde(default = "default_token_key")]
    pub key: String,
}

/// Key of a ConfigMap or Secret in the config's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = config_rules::ca_bundle_ref)]
pub struct CABundleRef {
    /// Where the bundle stands: `ConfigMap` (default) or `Secret`.
    pub kind: CABundleKind,
    /// Name of the ConfigMap or Secret, e.g. `private-ca`. Required.
    pub name: String,
    /// Key in it. Default: `ca.crt`.
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
#[schemars(transform = config_rules::rate_limit)]
pub struct RateLimit {
    /// Requests per second, from 1 to 1000, e.g. `20`. Required.
    pub requests_per_second: i32,
    /// Requests that may be sent at once, from 1 to 1000, e.g. `20`. Default: `requestsPerSecond`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<i32>,
}

/// Admits the roles of some namespaces for some subjects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = config_rules::allow_entry)]
pub struct AllowEntry {
    /// The namespaces whose roles this entry admits. Default: `{from: Same}`, the config's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<AllowedNamespaces>,
    /// Organizations whose tokens may be asked for: `NAME`, or `*` for all, e.g. `[acme]`. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<String>,
    /// Teams whose tokens may be asked for: an id, `ORG/NAME`, `ORG/*` or `*`, e.g. `[acme/apps]`. They are compared by
    /// id, however a role names its team. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<String>,
    /// Users whose tokens may be asked for: an id, or `me` for the account behind the config's token, e.g. `[me]`.
    /// There is no `*`: an account mints for itself alone. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Longest life of these roles' tokens, as a duration, e.g. `8h`. Default: `maxTTL` of the config, which it can't
    /// exceed.
    #[serde(rename = "maxTTL", skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<String>,
    /// What these roles may say as their `deletionPolicy`: `Revoke`, `Retain`, or both. Default: `[Revoke]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policies: Option<Vec<super::role::DeletionPolicy>>,
}

/// Which namespaces' roles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = config_rules::allowed_namespaces)]
pub struct AllowedNamespaces {
    /// `Same` (default): the config's own namespace. `All`: every one. `Selector`: those whose labels match `selector`.
    pub from: From,
    /// With `from: Selector`, and only then: which namespaces, by their labels, e.g. `{matchLabels: {team: apps}}`.
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
#[schemars(transform = config_rules::selector)]
pub struct Selector {
    /// Labels that must all be there with these values, e.g. `{team: apps}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements that must all hold, e.g. `[{key: team, operator: In, values: [apps, shop]}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// What the operator knows of the account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = status_rules::status)]
pub struct TerraformCloudConfigStatus {
    /// `Ready` always; `Reconciling` and `Stalled` only while they are true. The reasons are a closed list: see
    /// docs/reasons.md.
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
    /// The server behind the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Teams that `allow` or roles name by organization and name, as TFC showed them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<ResolvedTeam>,
}

/// An account of TFC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Account {
    /// TFC's id of the (service) user.
    pub id: String,
    /// Its name in TFC.
    pub name: String,
    /// Whose token it is: `User`, `Team` or `Organization`.
    pub kind: String,
    /// Types of token that it can mint: a user's token mints `User` for itself only; a team's or organization's token
    /// mints none.
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
    /// Name of the Secret that it was read from.
    #[schemars(length(max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
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
