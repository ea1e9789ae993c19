//! Whom a token acts for: the role's own words, and TFC's id.

use std::fmt;

use super::book;
use super::observed::{Account, Config, Observed};
use crate::api::TerraformCloudRoleSpec;
use crate::api::role::TeamCredentialType;

/// Whom a token acts for, by TFC's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One of many tokens of a user.
    User(String),
    /// One of many tokens of a team.
    Team(String),
    /// The single token without a description of a team.
    TeamLegacy(String),
    /// The single token of an organization, by its name.
    Organization(String),
}

impl Subject {
    /// Minting for it revokes what was there: the subject has one token only.
    pub fn is_slot(&self) -> bool {
        matches!(self, Subject::TeamLegacy(_) | Subject::Organization(_))
    }

    /// TFC's id, or the organization's name.
    pub fn id(&self) -> &str {
        let (Subject::User(id) | Subject::Team(id) | Subject::TeamLegacy(id) | Subject::Organization(id)) = self;
        id
    }

    /// Back from the form in which records hold it.
    pub fn parse(text: &str) -> Option<Subject> {
        let mut parts = text.split('/');
        let (kind, id, slot) = (parts.next()?, parts.next()?.to_owned(), parts.next());
        match (kind, slot) {
            ("users", None) => Some(Subject::User(id)),
            ("teams", None) => Some(Subject::Team(id)),
            ("teams", Some("legacy")) => Some(Subject::TeamLegacy(id)),
            ("organizations", None) => Some(Subject::Organization(id)),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::User(id) => write!(f, "users/{id}"),
            Subject::Team(id) => write!(f, "teams/{id}"),
            Subject::TeamLegacy(id) => write!(f, "teams/{id}/legacy"),
            Subject::Organization(name) => write!(f, "organizations/{name}"),
        }
    }
}

/// A team that has to be looked up at TFC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TeamQuestion {
    /// By id: what is its organization?
    Id(String),
    /// By name: what is its id?
    Named {
        /// Organization of the team.
        organization: String,
        /// Name of the team in it.
        name: String,
    },
}

impl fmt::Display for TeamQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TeamQuestion::Id(id) => f.write_str(id),
            TeamQuestion::Named { organization, name } => write!(f, "{organization}/{name}"),
        }
    }
}

/// What can be said of a role's subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// TFC's id is known.
    Known(Subject),
    /// A team has to be looked up first.
    Ask(TeamQuestion),
    /// The config's account has to be known first.
    NeedsAccount,
    /// The spec names none: an object that got past the schema.
    None,
}

/// The role's subject: as pinned in its status, else as its spec says.
pub fn resolve(o: &Observed) -> Resolution {
    let spec = &o.role.spec;
    let pinned = o.role.status.as_ref().and_then(|s| s.subject_id.clone());
    if let Some(organization) = &spec.organization {
        return Resolution::Known(Subject::Organization(organization.name.clone()));
    }
    if let Some(user) = &spec.user {
        // `me` is pinned by the first token, not by an attempt that came to nothing while the config changed hands.
        let served = o.role.status.as_ref().is_some_and(|s| s.handled.is_some() || book::has_records(s));
        return match pinned.filter(|_| served).or_else(|| user.id.clone()).or_else(|| account(o).map(|a| a.id.clone()))
        {
            Some(id) => Resolution::Known(Subject::User(id)),
            None => Resolution::NeedsAccount,
        };
    }
    let Some(team) = &spec.team else { return Resolution::None };
    let subject = match team.credential_type {
        TeamCredentialType::Team => Subject::Team,
        TeamCredentialType::TeamLegacy => Subject::TeamLegacy,
        TeamCredentialType::Unknown => return Resolution::None,
    };
    if let Some(id) = pinned.or_else(|| team.id.clone()) {
        return Resolution::Known(subject(id));
    }
    let (Some(organization), Some(name)) = (&team.organization, &team.name) else { return Resolution::None };
    match o.config.as_ref().and_then(|c| team_named(c, organization, name)) {
        Some(id) => Resolution::Known(subject(id)),
        None => Resolution::Ask(TeamQuestion::Named { organization: organization.clone(), name: name.clone() }),
    }
}

/// The subject in the role's own words, for the column and for messages.
pub fn words(spec: &TerraformCloudRoleSpec) -> String {
    if let Some(organization) = &spec.organization {
        return organization.name.clone();
    }
    if let Some(team) = &spec.team {
        let named =
            || format!("{}/{}", team.organization.as_deref().unwrap_or("?"), team.name.as_deref().unwrap_or("?"));
        return team.id.clone().unwrap_or_else(named);
    }
    spec.user.as_ref().and_then(|u| u.id.clone()).unwrap_or_else(|| "me".into())
}

/// The config's account, where it is confirmed.
pub fn account(o: &Observed) -> Option<&Account> {
    o.config.as_ref()?.account.as_ref().ok()
}

/// Id of a team in the config's directory.
pub fn team_named(config: &Config, organization: &str, name: &str) -> Option<String> {
    config.teams.iter().find(|t| t.organization == organization && t.name == name).map(|t| t.id.clone())
}

/// Organization of a team in the config's directory.
pub fn organization_of<'a>(config: &'a Config, team_id: &str) -> Option<&'a str> {
    config.teams.iter().find(|t| t.id == team_id).map(|t| t.organization.as_str())
}
