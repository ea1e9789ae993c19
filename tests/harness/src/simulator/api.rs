//! The endpoints: from a request to a reply, through the state alone.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::jsonapi::{self, Page, Reply, Shift};
use super::state::{Caller, Refusal, State, service_user};
use super::tokens::{Revocation, Serial, TokenKind};
use super::workspaces;
use super::world::Product;

/// A request that has been taken off the wire and whose caller is known.
#[derive(Clone)]
pub(crate) struct Request {
    pub method: String,
    /// Below `/api/v2`.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
    pub shift: Shift,
}

/// Answers an authenticated request.
pub(crate) fn answer(
    state: &mut State,
    caller: &Caller,
    request: &Request,
    product: &Product,
    now: Timestamp,
) -> Reply {
    state.tokens.used(caller.token, now);
    let mut call = Call { state, caller, request, product, now };
    let reply = call.check_content_type().and_then(|()| call.dispatch());
    reply.unwrap_or_else(|refusal| Reply::refusal(&refusal, state.behaviour.duplicate_description_status))
}

/// The route that a path belongs to, with `:name` for what varies.
pub(crate) fn route_of(path: &str) -> &'static str {
    match segments(path).as_slice() {
        ["ping"] => "/ping",
        ["account", "details"] => "/account/details",
        ["organization", "audit-trail"] => "/organization/audit-trail",
        ["organizations", _] => "/organizations/:organization",
        ["organizations", _, "teams"] => "/organizations/:organization/teams",
        ["organizations", _, "team-tokens"] => "/organizations/:organization/team-tokens",
        ["organizations", _, "token-ttl-policies"] => "/organizations/:organization/token-ttl-policies",
        ["organizations", _, "authentication-token"] => "/organizations/:organization/authentication-token",
        ["teams", _] => "/teams/:team",
        ["teams", _, "authentication-token"] => "/teams/:team/authentication-token",
        ["teams", _, "authentication-tokens"] => "/teams/:team/authentication-tokens",
        ["users", _] => "/users/:user",
        ["users", _, "authentication-tokens"] => "/users/:user/authentication-tokens",
        ["authentication-tokens", _] => "/authentication-tokens/:token",
        _ => "none",
    }
}

pub(crate) fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}

struct Call<'a> {
    state: &'a mut State,
    caller: &'a Caller,
    request: &'a Request,
    product: &'a Product,
    now: Timestamp,
}

type Answer = Result<Reply, Refusal>;

