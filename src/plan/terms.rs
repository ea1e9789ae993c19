//! What the role asks for, cut to what its config grants, in numbers.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::admission::Grant;
use crate::api::{Record, TerraformCloudRoleSpec};
use crate::duration::{format_go_duration, parse_go_duration};

const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// How long the role's tokens live, and what happens at their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Of a lease or of a slot.
    pub life: Life,
    /// Where the role got less than it asked for: one sentence each.
    pub clamped: Vec<String>,
}

/// How long a token lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// User and team tokens: many, each with a life of its own.
    Lease(Lease),
    /// Organization and legacy team tokens: kept until rotated.
    Slot(SlotLife),
}

/// Life of a user's or a team's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Length of a lease.
    pub ttl: SignedDuration,
    /// Longest life of one token.
    pub max: SignedDuration,
    /// At the end of a lease.
    pub renews: bool,
    /// How long before the token's end its successor is minted.
    pub renew_before: SignedDuration,
    /// How long a predecessor lives on; `None`: to the end of its own lease.
    pub overlap: Option<SignedDuration>,
}

/// Life of a slot's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotLife {
    /// Time between rotations; `None`: only when asked, or before the year at the server is over.
    pub interval: Option<SignedDuration>,
    /// The first mint may kill somebody's token.
    pub replace: bool,
}

/// A duration in Go's form.
///
/// # Errors
/// A sentence that names the form.
pub fn parse(text: &str) -> Result<SignedDuration, String> {
    let duration = parse_go_duration(text).map_err(|e| e.to_string())?;
    SignedDuration::try_from(duration).map_err(|e| e.to_string())
}

/// The role's terms under its grant.
///
/// # Errors
/// A sentence that names the field, for a role that got past the schema.
pub fn terms(spec: &TerraformCloudRoleSpec, is_slot: bool, grant: &Grant) -> Result<Terms, String> {
    let field = |name: &str, text: &Option<String>| -> Result<Option<SignedDuration>, String> {
        text.as_deref().map(|t| parse(t).map_err(|e| format!("spec.{name}: {e}"))).transpose()
    };
    let mut clamped = Vec::new();
    if spec.retains() && !grant.may_retain {
        clamped.push("the config does not allow deletionPolicy Retain: the token is revoked when the role goes".into());
    }
    if is_slot {
        let interval = match &spec.rotation {
            Some(rotation) => Some(parse(&rotation.interval).map_err(|e| format!("spec.rotation.interval: {e}"))?),
            None => None,
        };
        let replace = spec.may_replace();
        return Ok(Terms { life: Life::Slot(SlotLife { interval, replace }), clamped });
    }
    let asked_ttl = field("ttl", &spec.ttl)?;
    let asked_max = field("maxTTL", &spec.max_ttl)?;
    let wanted_ttl = asked_ttl.unwrap_or(grant.default_ttl);
    let wanted_max = asked_max.unwrap_or(wanted_ttl);
    let max = wanted_max.min(grant.max_ttl);
    let ttl = wanted_ttl.min(max);
    if max < wanted_max {
        let name = if asked_max.is_some() { "maxTTL" } else { "ttl" };
        clamped.push(format!("{name} is cut from {} to the config's cap of {}", go(wanted_max), go(max)));
    } else if ttl < wanted_ttl {
        clamped.push(format!(
            "the config's defaultTTL of {} is cut to the role's maxTTL of {}",
            go(wanted_ttl),
            go(max)
        ));
    }
    let renew_before = match (field("renewBefore", &spec.renew_before)?, spec.renew_before_percentage) {
        (Some(before), _) => before,
        (None, Some(percent)) => ttl * percent.clamp(1, 99) / 100,
        (None, None) => ttl / 3,
    };
    let life =
        Life::Lease(Lease { ttl, max, renews: spec.renews(), renew_before, overlap: field("overlap", &spec.overlap)? });
    Ok(Terms { life, clamped })
}

fn go(duration: SignedDuration) -> String {
    format_go_duration(duration.unsigned_abs())
}

