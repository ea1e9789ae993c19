//! The loop of one role: observe, plan, act, until it rests.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use kube::runtime::controller::Action;
use tracing::{debug, error, warn};

use super::Operator;
use super::memory::{Entry, Rested, Tried, Waiting, is_newer, retry_in};
use super::slim::Slim;
use crate::act::{self, After, act};
use crate::boottime::BootInstant;
use crate::cluster::ClusterError;
use crate::observe::Round;
use crate::plan::observed::{Secret, Trouble, TroubleKind};
use crate::plan::step::{Rest, Step};
use crate::plan::{plan, wishes};

/// More steps than any role can need in one round: past it, a fault in the planner would spin.
const MOST_STEPS: usize = 80;
/// How often a round begins anew at once because something changed under it.
const MOST_ROUNDS: usize = 6;

/// Serves one role. A round that has begun is finished even if the controller is told to stop: a value between its mint and its Secret
/// is nowhere else.
pub async fn reconcile(slim: Arc<Slim>, operator: Arc<Operator>) -> Result<Action, std::convert::Infallible> {
    let round = tokio::spawn(async move { serve(&slim, &operator).await });
    Ok(match round.await {
        Ok(action) => action,
        Err(panicked) => {
            error!(%panicked, "a round ended in a panic");
            Action::requeue(Duration::from_secs(60))
        }
    })
}

async fn serve(slim: &Slim, operator: &Operator) -> Action {
    let (namespace, name) = (slim.metadata.namespace.as_deref(), slim.metadata.name.as_deref());
    let (Some(namespace), Some(name), Some(uid)) = (namespace, name, slim.metadata.uid.as_deref()) else {
        return Action::await_change();
    };
    let session = operator.world.accounts.session(&slim.config);
    // A config that has not been asked about yet says nothing: neither a status nor a token may change for it.
    if session.as_ref().is_some_and(|s| matches!(&s.account, Err(unready) if unready.reason.is_none())) {
        return Action::await_change();
    }
    let entry = operator.memory.get(uid);
    let epoch = session.as_ref().map(|s| s.epoch);
    if let Some(rested) = &entry.rested {
        let version = slim.metadata.resource_version.as_deref().unwrap_or_default();
        let same = !is_newer(version, &rested.role) && rested.epoch == epoch;
        let now = BootInstant::now();
        match rested.until {
            None if same => return Action::await_change(),
            Some(until) if same && until > now => return Action::requeue(until.saturating_duration_since(now)),
            _ => {}
        }
    }
    let started = BootInstant::now();
    let action = rounds(operator, (namespace, name), uid, entry, epoch).await;
    operator.world.metrics.reconciled(started.elapsed());
    action
}

async fn rounds(operator: &Operator, at: (&str, &str), uid: &str, mut entry: Entry, epoch: Option<u64>) -> Action {
    entry.rested = None;
    let swept = operator.memory.take_pointer(uid);
    for _ in 0..MOST_ROUNDS {
        let place = operator.namespaces.get(at.0);
        let mut round = match Round::begin(&operator.world, at, entry.verified.clone(), place).await {
            Ok(Some(round)) if round.uid() == uid => round,
            Ok(_) => {
                operator.memory.remove(uid);
                return Action::await_change();
            }
            Err(error) => {
                point_again(operator, uid, swept);
                return unreadable(operator, at, uid, entry, &error);
            }
        };
        let tried = tried(&round, operator, epoch);
        round.trouble = remaining(&entry, &tried);
        round.failures = entry.failures;
        round.swept = swept;
        match steps(operator, &mut round).await {
            Ended::Rest(rest) => {
                point_again(operator, uid, swept && round.trouble.is_some());
                return settle(operator, uid, entry, round, rest, tried).await;
            }
            Ended::Changed => {}
            Ended::Done => {
                operator.memory.put(uid, Entry { verified: round.verified, ..Entry::default() });
                return Action::await_change();
            }
        }
    }
    debug!(namespace = at.0, role = at.1, "it changes all the time; again in a second");
    point_again(operator, uid, swept);
    operator.memory.put(uid, entry);
    Action::requeue(Duration::from_secs(1))
}

/// What a sweep pointed at was not looked at yet.
fn point_again(operator: &Operator, uid: &str, swept: bool) {
    if swept {
        operator.memory.point_at(uid);
    }
}

enum Ended {
    Rest(Rest),
    Changed,
    Done,
}

