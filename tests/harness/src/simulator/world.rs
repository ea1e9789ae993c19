//! What a simulated HCP Terraform or Terraform Enterprise holds at the start, and how it behaves.
//!
//! [`World`] is built in Rust by tests and read from JSON by the `tfc-simulator` binary. [`Behaviour`] gathers the switches
//! for what HashiCorp's documentation leaves open: a client has to be right under every setting.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that exists at the start.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct World {
    /// Organizations.
    pub organizations: Vec<Organization>,
    /// Teams; each organization also gets a team `owners`, unless one is listed.
    pub teams: Vec<Team>,
    /// Users.
    pub users: Vec<User>,
    /// Tokens that exist at the start, with values known to the caller.
    pub admin_tokens: Vec<AdminToken>,
    /// Answers to what the documentation leaves open.
    pub behaviour: Behaviour,
}

impl World {
    /// Reads a JSON seed.
    ///
    /// # Errors
    /// When the text is not JSON of this shape.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

/// An organization.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Organization {
    /// The name, which is the `id` in paths and replies and changes with a rename.
    pub name: String,
    /// The stable id, `org-…`.
    pub external_id: String,
    /// False refuses user tokens on this organization's resources (API docs, "Organizations").
    #[serde(default = "yes")]
    pub user_tokens_enabled: bool,
    /// Longest lifetimes in milliseconds by token type (`organization`, `team`, `user`, `audit_trails`). Empty: no policy.
    #[serde(default)]
    pub max_ttl_ms: BTreeMap<String, i64>,
}

impl Organization {
    /// An organization without policies.
    pub fn new(name: impl Into<String>, external_id: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            external_id: external_id.into(),
            user_tokens_enabled: true,
            max_ttl_ms: BTreeMap::new(),
        }
    }
}

/// A team.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Team {
    /// The id, `team-…`.
    pub id: String,
    /// The name, unique within the organization.
    pub name: String,
    /// The organization's name.
    pub organization: String,
    /// A secret team is not shown to callers without rights on it.
    #[serde(default)]
    pub secret: bool,
    /// Ids of the users in it.
    #[serde(default)]
    pub members: Vec<String>,
    /// The organization permission `manage-teams`, which its members and its own tokens have.
    #[serde(default)]
    pub manage_teams: bool,
    /// Whether members and the team's own tokens may manage its tokens (API docs, "Teams": true unless set).
    #[serde(default = "yes")]
    pub allow_member_token_management: bool,
}

impl Team {
    /// A visible team without members or permissions.
    pub fn new(id: impl Into<String>, name: impl Into<String>, organization: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            organization: organization.into(),
            secret: false,
            members: Vec::new(),
            manage_teams: false,
            allow_member_token_management: true,
        }
    }
}

/// A user.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct User {
    /// The id, `user-…`.
    pub id: String,
    /// The user name.
    pub name: String,
    /// Names of the organizations it is an owner of.
    #[serde(default)]
    pub owner_of: Vec<String>,
    /// Names of the organizations it is a plain member of.
    #[serde(default)]
    pub member_of: Vec<String>,
    /// Names of the organizations in which it has the permission `manage-teams`.
    #[serde(default)]
    pub manages_teams_of: Vec<String>,
}

impl User {
    /// A user in no organization.
    pub fn new(id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            owner_of: Vec::new(),
            member_of: Vec::new(),
            manages_teams_of: Vec::new(),
        }
    }
}

/// Whom a token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A user, by id.
    User(String),
    /// A team, by id.
    Team(String),
    /// An organization, by name or external id; the simulator's own answers give the external id.
    Organization(String),
}

/// A token that exists at the start. Exempt from lifetime policies, so that a test's caller outlives what it tests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AdminToken {
    /// The value that callers authenticate with.
    pub value: TokenValue,
    /// Whom it stands for.
    pub subject: Subject,
    /// Its description; an organization's token has none.
    #[serde(default)]
    pub description: Option<String>,
    /// Its expiry; none is an old token that never expires.
    #[serde(default)]
    pub expired_at: Option<Timestamp>,
}

