//! What one lock guards: state, clock, limits, faults and log.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::api::{self, Request};
use super::faults::{Fault, Faults, Met};
use super::jsonapi::Reply;
use super::limit::{Limiter, RateLimit, Verdict};
use super::log::{Call, Log, Sent};
use super::state::{Caller, Refusal, State};
use super::tokens::Changes;
use super::world::{Product, TokenValue};

/// A request as it came in.
#[derive(Clone)]
pub(crate) struct Incoming {
    pub request: Request,
    pub raw_query: String,
    pub bearer: Option<TokenValue>,
    /// Where unauthenticated requests are counted.
    pub peer: String,
    pub agent: Option<String>,
}

/// What the server did, before it goes on the wire.
pub(crate) struct Acted {
    pub reply: Reply,
    pub verdict: Verdict,
    pub caller: Option<Caller>,
    pub changes: Changes,
}

/// What became of a request.
#[derive(Default)]
pub(crate) struct Outcome {
    pub status: Option<u16>,
    pub acted: bool,
    pub reset: Option<f64>,
    pub fault: Option<String>,
    pub changes: Changes,
}

pub(crate) struct Core {
    pub state: State,
    pub limiter: Limiter,
    pub limit: RateLimit,
    pub product: Product,
    pub faults: Faults,
    pub log: Log,
    pub reply_delay: Duration,
    pub unavailable: bool,
    /// What tests have added to the system's clock.
    pub shift: SignedDuration,
    /// The time, where it is told; then the system's clock does not count.
    pub told: Option<Timestamp>,
    pub started: Instant,
}

impl Core {
    pub fn now(&self) -> Timestamp {
        self.told.unwrap_or_else(|| Timestamp::now().checked_add(self.shift).unwrap_or(Timestamp::MAX))
    }

    pub fn identify(&self, incoming: &Incoming) -> Option<Caller> {
        self.state.identify(incoming.bearer.as_ref()?.expose(), self.now())
    }

    /// The fault that strikes a request, if any.
    pub fn strike(&mut self, incoming: &Incoming) -> Option<Fault> {
        if self.faults.is_empty() {
            return None;
        }
        let caller = self.identify(incoming);
        let query: Vec<String> = incoming.request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.faults.strike(&Met {
            method: &incoming.request.method,
            path: &incoming.request.path,
            raw_query: &incoming.raw_query,
            query: &query.join("&"),
            account: caller.as_ref().map(|caller| caller.account.as_str()),
            subject: caller.as_ref().map(|caller| caller.subject.as_str()),
        })
    }

    /// Lets the request reach the state.
    pub fn act(&mut self, incoming: &Incoming) -> Acted {
        let now = self.now();
        let caller = self.identify(incoming);
        let who = caller.as_ref().map_or(incoming.peer.as_str(), |caller| caller.account.as_str());
        let verdict = self.limiter.admit(self.limit, who, self.started.elapsed());
        let request = &incoming.request;
        // What a person did in between is no call's.
        self.state.tokens.take_changes();
        let reply = if !verdict.allowed {
            Reply::too_many_requests()
        } else if request.method == "GET" && request.path == "/ping" {
            Reply::no_content()
        } else if let Some(caller) = &caller {
            api::answer(&mut self.state, caller, request, &self.product, now)
        } else {
            Reply::refusal(&Refusal::Unauthorized, 0)
        };
        Acted { reply, verdict, caller, changes: self.state.tokens.take_changes() }
    }

    /// Writes a call down; the number of calls so far.
    pub fn record(&mut self, incoming: &Incoming, caller: Option<&Caller>, outcome: Outcome) -> u64 {
        let request = &incoming.request;
        let query = if incoming.raw_query.is_empty() { String::new() } else { format!("?{}", incoming.raw_query) };
        self.log.push(Call {
            serial: 0,
            at: self.now(),
            caller: caller.map(|caller| caller.account.clone()),
            token_id: caller.map(|caller| self.state.tokens.get(caller.token).id.clone()),
            method: request.method.clone(),
            route: api::route_of(&request.path),
            path: format!("{}{query}", request.path),
            status: outcome.status,
            acted: outcome.acted,
            reset: outcome.reset,
            fault: outcome.fault,
            agent: incoming.agent.clone(),
            sent: (request.method == "POST").then(|| sent(&request.body)),
            made: outcome.changes.made,
            killed: outcome.changes.killed,
            stamp: None,
        })
    }
}

fn sent(body: &[u8]) -> Sent {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let attribute = |name: &str| body.pointer(&format!("/data/attributes/{name}"))?.as_str();
    Sent {
        description: attribute("description").map(str::to_owned),
        expired_at: attribute("expired-at").and_then(|text| text.parse().ok()),
    }
}
