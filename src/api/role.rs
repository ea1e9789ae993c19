//! `TerraformCloudRole`: whose token, for how long, into which Secret.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{role as role_rules, status as status_rules};
use super::{Answers, Condition, Intent, Record};

/// Asks for one TFC API token, kept in one Secret.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "terraformcloud.dev",
    version = "v1alpha1",
    kind = "TerraformCloudRole",
    plural = "terraformcloudroles",
    shortname = "tfcrole",
    category = "tfc",
    namespaced,
    status = "TerraformCloudRoleStatus",
    derive = "PartialEq",
    doc = "One token of HCP Terraform or Terraform Enterprise, kept in one Secret: issued, renewed, rotated, and \
        revoked when the role is deleted. One role for each consumer.",
    validation = role_rules::name(),
    validation = role_rules::secret_name(),
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".status.kind",
        description = "Whose token: User, Team, TeamLegacy or Organization."
    ),
    printcolumn(
        name = "Subject",
        type_ = "string",
        json_path = ".status.subject",
        description = "The user, team or organization."
    ),
    printcolumn(
        name = "Secret",
        type_ = "string",
        json_path = ".status.secret",
        description = "The Secret that holds the token."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the Secret holds a live token."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why."
    ),
    printcolumn(
        name = "Expires",
        type_ = "string",
        json_path = ".status.current.expiresAt",
        description = "When TFC lets the token die."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Since the role was created."
    )
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = role_rules::spec)]
pub struct TerraformCloudRoleSpec {
    /// The TerraformCloudConfig whose account mints the token. Required; immutable. The config's `allow` decides
    /// whether this role may use it.
    pub config_ref: ConfigRef,
    /// The token acts for an organization, e.g. `{name: acme}`. TFC keeps one such token for each organization (a
    /// single slot): to mint is to revoke the one before. Exactly one of `user`, `team` and `organization` is given;
    /// immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationSubject>,
    /// The token acts for a team, e.g. `{organization: acme, name: apps}` or `{id: team-6p5jTwJQXwqZBncC}`. Exactly one
    /// of `user`, `team` and `organization` is given; immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamSubject>,
    /// The token acts for a user, e.g. `{me: true}`. TFC lets an account mint for itself alone, so this is the account
    /// behind the config's token. Exactly one of `user`, `team` and `organization` is given; immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserSubject>,
    /// Text for the people who read the list of tokens in TFC, e.g. `CI of the shop`; it stands there after the
    /// operator's own marker. At most 150 printable characters. Not with a single slot, whose token has no description.
    /// A change shows on the next token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Length of a lease, as a duration in hours, minutes and seconds, e.g. `1h` or `1h30m`; at least 10s. At its end
    /// the lease is renewed without a new token until `maxTTL` of the token's life is used up, then a successor is
    /// minted. Default: `defaultTTL` of the config. Not with a single slot: there it is `rotation.interval` that
    /// counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// Longest life of one token, its overlap included, as a duration, e.g. `24h`. Default: `ttl`, so that every lease
    /// is a fresh token. Above the config's cap it is clamped, and the condition says so (`IssuedClamped`). Not with a
    /// single slot.
    #[serde(rename = "maxTTL", skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<String>,
    /// What happens at the end of a lease. `Auto` (default): it is renewed, or a successor is minted. `Never`: the
    /// token is revoked, the credential leaves the Secret, and the role rests as `Expired` until
    /// `terraformcloud.dev/rotate` or `/renew` is set anew. Not with a single slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
    /// How long before the end of a lease a token gets its successor, as a duration shorter than `ttl`, e.g. `20m`.
    /// Default: a third of the lease. The first successor of a role comes sooner: roles of one burst are spread. Not
    /// together with `renewBeforePercentage`; not with a single slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
    /// The same in percent of the lease, from 1 to 99, e.g. `33`. Not together with `renewBefore`; not with a single
    /// slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_before_percentage: Option<i32>,
    /// How long a predecessor lives on beside its successor, as a duration no longer than `renewBefore`, e.g. `15m`;
    /// `0s` revokes it at once. Default: to the end of its own lease. Not with a single slot, where the successor kills
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    /// When a single slot (`organization`, or `team` with `credentialType: TeamLegacy`) is minted anew by itself, e.g.
    /// `{interval: 720h}`. Default: only when asked by `terraformcloud.dev/rotate`, and before TFC's own expiry. Single
    /// slots only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// How to treat a slot that holds somebody's token already. Default: `{ifOccupied: Refuse}`. Single slots only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotPolicy>,
    /// The Secret that receives the token: its name, labels, annotations and further keys. Default: a Secret of the
    /// role's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretTemplate>,
    /// What becomes of token and Secret when the role is deleted. `Revoke` (default): the token is revoked and the
    /// Secret deleted. `Retain`: both stay, if the config's `allow` admits it; the token dies at the expiry that it was
    /// minted with.
    pub deletion_policy: DeletionPolicy,
    /// `true` keeps everything as it is: nothing is minted, rotated or revoked until it is `false` again. Default:
    /// `false`. A role that is deleted, or no longer admitted by its config, is not kept by it.
    pub suspend: bool,
}

