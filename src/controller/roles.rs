//! The loop of one role: observe, plan, act, until it rests.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use kube::runtime::controller::Action;
use tracing::{debug, error, warn};

use super::Operator;
use super::memory::{Entry, Memory, Rested, Tried, Waiting, is_newer, retry_in};
use super::slim::Slim;
use crate::accounts::ConfigKey;
use crate::act::{self, After, World, act};
use crate::api::TerraformCloudConfig;
use crate::boottime::BootInstant;
use crate::cluster::ClusterError;
use crate::failpoint;
use crate::observe::{Namespace, Round, Unread};
use crate::plan::observed::{Secret, Trouble, TroubleKind};
use crate::plan::step::{Rest, Step};
use crate::plan::{self, plan, wishes};

/// More steps than any role can need in one round: past it, a fault in the planner would spin.
const MOST_STEPS: usize = 80;
/// How often a round begins anew at once because something changed under it.
const MOST_ROUNDS: usize = 6;
/// When a role that came before its config is looked at again, should that not wake it.
const EARLY: Duration = Duration::from_secs(1);

/// Who waits for a place among the first mints is woken when there is one, and looks for itself after this time all the same.
const WAITS: Duration = Duration::from_secs(60);

/// What the loop of a role needs of the operator.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// What the steps need.
    pub world: &'a World,
    /// What is kept of roles between their rounds.
    pub memory: &'a Memory,
    /// What is known of a namespace.
    pub namespace: &'a (dyn Fn(&str) -> Namespace + Sync),
    /// A role met a failure that may be its config's: the config has to be asked about anew.
    pub doubt: &'a (dyn Fn(&ConfigKey) + Sync),
}

/// Serves one role. A round that has begun is finished even if the controller is told to stop: a value between its mint and its Secret
/// is nowhere else.
pub async fn reconcile(slim: Arc<Slim>, operator: Arc<Operator>) -> Result<Action, std::convert::Infallible> {
    if is_early(&slim.config, &operator).await {
        return Ok(Action::requeue(EARLY));
    }
    let place = match slim.is_unserved() {
        true => match operator.turnstile.enter(&slim) {
            Some(place) => Some(place),
            None => return Ok(Action::requeue(WAITS)),
        },
        false => {
            operator.turnstile.forget(slim.metadata.uid.as_deref().unwrap_or_default());
            None
        }
    };
    let round = tokio::spawn(async move {
        let _place = place;
        let host = Host {
            world: &operator.world,
            memory: &operator.memory,
            namespace: &|name| operator.namespaces.get(name),
            doubt: &|config| operator.configs.recheck(config),
        };
        serve(&slim, host).await
    });
    Ok(match round.await {
        Ok(next) => next.map_or_else(Action::await_change, Action::requeue),
        Err(panicked) => {
            error!(%panicked, "a round ended in a panic");
            Action::requeue(Duration::from_secs(60))
        }
    })
}

/// The role's config is there, but has not been heard of: the two come on two watches, in any order. Its own event wakes the role.
async fn is_early(config: &ConfigKey, operator: &Operator) -> bool {
    let (namespace, name) = config;
    if operator.world.accounts.session(config).is_some() || !operator.settings.scope.serves(namespace) {
        return false;
    }
    let config = operator.world.cluster.get::<TerraformCloudConfig>(namespace, name).await;
    config.is_ok_and(|config| config.is_some_and(|config| config.metadata.deletion_timestamp.is_none()))
}

/// Serves one role as the watch shows it. Returns when to look again unless something changes before.
pub async fn serve(slim: &Slim, host: Host<'_>) -> Option<Duration> {
    let (namespace, name) = (slim.metadata.namespace.as_deref(), slim.metadata.name.as_deref());
    let (Some(namespace), Some(name), Some(uid)) = (namespace, name, slim.metadata.uid.as_deref()) else {
        return None;
    };
    let session = host.world.accounts.session(&slim.config);
    // A config that has not been asked about yet says nothing: neither a status nor a token may change for it.
    if session.as_ref().is_some_and(|s| matches!(&s.account, Err(unready) if unready.reason.is_none())) {
        return None;
    }
    let entry = host.memory.get(uid);
    let epoch = session.as_ref().map(|s| s.epoch);
    if let Some(rested) = &entry.rested {
        let version = slim.metadata.resource_version.as_deref().unwrap_or_default();
        let same = !is_newer(version, &rested.role) && rested.epoch == epoch;
        let now = BootInstant::now();
        match rested.until {
            None if same => return None,
            Some(until) if same && until > now => return Some(until.saturating_duration_since(now)),
            _ => {}
        }
    }
    let started = BootInstant::now();
    let next = rounds(host, (namespace, name), uid, entry).await;
    host.world.metrics.reconciled(started.elapsed());
    next
}

async fn rounds(host: Host<'_>, at: (&str, &str), uid: &str, mut entry: Entry) -> Option<Duration> {
    entry.rested = None;
    let swept = host.memory.take_pointer(uid);
    for _ in 0..MOST_ROUNDS {
        let place = (host.namespace)(at.0);
        let mut round = match Round::begin(host.world, at, entry.verified.clone(), place).await {
            Ok(Some(round)) if round.uid() == uid => round,
            Ok(_) => {
                host.memory.remove(uid);
                return None;
            }
            Err(unread) => {
                point_again(host, uid, swept);
                return unreadable(host, at, uid, entry, unread).await;
            }
        };
        let tried = tried(&round, host);
        round.trouble = remaining(&entry, &tried);
        round.failures = entry.failures;
        round.swept = swept;
        match steps(host, &mut round).await {
            Ended::Rest(rest) => {
                point_again(host, uid, swept && round.trouble.is_some());
                return settle(host, uid, entry, round, rest, tried).await;
            }
            Ended::Changed => {}
            Ended::Done => {
                host.memory.put(uid, Entry { verified: round.verified, ..Entry::default() });
                return None;
            }
        }
    }
    debug!(namespace = at.0, role = at.1, "it changes all the time; again in a second");
    point_again(host, uid, swept);
    host.memory.put(uid, entry);
    Some(Duration::from_secs(1))
}

