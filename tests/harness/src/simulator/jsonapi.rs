//! The documents of replies: resources, errors, pages.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::state::{Caller, Refusal, State};
use super::tokens::{Serial, Token, TokenKind};
use super::world::{Organization, Team};

/// A reply before it is put on the wire. No `Debug`: a body may hold a token's value.
#[derive(Clone)]
pub(crate) struct Reply {
    pub status: u16,
    pub body: Option<Value>,
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, body: Some(body) }
    }

    pub fn no_content() -> Self {
        Self { status: 204, body: None }
    }

    /// The documented body of a 429, whose `status` is a number.
    pub fn too_many_requests() -> Self {
        let error =
            json!({"detail": "You have exceeded the API's rate limit.", "status": 429, "title": "Too many requests"});
        Self::json(429, json!({"errors": [error]}))
    }

    /// A JSON:API error.
    pub fn error(status: u16, title: &str, detail: Option<&str>) -> Self {
        let mut error = json!({"status": status.to_string(), "title": title});
        if let Some(detail) = detail {
            error["detail"] = json!(detail);
        }
        Self::json(status, json!({"errors": [error]}))
    }

    pub fn refusal(refusal: &Refusal, duplicate_status: u16) -> Self {
        match refusal {
            Refusal::Unauthorized => Self::error(401, "unauthorized", None),
            Refusal::NotFound => Self::error(404, "not found", None),
            Refusal::Forbidden => Self::error(403, "forbidden", None),
            Refusal::BadParameter(detail) => Self::error(400, "bad request", Some(detail)),
            Refusal::UnsupportedMediaType => {
                Self::error(415, "unsupported media type", Some("Content-Type must be application/vnd.api+json"))
            }
            Refusal::Invalid(detail) => Self::error(422, "invalid attributes", Some(detail)),
            Refusal::DescriptionTaken => {
                let detail = "Validation failed: Description has already been taken";
                Self::error(duplicate_status, "invalid attributes", Some(detail))
            }
        }
    }
}

fn instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A token; its value only where it is the reply to its create.
pub(crate) fn token(state: &State, serial: Serial, value: Option<&str>, now: Timestamp) -> Value {
    let token: &Token = state.tokens.get(serial);
    let lag = SignedDuration::from_secs(state.behaviour.last_used_lag_seconds);
    let shown = token.first_used_at.is_some_and(|first| now.duration_since(first) >= lag);
    let created_by = token.created_by.as_ref().map(|(id, kind)| json!({"id": id, "type": kind}));
    let mut relationships = json!({"created-by": {"data": created_by}});
    if matches!(token.kind, TokenKind::Team | TokenKind::TeamLegacy) {
        relationships["team"] = json!({"data": {"id": token.subject, "type": "teams"}});
    }
    json!({
        "id": token.id,
        "type": "authentication-tokens",
        "attributes": {
            "created-at": instant(token.created_at),
            "last-used-at": token.last_used_at.filter(|_| shown).map(instant),
            "description": token.description,
            "token": value,
            "expired-at": token.expired_at.map(instant),
        },
        "relationships": relationships,
    })
}

pub(crate) fn account(state: &State, caller: &Caller) -> Value {
    let resource = state.resource(caller).map(|(id, kind)| json!({"id": id, "type": kind}));
    let service = caller.kind != TokenKind::User;
    let username = if service {
        let prefix = if caller.subject.starts_with("team") { "api-team" } else { "api-org" };
        format!("{prefix}_{}", caller.subject)
    } else {
        state.users.get(&caller.subject).map(|user| user.name.clone()).unwrap_or_default()
    };
    let path = format!("/api/v2/users/{}", caller.account);
    json!({
        "id": caller.account,
        "type": "users",
        "attributes": {
            "username": username,
            "is-service-account": service,
            "auth-method": "tfc",
            "avatar-url": "https://www.gravatar.com/avatar/?s=100&d=mm",
            "v2-only": true,
            "email": (!service).then(|| format!("{username}@example.com")),
            "unconfirmed-email": null,
            "two-factor": {"enabled": false, "verified": false},
            "permissions": {"can-create-organizations": !service, "can-change-email": !service, "can-change-username": !service},
        },
        "relationships": {
            "authentication-tokens": {"links": {"related": format!("{path}/authentication-tokens")}},
            "authenticated-resource": {"data": resource},
        },
        "links": {
            "self": path,
            "auth-token": format!("/api/v2/authentication-tokens/{}", state.tokens.get(caller.token).id),
        },
    })
}

