//! What the role asks for, cut to what its config grants, in numbers.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::admission::Grant;
use crate::api::{Record, TerraformCloudRoleSpec};
use crate::duration::{format_go_duration, parse_go_duration};

const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// What a token's life may lack of what was asked for: the part of a second that TFC cuts off, and the mint's way.
const CUT: SignedDuration = SignedDuration::from_secs(2);

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

    /// When a successor is to be minted. Each role has its own place in the cycle, by its UID: tokens that were issued in one burst are
    /// renewed spread over all of it, and so are their successors ever after. It is the last such time that leaves `renewBefore` to the
    /// token's end. A role's first token may so live for a twentieth of the cycle only; from then on each lives for nineteen
    /// twentieths. Whatever the server cut, `renewBefore` takes two thirds of the life at most.
    pub fn renew_at(&self, token: &Record, role_uid: &str) -> Option<Timestamp> {
        let end = self.end(token)?;
        let life = match &token.issued_at {
            Some(issued) => end.duration_since(issued.0),
            None => self.max,
        };
        let latest = plus_checked(end, -self.notice(life))?;
        let nominal = self.nominal(life);
        let span = nominal - self.notice(nominal);
        let cycle = span - (span / 20).max(CUT).min(span / 2);
        let since_place = since_place(latest, cycle, role_uid);
        // The life that was asked for and the one that TFC gave differ by a moment: never sooner than a twentieth.
        let soonest = plus_checked(end, -(life - (life - self.notice(life)) / 20))?;
        Some(plus(latest, -since_place).max(soonest))
    }

    fn notice(&self, life: SignedDuration) -> SignedDuration {
        self.renew_before.min(life * 2 / 3)
    }

    /// The life that a token of this role has each time: a mint's own moments apart, by which two differ. Where the server cut it, it is known
    /// to a hundredth.
    fn nominal(&self, life: SignedDuration) -> SignedDuration {
        if self.max - life <= CUT || life >= self.max * 19 / 20 {
            return self.max;
        }
        let seconds = u64::try_from(life.as_secs().max(1)).unwrap_or(1) + u64::from(life.subsec_nanos() > 0);
        let grain = (seconds.next_power_of_two() / 128).max(1);
        SignedDuration::from_secs(i64::try_from(seconds.next_multiple_of(grain)).unwrap_or(i64::MAX))
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

/// How long before an instant a role's place in a cycle was that begins anew for ever, counted from 1970.
fn since_place(at: Timestamp, cycle: SignedDuration, role_uid: &str) -> SignedDuration {
    let hash = Sha256::digest(role_uid.as_bytes());
    let share = i128::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]));
    let cycle = cycle.as_millis().max(1);
    let place = (cycle * share) >> 32;
    let since = (i128::from(at.as_millisecond()) - place).rem_euclid(cycle);
    SignedDuration::from_millis(i64::try_from(since).unwrap_or_default())
}
