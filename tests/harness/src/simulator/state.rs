//! The state behind the API and the rules on who may do what. Synchronous; the time comes in as an argument.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::tokens::{NewToken, PERSON, Revocation, SEED, Serial, Token, TokenKind, Tokens, random_text, random_value};
use super::world::{AdminToken, Behaviour, CreatedBy, Organization, Subject, Team, TokenValue, TtlExcess, User, World};

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Something is wrong with the token itself.
    Unauthorized,
    /// Not there, or not for this caller.
    NotFound,
    /// Only where the documentation says so.
    Forbidden,
    /// A bad `sort`.
    BadParameter(&'static str),
    /// The body lacks its media type.
    UnsupportedMediaType,
    /// The body is not acceptable.
    Invalid(String),
    /// The team has a token of that description.
    DescriptionTaken,
}

/// Whoever a call's token stands for.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub token: Serial,
    /// The user, or the service user behind a team's or an organization's token: the unit of rate limits.
    pub account: String,
    pub kind: TokenKind,
    /// User id, team id or the organization's external id.
    pub subject: String,
}

/// The state.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// By name.
    pub organizations: BTreeMap<String, Organization>,
    /// By id.
    pub teams: BTreeMap<String, Team>,
    /// By id.
    pub users: BTreeMap<String, User>,
    pub tokens: Tokens,
    pub behaviour: Behaviour,
}

impl State {
    pub fn new(world: World, now: Timestamp) -> Self {
        let mut state = Self { behaviour: world.behaviour, ..Self::default() };
        for team in world.teams {
            state.teams.insert(team.id.clone(), team);
        }
        for user in world.users {
            state.users.insert(user.id.clone(), user);
        }
        for organization in world.organizations {
            state.add_organization(organization);
        }
        for token in world.admin_tokens {
            state.add_admin_token(token, now);
        }
        state
    }

    pub fn add_organization(&mut self, organization: Organization) {
        let name = organization.name.clone();
        if !self.teams.values().any(|team| team.organization == name && team.name == "owners") {
            let owners = Team::new(format!("team-{}", random_text(16)), "owners", name.clone());
            self.teams.insert(owners.id.clone(), owners);
        }
        self.organizations.insert(name, organization);
    }

    /// Makes a token with a given value; `None` when its subject does not exist.
    pub fn add_admin_token(&mut self, token: AdminToken, now: Timestamp) -> Option<String> {
        let (kind, subject, organization) = match token.subject {
            Subject::User(id) => (TokenKind::User, self.users.get(&id)?.id.clone(), None),
            Subject::Team(id) => {
                let team = self.teams.get(&id)?;
                let kind = if token.description.is_some() { TokenKind::Team } else { TokenKind::TeamLegacy };
                (kind, id, self.organizations.get(&team.organization).map(|o| o.external_id.clone()))
            }
            Subject::Organization(key) => {
                let external_id = self.organization(&key)?.external_id.clone();
                (TokenKind::Organization, external_id.clone(), Some(external_id))
            }
        };
        self.clear_slot(kind, &subject, now, PERSON, Revocation::Person);
        let new = NewToken {
            kind,
            subject,
            organization,
            description: token.description,
            created_at: to_millisecond(now),
            expired_at: token.expired_at,
            made_by: SEED.to_owned(),
            created_by: None,
        };
        let serial = self.tokens.add(new, &token.value);
        Some(self.tokens.get(serial).id.clone())
    }

    /// By name or external id.
    pub fn organization(&self, key: &str) -> Option<&Organization> {
        self.organizations.get(key).or_else(|| self.organizations.values().find(|o| o.external_id == key))
    }