/// What a sweep pointed at was not looked at yet.
fn point_again(host: Host<'_>, uid: &str, swept: bool) {
    if swept {
        host.memory.point_at(uid);
    }
}

enum Ended {
    Rest(Rest),
    Changed,
    Done,
}

async fn steps(host: Host<'_>, round: &mut Round) -> Ended {
    for _ in 0..MOST_STEPS {
        // What was minted is recorded, whatever its config says by now.
        if !is_unrecorded(round) && has_new_config(round, host) {
            return Ended::Changed;
        }
        let observed = round.observed(host.world);
        let step = plan(&observed);
        if let Step::Rest(rest) = step {
            return Ended::Rest(rest);
        }
        let name = act::name(&step);
        let after = act(host.world, round, step).await;
        failpoint::pass(name, "done");
        match after {
            After::Plan => {}
            After::Observe => return Ended::Changed,
            After::Done => return Ended::Done,
        }
        let (failures, uid) = (round.failures, round.uid().to_owned());
        if let Some(trouble) = round.trouble.as_mut().filter(|trouble| trouble.retry_in.is_zero()) {
            trouble.retry_in = retry_in(trouble.kind, failures, &uid);
            let trouble = trouble.clone();
            debug!(namespace = round.namespace(), role = round.name(), step = name, kind = ?trouble.kind, "{}", trouble.words);
            // A mint without a reply may be an outage that has begun: then no further attempt is sent into it.
            if matches!(trouble.kind, TroubleKind::Unauthorized | TroubleKind::Unreachable | TroubleKind::Ambiguous) {
                (host.doubt)(&round.role.config_key());
            }
        }
    }
    error!(namespace = round.namespace(), role = round.name(), "the plan does not come to a rest; again in a minute");
    Ended::Rest(Rest::until(Some(SignedDuration::from_secs(60))))
}

/// Writes the status that the rest asks for, and keeps what the round came to.
async fn settle(
    host: Host<'_>,
    uid: &str,
    mut entry: Entry,
    mut round: Round,
    rest: Rest,
    tried: Tried,
) -> Option<Duration> {
    for stray in rest.strays.iter().filter(|stray| host.memory.is_news(&stray.id)) {
        crate::report::stray(host.world, &round, stray).await;
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
        && let Err(error) = act::status::write(host.world, &mut round, &status).await
    {
        debug!(namespace = round.namespace(), role = round.name(), %error, "status not written");
        untold(host, &round, &error).await;
        let pause = match &error {
            ClusterError::Conflict => Duration::from_millis(50),
            error if error.missing().is_some() => retry_in(TroubleKind::Rejected, entry.failures, uid).unsigned_abs(),
            _ => Duration::from_secs(2),
        };
        host.memory.put(uid, entry);
        return Some(pause);
    }
    failpoint::pass("Rest", "done");
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
    if !host.memory.put(uid, entry) {
        return Some(Duration::ZERO);
    }
    wake
}

/// Where the status may not be written, its words go into the log and an event, once.
async fn untold(host: Host<'_>, round: &Round, error: &ClusterError) {
    let Some(missing) = error.missing() else { return };
    let words = format!("writing the status: {missing}");
    if host.memory.is_news(&format!("{} {words}", round.uid())) {
        crate::report::missing_permission(host.world, round, &words).await;
    }
}

/// The Secret holds a token of this round's that the status does not know yet.
fn is_unrecorded(round: &Round) -> bool {
    let recorded = round.role.status.as_ref().and_then(|s| s.current.as_ref()).map(|current| &current.attempt);
    round.facts.minted.is_some() && round.facts.minted.as_ref() != recorded
}

fn has_new_config(round: &Round, host: Host<'_>) -> bool {
    let session = host.world.accounts.session(&round.role.config_key());
    session.map(|session| session.epoch) != epoch_of(round)
}

fn epoch_of(round: &Round) -> Option<u64> {
    round.session.as_ref().map(|session| session.epoch)
}

fn tried(round: &Round, host: Host<'_>) -> Tried {
    Tried {
        generation: round.role.metadata.generation,
        wishes: wishes(&round.observed(host.world)),
        epoch: epoch_of(round),
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

async fn unreadable(host: Host<'_>, at: (&str, &str), uid: &str, mut entry: Entry, unread: Unread) -> Option<Duration> {
    entry.failures = entry.failures.saturating_add(1);
    let pause = retry_in(TroubleKind::Cluster, entry.failures, uid).unsigned_abs();
    let error = unread.error;
    warn!(namespace = at.0, role = at.1, %error, "the role could not be read; again in {pause:?}");
    if let (Some(mut round), Some(missing)) = (unread.round, error.missing())
        && let Some(status) = plan::unread(&round.observed(host.world), &format!("reading the Secret: {missing}"))
        && let Err(error) = act::status::write(host.world, &mut round, &status).await
    {
        untold(host, &round, &error).await;
    }
    host.memory.put(uid, entry);
    Some(pause)
}
