//! Consumers that read a token only when they start: the workloads that ask for it are restarted with each new token. The order is the
//! Secret, the restart, the end of the rollout, and only then the predecessor's overlap.

use jiff::{SignedDuration, Timestamp};

use super::conditions::Verdict;
use super::observed::{Observed, Secret};
use super::step::{Note, Restart, Step};
use super::terms::{self, Life, Terms};
use super::{book, current, status};
use crate::api::{Record, RoleReason, Workload};

/// How long a rollout is waited for. One that does not end must not keep former tokens alive to their expiry.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);
/// How often a rollout is looked at.
pub const POLL: SignedDuration = SignedDuration::from_secs(5);

/// The token in the Secret, if the workloads have not been restarted with it yet.
fn owed(o: &Observed) -> Option<&str> {
    let current = current(o)?;
    let id = current.token_id.as_deref()?;
    let Secret::Ours(secret) = &o.secret else { return None };
    let holds = secret.record.as_ref().and_then(|r| r.held.as_ref()).is_some_and(|h| h.attempt == current.attempt);
    let going = o.role.metadata.deletion_timestamp.is_some();
    let restarted = status(o).and_then(|s| s.restarted.as_deref());
    (o.restarts && holds && !going && !o.role.spec.suspend && restarted != Some(id)).then_some(id)
}

/// The next step of a restart that is owed; `None` where a rollout is waited for, or nothing is owed.
pub fn plan(o: &Observed, terms: &Terms, now: Timestamp) -> Option<Step> {
    let id = owed(o)?;
    let Some(since) = status(o)?.restarting.as_ref().map(|t| t.0) else {
        let mut status = book::base(o);
        status.restarting = Some(book::time(now));
        return Some(Step::Record(Box::new(status), Vec::new()));
    };
    let over = terms::plus(since, LONGEST) <= now;
    let Some(workloads) = &o.facts.workloads else {
        return Some(if over { done(o, terms, now, id) } else { Step::Survey });
    };
    if let Some(next) = workloads.iter().find(|workload| workload.stamp.as_deref() != Some(id)) {
        return Some(Step::Restart(Box::new(Restart { workload: next.clone(), token_id: id.to_owned() })));
    }
    (over || workloads.iter().all(|workload| workload.rolled_out)).then(|| done(o, terms, now, id))
}

/// What is waited for, in words; `None` where nothing is.
pub fn waits(o: &Observed) -> Option<Verdict> {
    owed(o)?;
    let open = o.facts.workloads.iter().flatten().filter(|workload| !workload.rolled_out);
    let names: Vec<String> = open.map(Workload::to_string).collect();
    let words = format!("the Secret holds a live token; the rollout of {} is waited for", names.join(", "));
    (!names.is_empty()).then(|| Verdict::working(RoleReason::Restarting, words))
}

/// Pods may still hold this former token: they have not been restarted with its successor yet. What was cut by an incident is not held.
pub fn holds(o: &Observed, predecessor: &Record, now: Timestamp) -> bool {
    if owed(o).is_none() || is_cut(o, predecessor) {
        return false;
    }
    let since = status(o).and_then(|s| s.restarting.as_ref());
    since.is_none_or(|since| terms::plus(since.0, LONGEST) > now)
}

fn is_cut(o: &Observed, predecessor: &Record) -> bool {
    let issued = current(o).and_then(|current| current.issued_at.as_ref());
    matches!((&predecessor.revoke_at, issued), (Some(at), Some(issued)) if at <= issued)
}

/// The rollout is over, or is waited for no longer: from here on the overlap counts.
fn done(o: &Observed, terms: &Terms, now: Timestamp, id: &str) -> Step {
    let mut status = book::base(o);
    (status.restarted, status.restarting) = (Some(id.to_owned()), None);
    let workloads = o.facts.workloads.as_deref().unwrap_or_default();
    if let (Life::Lease(lease), false) = (&terms.life, workloads.is_empty()) {
        for predecessor in status.predecessors.iter_mut().filter(|p| !is_cut(o, p)) {
            let until = lease.revoke_at(predecessor, now).map(book::time);
            predecessor.revoke_at = predecessor.revoke_at.take().max(until);
        }
    }
    let names = |which: bool| -> Vec<String> {
        workloads.iter().filter(|w| w.rolled_out == which).map(Workload::to_string).collect()
    };
    let mut notes = Vec::new();
    let (ready, open) = (names(true), names(false));
    if !ready.is_empty() {
        notes.push(Note::Restarted(ready.join(", ")));
    }
    if !open.is_empty() || o.facts.workloads.is_none() {
        notes.push(Note::NotRestarted(if open.is_empty() { "its workloads".into() } else { open.join(", ") }));
    }
    Step::Record(Box::new(status), notes)
}