    /// The caller that a value stands for, without trace: nothing counts as used.
    pub fn identify(&self, value: &str, now: Timestamp) -> Option<Caller> {
        let serial = self.tokens.of_value(value)?;
        let token = self.tokens.get(serial);
        if token.is_revoked() || token.is_expired(now) {
            return None;
        }
        // A user's token is held to the policy of the organization whose resources it asks for; see `organization_for`.
        if token.kind != TokenKind::User
            && let Some(organization) = token.organization.as_ref().and_then(|id| self.organization(id))
            && exceeds_policy(token, organization)
        {
            return None;
        }
        let account = match token.kind {
            TokenKind::User => token.subject.clone(),
            _ => service_user(&token.subject),
        };
        Some(Caller { token: serial, account, kind: token.kind, subject: token.subject.clone() })
    }

    /// The organization as far as the caller may see it.
    pub fn organization_for(&self, caller: &Caller, name: &str) -> Result<&Organization, Refusal> {
        let organization = self.organizations.get(name).ok_or(Refusal::NotFound)?;
        let visible = match caller.kind {
            TokenKind::User => {
                let user = self.users.get(&caller.subject).ok_or(Refusal::NotFound)?;
                user.owner_of.iter().chain(&user.member_of).chain(&user.manages_teams_of).any(|o| o == name)
            }
            TokenKind::Team | TokenKind::TeamLegacy => {
                self.teams.get(&caller.subject).is_some_and(|team| team.organization == name)
            }
            TokenKind::Organization => caller.subject == organization.external_id,
            // "can only read audit trails" (API docs, "Audit Trails Tokens").
            TokenKind::AuditTrails => false,
        };
        if !visible {
            return Err(Refusal::NotFound);
        }
        if caller.kind == TokenKind::User {
            if !organization.user_tokens_enabled {
                return Err(Refusal::NotFound);
            }
            if exceeds_policy(self.tokens.get(caller.token), organization) {
                return Err(Refusal::Unauthorized);
            }
        }
        Ok(organization)
    }

    /// An owner: a member of the team `owners`, that team's token, or the organization's own token.
    pub fn owns(&self, caller: &Caller, organization: &Organization) -> bool {
        match caller.kind {
            TokenKind::User => self.users.get(&caller.subject).is_some_and(|user| {
                user.owner_of.contains(&organization.name)
                    || self.teams.values().any(|team| {
                        team.name == "owners"
                            && team.organization == organization.name
                            && team.members.contains(&user.id)
                    })
            }),
            TokenKind::Team | TokenKind::TeamLegacy => self
                .teams
                .get(&caller.subject)
                .is_some_and(|team| team.name == "owners" && team.organization == organization.name),
            TokenKind::Organization => caller.subject == organization.external_id,
            TokenKind::AuditTrails => false,
        }
    }

    /// Owners and holders of `manage-teams`.
    pub fn manages_teams(&self, caller: &Caller, organization: &Organization) -> bool {
        if self.owns(caller, organization) {
            return true;
        }
        match caller.kind {
            TokenKind::User => {
                self.users.get(&caller.subject).is_some_and(|u| u.manages_teams_of.contains(&organization.name))
                    || self.teams.values().any(|team| {
                        team.manage_teams
                            && team.organization == organization.name
                            && team.members.contains(&caller.subject)
                    })
            }
            TokenKind::Team | TokenKind::TeamLegacy => self
                .teams
                .get(&caller.subject)
                .is_some_and(|team| team.manage_teams && team.organization == organization.name),
            TokenKind::Organization | TokenKind::AuditTrails => false,
        }
    }

    fn is_in_team(caller: &Caller, team: &Team) -> bool {
        match caller.kind {
            TokenKind::User => team.members.contains(&caller.subject),
            TokenKind::Team | TokenKind::TeamLegacy => caller.subject == team.id,
            TokenKind::Organization | TokenKind::AuditTrails => false,
        }
    }

    pub fn sees_team(&self, caller: &Caller, organization: &Organization, team: &Team) -> bool {
        !team.secret || Self::is_in_team(caller, team) || self.manages_teams(caller, organization)
    }