pub(crate) fn user(id: &str, username: &str, service: bool) -> Value {
    json!({
        "id": id,
        "type": "users",
        "attributes": {"username": username, "is-service-account": service, "auth-method": "tfc", "v2-only": true},
        "relationships": {"authentication-tokens": {"links": {"related": format!("/api/v2/users/{id}/authentication-tokens")}}},
        "links": {"self": format!("/api/v2/users/{id}")},
    })
}

pub(crate) fn organization(state: &State, caller: &Caller, organization: &Organization) -> Value {
    let owner = state.owns(caller, organization);
    json!({
        "id": organization.name,
        "type": "organizations",
        "attributes": {
            "name": organization.name,
            "external-id": organization.external_id,
            "created-at": "2020-01-01T00:00:00.000Z",
            "email": "owner@example.com",
            "collaborator-auth-policy": "password",
            "max-ttl-enabled": !organization.max_ttl_ms.is_empty(),
            "user-tokens-enabled": organization.user_tokens_enabled,
            "permissions": {
                "can-update": owner,
                "can-update-api-token": owner,
                "can-update-authentication-token": owner,
                "can-create-team": state.manages_teams(caller, organization),
                "can-update-agent-pools": owner,
            },
        },
        "links": {"self": format!("/api/v2/organizations/{}", organization.name)},
    })
}

pub(crate) fn team(state: &State, caller: &Caller, organization: &Organization, team: &Team) -> Value {
    let manages = state.manages_tokens_of(caller, organization, team);
    json!({
        "id": team.id,
        "type": "teams",
        "attributes": {
            "name": team.name,
            "sso-team-id": null,
            "users-count": team.members.len(),
            "visibility": if team.secret { "secret" } else { "organization" },
            "allow-member-token-management": team.allow_member_token_management,
            "permissions": {
                "can-update-membership": state.manages_teams(caller, organization),
                "can-destroy": state.manages_teams(caller, organization),
                "can-update-api-token": manages,
                "can-view-api-token": manages,
            },
            "organization-access": {"manage-teams": team.manage_teams},
        },
        "relationships": {
            "organization": {"data": {"id": organization.name, "type": "organizations"}},
            "authentication-token": {"meta": {}},
        },
        "links": {"self": format!("/api/v2/teams/{}", team.id)},
    })
}

/// One page's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub number: usize,
    pub size: usize,
}

/// A list that moves between two pages: what a client sees when entries of earlier pages come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shift {
    /// Entries skipped (positive) or shown again (negative) at the start of the page.
    pub skip: i64,
    /// Added to `total-count`.
    pub count: i64,
}

/// A page of a list with its `meta` and `links`.
pub(crate) fn page<T>(items: &[T], page: Page, path: &str, shift: Shift, render: impl Fn(&T) -> Value) -> Value {
    let total = items.len().saturating_add_signed(shift.count as isize);
    let pages = total.div_ceil(page.size).max(1);
    let start =
        ((page.number - 1).saturating_mul(page.size)).saturating_add_signed(shift.skip as isize).min(items.len());
    let end = start.saturating_add(page.size).min(items.len());
    let link = |number: usize| format!("{path}?page%5Bnumber%5D={number}&page%5Bsize%5D={}", page.size);
    let previous = (page.number > 1).then(|| page.number - 1);
    let next = (page.number < pages).then(|| page.number + 1);
    json!({
        "data": items[start..end].iter().map(render).collect::<Vec<_>>(),
        "links": {
            "self": link(page.number),
            "first": link(1),
            "prev": previous.map(link),
            "next": next.map(link),
            "last": link(pages),
        },
        "meta": {"pagination": {
            "current-page": page.number,
            "page-size": page.size,
            "prev-page": previous,
            "next-page": next,
            "total-pages": pages,
            "total-count": total,
        }},
    })
}