async fn steps(operator: &Operator, round: &mut Round) -> Ended {
    for _ in 0..MOST_STEPS {
        let observed = round.observed(&operator.world);
        let step = plan(&observed);
        if let Step::Rest(rest) = step {
            return Ended::Rest(rest);
        }
        let failed = round.failed;
        let name = act::name(&step);
        match act(&operator.world, round, step).await {
            After::Plan => {}
            After::Observe => return Ended::Changed,
            After::Done => return Ended::Done,
        }
        let (failures, uid) = (round.failures, round.uid().to_owned());
        if let (Some(trouble), false) = (&mut round.trouble, failed) {
            trouble.retry_in = retry_in(trouble.kind, failures, &uid);
            let trouble = trouble.clone();
            debug!(namespace = round.namespace(), role = round.name(), step = name, kind = ?trouble.kind, "{}", trouble.words);
            // A mint without a reply may be an outage that has begun: then no further attempt is sent into it.
            if matches!(trouble.kind, TroubleKind::Unauthorized | TroubleKind::Unreachable | TroubleKind::Ambiguous) {
                operator.configs.recheck(&round.role.config_key());
            }
        }
    }
    error!(namespace = round.namespace(), role = round.name(), "the plan does not come to a rest; again in a minute");
    Ended::Rest(Rest::until(Some(SignedDuration::from_secs(60))))
}

/// Writes the status that the rest asks for, and keeps what the round came to.
async fn settle(
    operator: &Operator,
    uid: &str,
    mut entry: Entry,
    mut round: Round,
    rest: Rest,
    tried: Tried,
) -> Action {
    for stray in rest.strays.iter().filter(|stray| operator.memory.is_news(&stray.id)) {
        crate::report::stray(&operator.world, &round, stray).await;
    }
    let wake = rest.wake_in.map(|span| span.max(SignedDuration::ZERO).unsigned_abs());
    if round.failed {
        entry.failures = entry.failures.saturating_add(1);
        if let Some(trouble) = round.trouble.take() {
            let until = BootInstant::now() + trouble.retry_in.unsigned_abs();
            entry.trouble = Some(Waiting { trouble, until, tried: tried.clone() });
        }
    } else if round.trouble.is_none() {
        entry.failures = 0;
        entry.trouble = None;
    }
    entry.verified = round.verified.clone();
    if let Some(status) = rest.status
        && let Err(error) = act::status::write(&operator.world, &mut round, &status).await
    {
        debug!(namespace = round.namespace(), role = round.name(), %error, "status not written");
        operator.memory.put(uid, entry);
        let pause = if error == ClusterError::Conflict { Duration::from_millis(50) } else { Duration::from_secs(2) };
        return Action::requeue(pause);
    }
    let version = match &round.secret {
        Secret::Ours(secret) => Some(secret.resource_version.clone()),
        Secret::Absent | Secret::Foreign => None,
    };
    entry.rested = Some(Rested {
        role: round.resource_version().to_owned(),
        secret: (round.namespace().to_owned(), round.role.secret_name()),
        secret_version: version,
        epoch: tried.epoch,
        until: wake.map(|wake| BootInstant::now() + wake),
    });
    if !operator.memory.put(uid, entry) {
        return Action::requeue(Duration::ZERO);
    }
    wake.map_or_else(Action::await_change, Action::requeue)
}

fn tried(round: &Round, operator: &Operator, epoch: Option<u64>) -> Tried {
    Tried {
        generation: round.role.metadata.generation,
        wishes: wishes(&round.observed(&operator.world)),
        epoch,
        going: round.role.metadata.deletion_timestamp.is_some(),
    }
}

/// The failure that is still to be waited for; none where its time has come, or something was changed to mend it.
fn remaining(entry: &Entry, tried: &Tried) -> Option<Trouble> {
    let waiting = entry.trouble.as_ref().filter(|w| w.tried == *tried)?;
    let left = waiting.until.saturating_duration_since(BootInstant::now());
    let retry_in = SignedDuration::try_from(left).ok().filter(|left| left.is_positive())?;
    Some(Trouble { retry_in, ..waiting.trouble.clone() })
}

fn unreadable(operator: &Operator, at: (&str, &str), uid: &str, mut entry: Entry, error: &ClusterError) -> Action {
    entry.failures = entry.failures.saturating_add(1);
    let pause = retry_in(TroubleKind::Cluster, entry.failures, uid).unsigned_abs();
    warn!(namespace = at.0, role = at.1, %error, "the role could not be read; again in {pause:?}");
    operator.memory.put(uid, entry);
    Action::requeue(pause)
}