    pub fn manages_tokens_of(&self, caller: &Caller, organization: &Organization, team: &Team) -> bool {
        self.manages_teams(caller, organization)
            || (team.allow_member_token_management && Self::is_in_team(caller, team))
    }

    /// The team, as far as the caller may see it.
    pub fn team_for(&self, caller: &Caller, id: &str) -> Result<(&Team, &Organization), Refusal> {
        let team = self.teams.get(id).ok_or(Refusal::NotFound)?;
        let organization = self.organization_for(caller, &team.organization)?;
        if self.sees_team(caller, organization, team) { Ok((team, organization)) } else { Err(Refusal::NotFound) }
    }

    /// The team, if the caller may manage its tokens.
    pub fn team_managed_by(&self, caller: &Caller, id: &str) -> Result<(&Team, &Organization), Refusal> {
        let (team, organization) = self.team_for(caller, id)?;
        if self.manages_tokens_of(caller, organization, team) {
            Ok((team, organization))
        } else {
            Err(Refusal::NotFound)
        }
    }

    /// The organization, if the caller may manage its own tokens.
    pub fn organization_owned_by(&self, caller: &Caller, name: &str) -> Result<&Organization, Refusal> {
        let organization = self.organization_for(caller, name)?;
        if self.owns(caller, organization) { Ok(organization) } else { Err(Refusal::NotFound) }
    }

    /// A token by id, if the caller may manage it.
    pub fn token_for(&self, caller: &Caller, id: &str) -> Result<Serial, Refusal> {
        let serial = self.tokens.find(id).ok_or(Refusal::NotFound)?;
        let token = self.tokens.get(serial);
        match token.kind {
            TokenKind::User => {
                if caller.kind != TokenKind::User || caller.subject != token.subject {
                    return Err(Refusal::NotFound);
                }
            }
            TokenKind::Team | TokenKind::TeamLegacy => {
                self.team_managed_by(caller, &token.subject)?;
            }
            TokenKind::Organization | TokenKind::AuditTrails => {
                let name = self.organization(&token.subject).ok_or(Refusal::NotFound)?.name.clone();
                self.organization_owned_by(caller, &name)?;
            }
        }
        Ok(serial)
    }

    /// The expiry that a create gets for what it asks.
    pub fn expiry(
        &self,
        kind: TokenKind,
        organizations: &[&Organization],
        asked: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        let invalid = |detail: &str| Refusal::Invalid(detail.to_owned());
        let expiry = match (asked, self.behaviour.default_expiry_years) {
            (Some(at), _) => Some(to_second(at)),
            (None, Some(years)) => {
                let later = to_millisecond(now).to_zoned(TimeZone::UTC).checked_add(years.years());
                Some(later.map_err(|_| invalid("Validation failed: Expired at is invalid"))?.timestamp())
            }
            (None, None) => None,
        };
        if !self.behaviour.accepts_past_expiry && expiry.is_some_and(|at| at <= now) {
            return Err(invalid("Validation failed: Expired at must be in the future"));
        }
        let limits = organizations.iter().filter_map(|o| o.max_ttl_ms.get(kind.policy_type()));
        let Some(limit) = limits.min() else { return Ok(expiry) };
        let latest = Timestamp::from_millisecond(now.as_millisecond().saturating_add(*limit)).unwrap_or(Timestamp::MAX);
        if expiry.is_some_and(|at| at <= latest) {
            return Ok(expiry);
        }
        match self.behaviour.ttl_excess {
            TtlExcess::Reject => {
                Err(invalid("Validation failed: Expired at exceeds the maximum allowed by the organization"))
            }
            TtlExcess::Clamp => Ok(Some(to_second(latest))),
            TtlExcess::AcceptUnusable => Ok(expiry),
        }
    }