impl Lease {
    /// When the token's life ends: at the server, or earlier where `maxTTL` was shortened since.
    pub fn end(&self, token: &Record) -> Option<Timestamp> {
        let expires = token.expires_at.as_ref()?.0;
        match &token.issued_at {
            Some(issued) => Some(expires.min(plus(issued.0, self.max))),
            None => Some(expires),
        }
    }

    /// When the lease in being ends. Leases that renew in place follow each other without a call or a write, so their
    /// ends are derived from the start.
    pub fn lease_end(&self, token: &Record, now: Timestamp) -> Option<Timestamp> {
        let end = self.end(token)?;
        let Some(start) = token.lease_started_at.as_ref().or(token.issued_at.as_ref()).map(|t| t.0) else {
            return Some(end);
        };
        let ttl = self.ttl.as_secs().max(1);
        let leases = if self.renews { (now.duration_since(start).as_secs().max(0) / ttl) + 1 } else { 1 };
        Some(end.min(plus(start, SignedDuration::from_secs(ttl.saturating_mul(leases)))))
    }

    /// When a successor is to be minted: before the token's end, spread by the attempt's name over a tenth of that span so
    /// that tokens of one burst do not come due together. A third of the life passes at least, whatever the server cut.
    pub fn renew_at(&self, token: &Record) -> Option<Timestamp> {
        let end = self.end(token)?;
        let life = match &token.issued_at {
            Some(issued) => end.duration_since(issued.0),
            None => self.max,
        };
        let before = self.renew_before.min(life * 2 / 3);
        let early = (before / 10).min(life / 30);
        plus_checked(end, -(before + spread(&token.attempt, early)))
    }

    /// When a predecessor is to be revoked whose successor is in the Secret now. Its own lease may be about to end, and
    /// pods need time to see the successor: it gets what it would have had at a scheduled rotation.
    pub fn revoke_at(&self, token: &Record, now: Timestamp) -> Option<Timestamp> {
        let expires = token.expires_at.as_ref()?.0;
        let until = match self.overlap {
            Some(overlap) => plus(now, overlap),
            None => self.lease_end(token, now)?.max(plus(now, self.renew_before)),
        };
        Some(until.min(expires))
    }
}

impl SlotLife {
    /// The expiry to ask for: after the interval plus a margin, or a year, so that a token dies even if nobody runs.
    pub fn requested_expiry(&self, now: Timestamp, seconds: i64) -> Timestamp {
        plus(now, self.life() + SignedDuration::from_secs(seconds))
    }

    /// When the slot is to be rotated: at its interval, and in any case before the server lets the token die.
    pub fn renew_at(&self, token: &Record) -> Option<Timestamp> {
        let expires = token.expires_at.as_ref()?.0;
        let issued = token.issued_at.as_ref().map(|t| t.0);
        let at_server = expires.duration_since(issued.unwrap_or(expires));
        let last = plus_checked(expires, -(self.margin().min(at_server / 3)))?;
        match (self.interval, issued) {
            (Some(interval), Some(issued)) => Some(last.min(plus(issued, interval))),
            _ => Some(last),
        }
    }

    fn life(&self) -> SignedDuration {
        self.interval.map_or(YEAR, |interval| interval + self.margin())
    }

    fn margin(&self) -> SignedDuration {
        self.interval.map_or(YEAR / 12, |interval| (interval / 4).max(HOUR))
    }
}

/// An instant some time later, at most the largest that there is.
pub fn plus(at: Timestamp, span: SignedDuration) -> Timestamp {
    plus_checked(at, span).unwrap_or(Timestamp::MAX)
}

fn plus_checked(at: Timestamp, span: SignedDuration) -> Option<Timestamp> {
    at.checked_add(span).ok()
}

fn spread(seed: &str, over: SignedDuration) -> SignedDuration {
    let hash = Sha256::digest(seed.as_bytes());
    let share = i128::from(u16::from_be_bytes([hash[0], hash[1]]));
    let millis = over.as_millis() * share / i128::from(u16::MAX);
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or_default())
}
