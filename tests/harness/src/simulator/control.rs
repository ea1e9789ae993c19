//! `/_simulator/…`: what a person at the `tfc-simulator` binary can ask and do over HTTP. Never a token's value.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Response};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::{Answer, BodyKind, Fault, Wait, When};
use super::http::{Shared, plain};
use super::tokens::TokenView;

/// A fault as JSON names it: `{"when": {"method": "POST", "path": "/teams/**", "times": 1}, "fault": {"reply-lost": null}}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultOrder {
    when: When,
    fault: FaultSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum FaultSpec {
    RequestLost(()),
    ReplyLost(()),
    DelayBefore {
        milliseconds: u64,
    },
    DelayAfter {
        milliseconds: u64,
    },
    Status {
        code: u16,
        #[serde(default)]
        body: Option<BodyKind>,
        #[serde(default)]
        acts: bool,
    },
    Truncated(()),
    Malformed(()),
    Huge {
        bytes: usize,
    },
    Slow {
        bytes: usize,
        milliseconds: u64,
    },
    Redirect {
        status: u16,
        to: String,
    },
    DuplicateDelivery(()),
    DropToken(()),
    ShiftList {
        skip: i64,
        count: i64,
    },
}

/// The simulator's clock: `{"advance-seconds": 3600}` or `{"now": "2030-01-02T03:04:05Z"}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum ClockOrder {
    AdvanceSeconds(i64),
    Now(Timestamp),
}

pub(crate) fn serve(shared: &Shared, method: &Method, path: &str, body: &[u8]) -> Response<Body> {
    match answer(shared, method.as_str(), path, body) {
        Ok(value) => plain(200, "application/json", value.to_string()),
        Err((status, text)) => plain(status, "application/json", json!({"error": text}).to_string()),
    }
}

fn answer(shared: &Shared, method: &str, path: &str, body: &[u8]) -> Result<Value, (u16, String)> {
    let mut core = shared.core();
    let now = core.now();
    match (method, path) {
        ("GET", "/log") => Ok(json!(core.log.since(0).collect::<Vec<_>>())),
        ("GET", "/tokens") => {
            let views: Vec<TokenView> = core.state.tokens.iter().map(|token| token.view(now)).collect();
            Ok(json!(views))
        }
        ("POST", "/faults") => {
            let order: FaultOrder = read(body)?;
            let (id, _) = core.faults.add(order.when, order.fault.into());
            Ok(json!({"id": id}))
        }
        ("DELETE", "/faults") => {
            core.faults.clear();
            Ok(json!({}))
        }
        ("GET", "/clock") => Ok(json!({"now": now})),
        ("POST", "/clock") => {
            let change = match read(body)? {
                ClockOrder::AdvanceSeconds(seconds) => SignedDuration::from_secs(seconds),
                ClockOrder::Now(at) => at.duration_since(now),
            };
            core.shift = core.shift.saturating_add(change);
            Ok(json!({"now": core.now()}))
        }
        ("POST", "/outage") => {
            core.unavailable = read(body)?;
            Ok(json!({"unavailable": core.unavailable}))
        }
        _ => Err((404, "GET log, tokens, clock; POST faults, clock, outage; DELETE faults".to_owned())),
    }
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

impl From<FaultSpec> for Fault {
    fn from(spec: FaultSpec) -> Self {
        let wait = |milliseconds| Wait::For(Duration::from_millis(milliseconds));
        match spec {
            FaultSpec::RequestLost(()) => Self::RequestLost,
            FaultSpec::ReplyLost(()) => Self::ReplyLost,
            FaultSpec::DelayBefore { milliseconds } => Self::DelayBefore(wait(milliseconds)),
            FaultSpec::DelayAfter { milliseconds } => Self::DelayAfter(wait(milliseconds)),
            FaultSpec::Status { code, body, acts } => {
                let answer = Answer::new(code).body(body.unwrap_or(BodyKind::JsonApi));
                Self::Status(if acts { answer.after_acting() } else { answer })
            }
            FaultSpec::Truncated(()) => Self::Truncated,
            FaultSpec::Malformed(()) => Self::Malformed,
            FaultSpec::Huge { bytes } => Self::Huge(bytes),
            FaultSpec::Slow { bytes, milliseconds } => Self::Slow { bytes, every: Duration::from_millis(milliseconds) },
            FaultSpec::Redirect { status, to } => Self::Redirect { status, to },
            FaultSpec::DuplicateDelivery(()) => Self::DuplicateDelivery,
            FaultSpec::DropToken(()) => Self::DropTokenFromReply,
            FaultSpec::ShiftList { skip, count } => Self::ShiftList { skip, count },
        }
    }
}