impl AdminToken {
    /// A token that never expires.
    pub fn new(subject: Subject, value: TokenValue) -> Self {
        Self { value, subject, description: None, expired_at: None }
    }
}

/// A token's value. Shown by nothing but [`TokenValue::expose`].
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct TokenValue(String);

impl TokenValue {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Switches for what HashiCorp's documentation leaves open or where its sources disagree. The default is the likeliest.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Behaviour {
    /// Unknown: what a create does that asks for more than the organization's maximum lifetime.
    pub ttl_excess: TtlExcess,
    /// Unknown: whether the legacy team slot and the organization slots can be deleted by token id, or only by their path.
    pub slot_deletable_by_id: bool,
    /// Unknown: whether an expired team token still holds its description against a new one.
    pub expired_holds_description: bool,
    /// Unknown: whether a create takes an `expired-at` that has passed. False: 422.
    pub accepts_past_expiry: bool,
    /// Unknown: the status that comes with "Description has already been taken".
    pub duplicate_description_status: u16,
    /// Unknown: whether user and team tokens need a `description` (docs: no default; go-tfe's tests make user tokens
    /// without).
    pub description_required: bool,
    /// Unknown: what `created-by` names when a team's or an organization's token made the token.
    pub created_by: CreatedBy,
    /// Unknown: how many seconds pass before `last-used-at` shows the first use.
    pub last_used_lag_seconds: i64,
    /// Years until expiry when `expired-at` is null or omitted; none is the former "never" (Terraform Enterprise before
    /// 2.0.0).
    pub default_expiry_years: Option<i64>,
    /// False: a Terraform Enterprise before 1.1.0, without `/teams/:id/authentication-tokens`.
    pub many_team_tokens: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ttl_excess: TtlExcess::Reject,
            slot_deletable_by_id: true,
            expired_holds_description: true,
            accepts_past_expiry: false,
            duplicate_description_status: 422,
            description_required: true,
            created_by: CreatedBy::Resource,
            last_used_lag_seconds: 0,
            default_expiry_years: Some(2),
            many_team_tokens: true,
        }
    }
}

/// What a create does that asks for more than the maximum lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TtlExcess {
    /// 422.
    Reject,
    /// 201 with the latest `expired-at` that is allowed.
    Clamp,
    /// 201 as asked, and every use of the token is 401.
    AcceptUnusable,
}

/// What `created-by` names when a team's or an organization's token made a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CreatedBy {
    /// The team or the organization.
    Resource,
    /// The service user behind it.
    ServiceUser,
    /// Nobody: `data` is null.
    Null,
}

/// Which product answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// HCP Terraform.
    Hcp,
    /// Terraform Enterprise, with its monthly version (`v202505-1`) for `X-TFE-Version`.
    Tfe(String),
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_read_from_json_and_shows_no_value() {
        let world = World::from_json(
            r#"{
                "organizations": [{"name": "acme", "external-id": "org-1", "max-ttl-ms": {"team": 60000}}],
                "teams": [{"id": "team-a", "name": "a", "organization": "acme", "secret": true}],
                "users": [{"id": "user-a", "name": "a", "owner-of": ["acme"]}],
                "admin-tokens": [{"value": "very-secret", "subject": {"user": "user-a"}}],
                "behaviour": {"ttl-excess": "clamp"}
            }"#,
        )
        .expect("a seed");
        assert!(world.organizations[0].user_tokens_enabled && world.teams[0].allow_member_token_management);
        assert_eq!(world.behaviour.ttl_excess, TtlExcess::Clamp);
        assert_eq!(world.admin_tokens[0].value.expose(), "very-secret");
        assert!(!format!("{world:?}").contains("very-secret"));
        World::from_json(r#"{"organisations": []}"#).expect_err("a misspelt member is an error");
    }
}