    /// Makes a token for a caller, or for a person if none; what was in its slot dies.
    pub fn mint(
        &mut self,
        caller: Option<&Caller>,
        kind: TokenKind,
        subject: &str,
        description: Option<String>,
        expired_at: Option<Timestamp>,
        now: Timestamp,
    ) -> (Serial, TokenValue) {
        let organization = match kind {
            TokenKind::User => None,
            TokenKind::Team | TokenKind::TeamLegacy => {
                let team = self.teams.get(subject);
                team.and_then(|t| self.organizations.get(&t.organization)).map(|o| o.external_id.clone())
            }
            TokenKind::Organization | TokenKind::AuditTrails => Some(subject.to_owned()),
        };
        let made_by = caller.map_or(PERSON, |c| c.account.as_str()).to_owned();
        let how = if caller.is_some() { Revocation::SlotReplaced } else { Revocation::Person };
        self.clear_slot(kind, subject, now, &made_by, how);
        let new = NewToken {
            kind,
            subject: subject.to_owned(),
            organization,
            description,
            created_at: to_millisecond(now),
            expired_at,
            created_by: caller.and_then(|c| self.created_by(c)),
            made_by,
        };
        let value = random_value();
        (self.tokens.add(new, &value), value)
    }

    fn created_by(&self, caller: &Caller) -> Option<(String, &'static str)> {
        match (caller.kind, self.behaviour.created_by) {
            (TokenKind::User, _) => Some((caller.subject.clone(), "users")),
            (_, CreatedBy::ServiceUser) => Some((caller.account.clone(), "users")),
            (_, CreatedBy::Null) => None,
            (_, CreatedBy::Resource) => self.resource(caller),
        }
    }

    /// What a caller's token belongs to, as replies name it: id and type.
    pub fn resource(&self, caller: &Caller) -> Option<(String, &'static str)> {
        match caller.kind {
            TokenKind::User => Some((caller.subject.clone(), "users")),
            TokenKind::Team | TokenKind::TeamLegacy => Some((caller.subject.clone(), "teams")),
            TokenKind::Organization | TokenKind::AuditTrails => {
                Some((self.organization(&caller.subject)?.name.clone(), "organizations"))
            }
        }
    }

    pub fn clear_slot(&mut self, kind: TokenKind, subject: &str, now: Timestamp, by: &str, how: Revocation) {
        if kind.is_slot()
            && let Some(former) = self.tokens.in_slot(kind, subject)
        {
            self.tokens.revoke(former, now, by, how);
        }
    }

    /// Revokes all tokens of a subject that has gone.
    pub fn revoke_all_of(&mut self, subject: &str, now: Timestamp) {
        for serial in self.tokens.of_subject(subject).to_vec() {
            self.tokens.revoke(serial, now, PERSON, Revocation::Person);
        }
    }

    /// Renames an organization: paths change, ids do not.
    pub fn rename_organization(&mut self, from: &str, to: &str) -> bool {
        let Some(mut organization) = self.organizations.remove(from) else { return false };
        organization.name = to.to_owned();
        self.organizations.insert(to.to_owned(), organization);
        for team in self.teams.values_mut().filter(|team| team.organization == from) {
            team.organization = to.to_owned();
        }
        for user in self.users.values_mut() {
            for list in [&mut user.owner_of, &mut user.member_of, &mut user.manages_teams_of] {
                for name in list.iter_mut().filter(|name| *name == from) {
                    *name = to.to_owned();
                }
            }
        }
        true
    }
}

/// Account id of the service user behind a team's or an organization's token.
pub(crate) fn service_user(subject: &str) -> String {
    format!("user-api-{subject}")
}

/// Longer-lived than the organization allows. Tokens that exist at the start are exempt, so that a test's caller stays.
fn exceeds_policy(token: &Token, organization: &Organization) -> bool {
    let Some(limit) = organization.max_ttl_ms.get(token.kind.policy_type()) else { return false };
    // `expired-at` is cut to the second and `created-at` is not, so a token at its limit is never over it.
    !token.is_seeded()
        && token.expired_at.is_none_or(|at| at.as_millisecond() - token.created_at.as_millisecond() > *limit)
}

fn to_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

fn to_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