impl Call<'_> {
    /// Wanted on every method that writes, also where there is no body (go-tfe v2's content-type middleware).
    fn check_content_type(&self) -> Result<(), Refusal> {
        let media_type = self.request.content_type.as_deref().map(|text| text.split(';').next().unwrap_or("").trim());
        match self.request.method.as_str() {
            "POST" | "PATCH" | "DELETE" if media_type != Some("application/vnd.api+json") => {
                Err(Refusal::UnsupportedMediaType)
            }
            _ => Ok(()),
        }
    }

    fn dispatch(&mut self) -> Answer {
        let request = self.request;
        match (request.method.as_str(), segments(&request.path).as_slice()) {
            ("GET", ["account", "details"]) => {
                Ok(Reply::json(200, json!({"data": jsonapi::account(self.state, self.caller)})))
            }
            ("GET", ["organization", "audit-trail"]) => self.audit_trail(),
            ("GET", ["organizations", name]) => {
                let organization = self.state.organization_for(self.caller, name)?;
                Ok(Reply::json(200, json!({"data": jsonapi::organization(self.state, self.caller, organization)})))
            }
            ("GET", ["organizations", name, "teams"]) => self.teams(name),
            ("GET", ["organizations", name, "team-tokens"]) => self.team_tokens(name),
            ("GET", ["organizations", name, "token-ttl-policies"]) => self.ttl_policies(name),
            (method, ["organizations", name, "authentication-token"]) => {
                let subject = self.state.organization_owned_by(self.caller, name)?.external_id.clone();
                self.slot(method, self.organization_slot(), &subject)
            }
            ("GET", ["teams", id]) => {
                let (team, organization) = self.state.team_for(self.caller, id)?;
                Ok(Reply::json(200, json!({"data": jsonapi::team(self.state, self.caller, organization, team)})))
            }
            (method, ["teams", id, "authentication-token"]) => {
                self.state.team_managed_by(self.caller, id)?;
                self.slot(method, TokenKind::TeamLegacy, id)
            }
            ("POST", ["teams", id, "authentication-tokens"]) => self.create_team_token(id),
            ("GET", ["users", id]) => self.user(id),
            ("GET", ["users", id, "authentication-tokens"]) => self.user_tokens(id),
            ("POST", ["users", id, "authentication-tokens"]) => self.create_user_token(id),
            ("GET", ["authentication-tokens", id]) => {
                let serial = self.state.token_for(self.caller, id)?;
                Ok(self.shown(serial))
            }
            ("DELETE", ["authentication-tokens", id]) => {
                let serial = self.state.token_for(self.caller, id)?;
                if self.state.tokens.get(serial).kind.is_slot() && !self.state.behaviour.slot_deletable_by_id {
                    return Err(Refusal::NotFound);
                }
                self.state.tokens.revoke(serial, self.now, &self.caller.account, Revocation::Delete);
                Ok(Reply::no_content())
            }
            (method, segments) => {
                workspaces::answer(self.state, self.caller, method, segments).unwrap_or(Err(Refusal::NotFound))
            }
        }
    }

    fn audit_trail(&self) -> Answer {
        match self.caller.kind {
            TokenKind::AuditTrails | TokenKind::Organization => Ok(Reply::json(200, json!({"data": []}))),
            _ => Err(Refusal::NotFound),
        }
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.request.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The page asked for; sizes above 100 are cut to 100.
    fn page(&self) -> Page {
        let number = self.query("page[number]").and_then(|text| text.parse().ok()).unwrap_or(1);
        let size = self.query("page[size]").and_then(|text| text.parse().ok()).unwrap_or(20);
        Page { number: number.max(1), size: size.clamp(1, 100) }
    }

    fn paged<T>(&self, items: &[T], render: impl Fn(&T) -> Value) -> Reply {
        let path = format!("/api/v2{}", self.request.path);
        Reply::json(200, jsonapi::page(items, self.page(), &path, self.request.shift, render))
    }

    fn shown(&self, serial: Serial) -> Reply {
        Reply::json(200, json!({"data": jsonapi::token(self.state, serial, None, self.now)}))
    }

    fn teams(&self, name: &str) -> Answer {
        let organization = self.state.organization_for(self.caller, name)?;
        let names: Option<Vec<&str>> = self.query("filter[names]").map(|names| names.split(',').collect());
        let search = self.query("q").map(str::to_lowercase);
        let teams = self.state.teams.values().filter(|team| {
            team.organization == organization.name
                && names.as_ref().is_none_or(|names| names.contains(&team.name.as_str()))
                && search.as_ref().is_none_or(|text| team.name.to_lowercase().contains(text))
                && self.state.sees_team(self.caller, organization, team)
        });
        let teams: Vec<_> = teams.collect();
        Ok(self.paged(&teams, |team| jsonapi::team(self.state, self.caller, organization, team)))
    }

    fn team_tokens(&self, name: &str) -> Answer {
        let organization = self.state.organization_for(self.caller, name)?;
        // One look per team, not per token: an organization may have thousands of tokens.
        let search = self.query("q").map(str::to_lowercase);
        let all = self.state.manages_teams(self.caller, organization) && search.is_none();
        let teams: std::collections::HashMap<&str, &str> = self
            .state
            .teams
            .values()
            .filter(|team| all || self.state.manages_tokens_of(self.caller, organization, team))
            .filter(|team| search.as_ref().is_none_or(|text| team.name.to_lowercase().contains(text)))
            .map(|team| (team.id.as_str(), team.name.as_str()))
            .collect();
        let status = self.query("filter[status]").or_else(|| self.query("filter[expiry_status]"));
        let tokens = &self.state.tokens;
        let mut serials: Vec<Serial> = tokens
            .of_organization(&organization.external_id)
            .iter()
            .copied()
            .filter(|serial| teams.contains_key(tokens.get(*serial).subject.as_str()))
            .filter(|serial| status.is_none_or(|status| self.has_status(*serial, status)))
            .collect();
        if let Some(sort) = self.query("sort") {
            let (key, reverse) = sort.strip_prefix('-').map_or((sort, false), |key| (key, true));
            match key {
                "created-by" => serials.sort_by_key(|serial| tokens.get(*serial).created_by.clone()),
                "expired-at" => serials.sort_by_key(|serial| tokens.get(*serial).expired_at),
                "last-used-at" => serials.sort_by_key(|serial| tokens.get(*serial).last_used_at),
                "team-name" => serials.sort_by_key(|serial| teams.get(tokens.get(*serial).subject.as_str())),
                _ => return Err(Refusal::BadParameter("Invalid sort parameter")),
            }
            if reverse {
                serials.reverse();
            }
        }
        Ok(self.paged(&serials, |serial| jsonapi::token(self.state, *serial, None, self.now)))
    }

    fn has_status(&self, serial: Serial, statuses: &str) -> bool {
        let expired_at = self.state.tokens.get(serial).expired_at;
        let within = |days: i64| {
            expired_at
                .is_some_and(|at| at > self.now && at.duration_since(self.now) <= SignedDuration::from_hours(days * 24))
        };
        statuses.split(',').any(|status| match status {
            "active" => expired_at.is_none_or(|at| at > self.now),
            "expired" => expired_at.is_some_and(|at| at <= self.now),
            "no_expiration" => expired_at.is_none(),
            "expiring_in_7_days" => within(7),
            "expiring_in_30_days" => within(30),
            _ => false,
        })
    }

    /// The lifetime policies; one of the two endpoints that answer 403.
    fn ttl_policies(&self, name: &str) -> Answer {
        let organization = self.state.organization_for(self.caller, name)?;
        if !self.state.owns(self.caller, organization) {
            return Err(Refusal::Forbidden);
        }
        let policies = ["organization", "team", "user", "audit_trails"].map(|kind| {
            let limit = organization.max_ttl_ms.get(kind).copied().unwrap_or(63_113_904_000);
            json!({
                "id": format!("ottl-{}-{kind}", organization.external_id),
                "type": "organization-token-ttl-policies",
                "attributes": {"token-type": kind, "max-ttl-ms": limit},
            })
        });
        Ok(Reply::json(200, json!({"data": policies})))
    }

    /// Terraform Enterprise ignores the parameter (go-tfe), so there it names the ordinary slot.
    fn organization_slot(&self) -> TokenKind {
        match (self.query("token"), self.product) {
            (Some("audit-trails"), Product::Hcp) => TokenKind::AuditTrails,
            _ => TokenKind::Organization,
        }
    }

    fn slot(&mut self, method: &str, kind: TokenKind, subject: &str) -> Answer {
        let held = self.state.tokens.in_slot(kind, subject);
        match method {
            "GET" => held.map(|serial| self.shown(serial)).ok_or(Refusal::NotFound),
            "DELETE" => {
                let serial = held.ok_or(Refusal::NotFound)?;
                self.state.tokens.revoke(serial, self.now, &self.caller.account, Revocation::Delete);
                Ok(Reply::no_content())
            }
            "POST" => {
                let attributes = self.attributes()?;
                self.create(kind, subject, None, &attributes)
            }
            _ => Err(Refusal::NotFound),
        }
    }

    fn create_team_token(&mut self, id: &str) -> Answer {
        if !self.state.behaviour.many_team_tokens {
            return Err(Refusal::NotFound);
        }
        self.state.team_managed_by(self.caller, id)?;
        let attributes = self.attributes()?;
        let description = self.description(&attributes)?;
        if let Some(text) = &description
            && let Some(holder) = self.state.tokens.holder_of_description(id, text)
            && (self.state.behaviour.expired_holds_description || !holder.is_expired(self.now))
        {
            return Err(Refusal::DescriptionTaken);
        }
        self.create(TokenKind::Team, id, description, &attributes)
    }

    fn user(&self, id: &str) -> Answer {
        if id == self.caller.account && self.caller.kind != TokenKind::User {
            return Ok(Reply::json(200, json!({"data": jsonapi::user(id, &service_user(&self.caller.subject), true)})));
        }
        let user = self.state.users.get(id).ok_or(Refusal::NotFound)?;
        Ok(Reply::json(200, json!({"data": jsonapi::user(id, &user.name, false)})))
    }

    /// Another user's list is empty, not refused (API docs, "User Tokens").
    fn user_tokens(&self, id: &str) -> Answer {
        if !self.state.users.contains_key(id) && id != self.caller.account {
            return Err(Refusal::NotFound);
        }
        let own = self.caller.kind == TokenKind::User && self.caller.subject == id;
        let serials = if own { self.state.tokens.of_subject(id) } else { &[] };
        let render = |serial: &Serial| jsonapi::token(self.state, *serial, None, self.now);
        if self.query("page[number]").is_some() || self.query("page[size]").is_some() {
            return Ok(self.paged(serials, render));
        }
        let skip = usize::try_from(self.request.shift.skip).unwrap_or(0);
        Ok(Reply::json(200, json!({"data": serials.iter().skip(skip).map(render).collect::<Vec<_>>()})))
    }

    /// Only a user's own token makes tokens for that user.
    fn create_user_token(&mut self, id: &str) -> Answer {
        if self.caller.kind != TokenKind::User || self.caller.subject != id {
            return Err(Refusal::NotFound);
        }
        let attributes = self.attributes()?;
        let description = self.description(&attributes)?;
        self.create(TokenKind::User, id, description, &attributes)
    }

    fn attributes(&self) -> Result<Value, Refusal> {
        let invalid = |detail: &str| Refusal::Invalid(detail.to_owned());
        let body: Value = serde_json::from_slice(&self.request.body).map_err(|_| invalid("The body is not JSON"))?;
        let data = body.get("data").filter(|data| data.is_object()).ok_or_else(|| invalid("data is missing"))?;
        match data.get("attributes") {
            None | Some(Value::Null) => Ok(json!({})),
            Some(attributes) if attributes.is_object() => Ok(attributes.clone()),
            Some(_) => Err(invalid("attributes is not an object")),
        }
    }

    fn description(&self, attributes: &Value) -> Result<Option<String>, Refusal> {
        match attributes.get("description") {
            Some(Value::String(text)) => Ok(Some(text.clone())),
            None | Some(Value::Null) if self.state.behaviour.description_required => {
                Err(Refusal::Invalid("Validation failed: Description can't be blank".to_owned()))
            }
            None | Some(Value::Null) => Ok(None),
            Some(_) => Err(Refusal::Invalid("Validation failed: Description is invalid".to_owned())),
        }
    }

    fn create(&mut self, kind: TokenKind, subject: &str, description: Option<String>, attributes: &Value) -> Answer {
        let invalid = || Refusal::Invalid("Validation failed: Expired at is invalid".to_owned());
        let asked = match attributes.get("expired-at") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.parse::<Timestamp>().map_err(|_| invalid())?),
            Some(_) => return Err(invalid()),
        };
        let expired_at = self.state.expiry(kind, &self.governing(kind, subject), asked, self.now)?;
        let (serial, value) = self.state.mint(Some(self.caller), kind, subject, description, expired_at, self.now);
        Ok(Reply::json(201, json!({"data": jsonapi::token(self.state, serial, Some(value.expose()), self.now)})))
    }

    /// The organizations whose lifetime policy a create is held to.
    fn governing(&self, kind: TokenKind, subject: &str) -> Vec<&super::world::Organization> {
        match kind {
            TokenKind::Organization | TokenKind::AuditTrails => self.state.organization(subject).into_iter().collect(),
            TokenKind::Team | TokenKind::TeamLegacy => {
                let team = self.state.teams.get(subject);
                team.and_then(|team| self.state.organizations.get(&team.organization)).into_iter().collect()
            }
            TokenKind::User => {
                let Some(user) = self.state.users.get(subject) else { return Vec::new() };
                let names = user.owner_of.iter().chain(&user.member_of);
                names.filter_map(|name| self.state.organizations.get(name)).collect()
            }
        }
    }
}
