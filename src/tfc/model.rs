//! What the calls give. None of it holds a token's value, but [`Minted`].

use jiff::Timestamp;

use super::token::TokenValue;

/// A token as it can be read: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// `at-…`; opaque.
    pub id: String,
    /// The description; an organization's and a team's single token have none.
    pub description: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used; `None` if never.
    pub last_used_at: Option<Timestamp>,
    /// When it ends; `None` for an old token without an end.
    pub expired_at: Option<Timestamp>,
    /// Who made it, where TFC tells.
    pub created_by: Option<Principal>,
    /// The team whose token it is.
    pub team_id: Option<String>,
}

/// A reference to a user, a team or an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// JSON:API's type: `users`, `teams`, `organizations`.
    pub kind: String,
    /// The id; an organization's name.
    pub id: String,
}

/// A new token, with the value that TFC shows this once.
#[derive(Debug)]
pub struct Minted {
    /// All but the value. `expired_at` is what the server made of the expiry that was asked for.
    pub info: TokenInfo,
    /// The value.
    pub value: TokenValue,
}

/// The tokens of a [`super::ListScope`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Each once, though a list that shifts while it is paged may show one twice (or miss one).
    pub tokens: Vec<TokenInfo>,
    /// How many there are by TFC's count; `None` if it gave none, or pages disagreed, that is, the list changed meanwhile.
    pub total: Option<u64>,
    /// On how many pages they stood. One page is a snapshot.
    pub pages: u32,
}

/// What deleting a slot's token came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// TFC deleted the token.
    Done,
    /// The slot was empty, and the caller could have seen a token there.
    WasEmpty,
}

/// The account behind a client's token (API page "Account", "Show your account details").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountInfo {
    /// `user-…`; a team's or organization's token has a user made for it.
    pub id: String,
    /// The user's name.
    pub name: String,
    /// Whose token it is.
    pub kind: AccountKind,
    /// The team's id or the organization's name; `None` for a user, and on servers that do not tell.
    pub owner_id: Option<String>,
    /// The id of the client's own token, where the server tells.
    pub token_id: Option<String>,
    /// The server.
    pub server: ServerInfo,
}

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountKind {
    /// A user's.
    User,
    /// A team's.
    Team,
    /// An organization's.
    Organization,
}

/// What a server says of itself in its headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// `TFP-AppName`: `HCP Terraform` or `Terraform Enterprise`; older TFE says nothing.
    pub product: Option<String>,
    /// `TFP-API-Version`, as `2.5`.
    pub api_version: Option<String>,
    /// `X-TFE-Current-Version` (`1.0.3`) or else `X-TFE-Version` (`v202208-3`); HCP Terraform has neither.
    pub version: Option<String>,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationInfo {
    /// Its name, which its paths have.
    pub name: String,
    /// `org-…`, which outlives a change of the name.
    pub external_id: Option<String>,
    /// Whether the caller may make and see the organization's token.
    pub can_update_token: Option<bool>,
    /// Whether the organization limits how long tokens live.
    pub max_ttl_enabled: Option<bool>,
    /// Whether it takes users' tokens.
    pub user_tokens_enabled: Option<bool>,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamInfo {
    /// `team-…`
    pub id: String,
    /// Its name, unique in its organization.
    pub name: String,
    /// Its organization's name, where the server tells.
    pub organization: Option<String>,
    /// Whether the caller may make and see the team's tokens.
    pub can_update_token: Option<bool>,
}
