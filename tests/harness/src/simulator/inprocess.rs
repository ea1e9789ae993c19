//! The simulator as a function from request to reply: no socket, no thread, and no time but what it is told.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::api::Request;
use super::core::{Acted, Core, Incoming};
use super::faults::Faults;
use super::http::parse_query;
use super::jsonapi::Shift;
use super::limit::{Limiter, RateLimit};
use super::log::Log;
use super::state::State;
use super::tokens::{PERSON, Revocation, TokenKind, TokenView};
use super::world::{Product, TokenValue, World};
use super::{Slot, find_slot};

/// A simulator in the caller's own thread.
pub struct InProcess {
    core: Core,
}

/// What the server answers. No `Debug`: a body may hold a token's value.
#[derive(Clone)]
pub struct Answered {
    /// HTTP status.
    pub status: u16,
    /// JSON:API; empty with a 204.
    pub body: Vec<u8>,
}

impl InProcess {
    /// HCP Terraform without a limit on requests.
    pub fn new(world: World, now: Timestamp) -> Self {
        InProcess {
            core: Core {
                state: State::new(world, now),
                limiter: Limiter::default(),
                limit: RateLimit::Off,
                product: Product::Hcp,
                faults: Faults::default(),
                log: Log::new(1),
                reply_delay: Duration::ZERO,
                unavailable: false,
                shift: SignedDuration::ZERO,
                told: Some(now),
                started: Instant::now(),
            },
        }
    }

    /// Sets its clock, which stands still until it is told anew.
    pub fn set_now(&mut self, now: Timestamp) {
        self.core.told = Some(now);
    }

    /// Acts on a request. `target` is the path below `/api/v2` with its query.
    pub fn answer(&mut self, method: &str, target: &str, bearer: &str, body: &[u8]) -> Answered {
        let (path, raw_query) = target.split_once('?').unwrap_or((target, ""));
        let incoming = Incoming {
            request: Request {
                method: method.to_owned(),
                path: path.to_owned(),
                query: parse_query(raw_query),
                content_type: Some("application/vnd.api+json".to_owned()),
                body: body.to_vec(),
                shift: Shift::default(),
            },
            raw_query: raw_query.to_owned(),
            bearer: Some(TokenValue::new(bearer)),
            peer: String::new(),
            agent: None,
        };
        let Acted { reply, .. } = self.core.act(&incoming);
        Answered {
            status: reply.status,
            body: reply.body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        }
    }

    /// Every token that did not exist at the start, oldest first.
    pub fn minted(&self) -> Vec<TokenView> {
        let now = self.core.now();
        self.core.state.tokens.iter().map(|token| token.view(now)).filter(TokenView::is_minted).collect()
    }

    /// A token by id, dead or alive.
    pub fn token(&self, id: &str) -> Option<TokenView> {
        self.core.state.tokens.ever(id).map(|token| token.view(self.core.now()))
    }

    /// The id of the token with this value, dead or alive.
    pub fn token_id_of_value(&self, value: &str) -> Option<String> {
        self.core.state.tokens.of_value(value).map(|serial| self.core.state.tokens.get(serial).id.clone())
    }

    /// The token that a slot holds.
    pub fn slot(&self, slot: &Slot) -> Option<TokenView> {
        let (kind, subject) = find_slot(&self.core.state, slot)?;
        let serial = self.core.state.tokens.in_slot(kind, &subject)?;
        Some(self.core.state.tokens.get(serial).view(self.core.now()))
    }

    /// A person makes a new token in a slot; what it held dies. Its id, or `None` if there is no such subject.
    pub fn person_regenerates_slot(&mut self, slot: &Slot) -> Option<String> {
        let now = self.core.now();
        let (kind, subject) = find_slot(&self.core.state, slot)?;
        let expired_at = self.core.state.expiry(kind, &[], None, now).ok()?;
        let (serial, _) = self.core.state.mint(None, kind, &subject, None, expired_at, now);
        Some(self.core.state.tokens.get(serial).id.clone())
    }

    /// A person makes one of a user's or a team's many tokens. Its id.
    pub fn person_mints(&mut self, kind: TokenKind, subject: &str, description: &str) -> String {
        let now = self.core.now();
        let (serial, _) = self.core.state.mint(None, kind, subject, Some(description.to_owned()), None, now);
        self.core.state.tokens.get(serial).id.clone()
    }

    /// A person deletes a token; false if there is none of that id.
    pub fn person_deletes(&mut self, token_id: &str) -> bool {
        let Some(serial) = self.core.state.tokens.find(token_id) else { return false };
        let now = self.core.now();
        self.core.state.tokens.revoke(serial, now, PERSON, Revocation::Person);
        true
    }
}