/// Names a `TerraformCloudConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = role_rules::config_ref)]
pub struct ConfigRef {
    /// Name of the TerraformCloudConfig, e.g. `tfc`. Required.
    pub name: String,
    /// Its namespace, e.g. `platform`. Default: the role's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// An organization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = role_rules::organization)]
pub struct OrganizationSubject {
    /// Name of the organization as in its URL, e.g. `acme`. Required.
    pub name: String,
}

/// A team, by id or by organization and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = role_rules::team)]
pub struct TeamSubject {
    /// Id of the team, e.g. `team-6p5jTwJQXwqZBncC`. Instead of `organization` and `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Organization of the team, e.g. `acme`. Together with `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
    /// Name of the team in its organization, e.g. `apps`. It is looked up once and pinned by id in the status: a team
    /// renamed later stays the same team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which of the team's tokens. `Team` (default): one of many, revoked on its own. `TeamLegacy`: the team's single
    /// token without a description, where to mint is to revoke the one before.
    pub credential_type: TeamCredentialType,
}

/// A user, by id or as the account behind the config's token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = role_rules::user)]
pub struct UserSubject {
    /// Id of the user, e.g. `user-MA4GL63FmYRpSFxa`; it must be the account behind the config's token. Instead of `me`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `true`: the account behind the config's token, whichever it is. Instead of `id`.
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
#[schemars(transform = role_rules::rotation)]
pub struct Rotation {
    /// Time between two rotations, as a duration in hours, minutes and seconds, at least 1m, e.g. `720h` (30 days).
    /// Required. Each rotation kills the token before, so consumers must read the Secret anew.
    pub interval: String,
}

/// How to treat a slot that holds somebody's token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SlotPolicy {
    /// What the first mint does where the slot holds a token that is not this role's. `Refuse` (default): nothing; the
    /// role says `SlotOccupied` and whose token it is. `Replace`: it takes the slot, and the token in it dies.
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
#[schemars(transform = role_rules::secret)]
pub struct SecretTemplate {
    /// Name of the Secret, e.g. `shop-tfc`. Default: the role's own name. Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels to put on the Secret, e.g. `{team: apps}`. Keys under kubernetes.io (but app.kubernetes.io), k8s.io,
    /// helm.sh, argoproj.io and terraformcloud.dev are refused. A change rewrites the Secret without a new token.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations to put on the Secret, e.g. `{example.com/contact: apps}`. The same keys are refused as for labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Further keys of the Secret, e.g. `{TFE_TOKEN: "${token}"}`. A value may use `${token}`, `${token_id}`,
    /// `${host}`, `${organization}`, `${team_id}`, `${user_id}`, `${role}` and `${expires_at}`, which are replaced as
    /// they are. The operator's own keys can't be named: `token`, `token_id`, `role`, `organization`, `team_id`,
    /// `user_id`, `expires_at`, `credentials.tfrc.json` and `TF_TOKEN_*`.
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
#[schemars(transform = status_rules::status)]
pub struct TerraformCloudRoleStatus {
    /// `Ready` always; `Reconciling` and `Stalled` only while they are true. The reasons are a closed list: see
    /// docs/reasons.md.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Whose token it is: `User`, `Team`, `TeamLegacy` or `Organization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The user, team or organization for people, e.g. `acme/apps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whose records these are: hashes of the installation and of the role's UID. Records that were copied with a role from elsewhere, by a
    /// restore of statuses say, name another, and count for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Name of the Secret that holds the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// TFC's id of the subject, looked up once and kept.
    #[serde(rename = "subjectID", skip_serializing_if = "Option::is_none")]
    pub subject_id: Option<String>,
    /// The attempt to mint that is under way: written down before TFC is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The token in the Secret. Never its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<Record>,
    /// Former tokens that still live, each with the time at which it is revoked. At most 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub predecessors: Vec<Record>,
    /// Attempts whose fate is unknown: a token may live that no reply ever named. Each is kept until it is proven gone.
    /// At most 4.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsettled: Vec<Intent>,
    /// The values of the annotations `terraformcloud.dev/rotate`, `/renew` and `/revoke` that have been answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handled: Option<Answers>,
    /// TFC's id of the token by which somebody else took the slot over. Absent once the role took it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_over_by: Option<String>,
    /// When the next successor is due. Absent where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<Time>,
    /// Since when the workloads that ask for it by `terraformcloud.dev/restart-for` are being restarted with the token in the Secret.
    /// Absent while none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarting: Option<Time>,
    /// TFC's id of the token with which those workloads were restarted last. Absent where the operator restarts none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarted: Option<String>,
}
