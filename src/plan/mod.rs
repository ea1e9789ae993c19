//! The decision. Pure: no IO, no clock, no randomness of its own, and it cannot fail.
//!
//! [`plan`] looks at one role and all that bears on it, and names the one next step. Any step may be the last that this
//! process does; the next `plan` leads on from what it left behind.

pub mod admission;
pub mod conditions;
pub mod observed;
pub mod step;
pub mod subject;
pub mod terms;
pub mod uninstall;

pub use book::{layout, time, wishes};

mod adopt;
mod book;
mod delete;
mod mint;
mod restart;
mod settle;
mod slot;
mod sweep;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use self::admission::{Admission, Grant};
use self::conditions::{State, Verdict};
use self::observed::{Observed, Secret, Trouble, TroubleKind};
use self::step::{Inspection, Note, Rest, Step, Withdrawal};
use self::subject::{Resolution, Subject};
use self::terms::{Lease, Life, Terms};
use crate::api::names::FINALIZER_REVOKE;
use crate::api::{Record, RoleReason, TerraformCloudRoleStatus};

/// The next step for a role. The order of the questions is the policy: deletion, what the Secret says, what is proven,
/// admission, suspension, then what is due.
pub fn plan(o: &Observed) -> Step {
    let step = decide(o);
    match &o.trouble {
        Some(trouble) if is_out_of_reach(trouble.kind, &step) => pause(o, trouble),
        _ => step,
    }
}

fn decide(o: &Observed) -> Step {
    if let Some(step) = book::disclaimed(o) {
        return step;
    }
    if o.role.metadata.deletion_timestamp.is_some() {
        return delete::plan(o);
    }
    if !is_finalized(o) && status(o).is_some_and(book::has_records) {
        return Step::Finalize;
    }
    if let Some(step) = adopt::plan(o).or_else(|| settle::forget(o)) {
        return step;
    }
    match admission::admit(o) {
        Admission::Admitted(grant) => serve(o, &grant),
        Admission::Ask(question) => match &o.trouble {
            Some(trouble) => rest_in_trouble(o, None, trouble),
            None => Step::Resolve(question),
        },
        Admission::Refused => refuse(o),
        Admission::Undecided => rest(o, None, &config_not_ready(o), None),
    }
}

/// The server that the step is for has just failed: the same step at once would fail again.
fn is_out_of_reach(kind: TroubleKind, step: &Step) -> bool {
    match kind {
        TroubleKind::Cluster => !matches!(step, Step::Rest(_)),
        TroubleKind::SecretRefused => {
            matches!(step, Step::Claim | Step::Issue(_) | Step::Render | Step::Fence | Step::Disown)
        }
        TroubleKind::Restart => matches!(step, Step::Survey | Step::Restart(_)),
        _ => false,
    }
}

fn pause(o: &Observed, trouble: &Trouble) -> Step {
    if o.role.metadata.deletion_timestamp.is_some() { delete::wait(o, &[]) } else { rest_in_trouble(o, None, trouble) }
}

/// The next step for a role that its config admits.
fn serve(o: &Observed, grant: &Grant) -> Step {
    if current(o).is_some_and(|c| c.revoke_at.is_some()) {
        let mut status = book::base(o);
        if let Some(current) = &mut status.current {
            current.revoke_at = None;
        }
        return Step::Record(Box::new(status), Vec::new());
    }
    let subject = match subject::resolve(o) {
        Resolution::Known(subject) => subject,
        Resolution::Ask(question) if o.facts.hidden_teams.contains(&question.to_string()) => {
            return stuck(o, &not_shown(&question.to_string()), Some(HIDDEN_RETRY));
        }
        Resolution::Ask(question) => {
            return match (&o.trouble, subject::account(o)) {
                (Some(trouble), _) => rest_in_trouble(o, None, trouble),
                (None, None) => rest(o, None, &config_not_ready(o), None),
                (None, Some(_)) => Step::Resolve(question),
            };
        }
        Resolution::NeedsAccount => return rest(o, None, &config_not_ready(o), None),
        Resolution::None => {
            let words = "the spec names no organization, team or user that this version knows: name exactly one";
            return stuck(o, &Verdict::stuck(RoleReason::Rejected, words), None);
        }
    };
    let terms = match terms::terms(&o.role.spec, subject.is_slot(), grant) {
        Ok(terms) => terms,
        Err(words) => return stuck(o, &Verdict::stuck(RoleReason::Rejected, words), None),
    };
    if o.role.spec.suspend && !incident(o) {
        if let Some(step) = o.now.filter(|_| o.trouble.is_none()).and_then(|now| settle::incident(o, now)) {
            return step;
        }
        let message = "spec.suspend is true: nothing is minted, rotated or revoked";
        return rest(o, Some(&terms), &Verdict::settled(RoleReason::Suspended, message), None);
    }
    let Some(now) = o.now else { return rest(o, Some(&terms), &config_not_ready(o), None) };
    if let Some(step) = renew(o, &terms, now) {
        return step;
    }
    if let Some(step) = expire(o, &terms, now) {
        return step;
    }
    if let Some(trouble) = &o.trouble {
        // A Secret that takes no successor, because somebody made it so, keeps no token that is to go at once.
        if incident(o) && trouble.kind == TroubleKind::SecretRefused && current(o).is_some() {
            return withdraw(o, Withdrawal::Delete);
        }
        // A mint that always fails must not hold up revocations; one that fails itself is waited for.
        return match settle::due(o, now) {
            Some(step) if !trouble.settling => step,
            _ => rest_in_trouble(o, Some(&terms), trouble),
        };
    }
    if let Some(step) = sweep::look(o, &subject) {
        return step;
    }
    // A Secret that changes all the time must not hold an incident up; the successor is written whole.
    if needs_render(o) && !incident(o) {
        return Step::Render;
    }
    let verdict = match mint::plan(o, &subject, &terms, now) {
        Ok(Some(step)) => return step,
        Ok(None) => settled(o, &terms),
        Err(verdict) => verdict,
    };
    // Whatever TFC says meanwhile: the Secret holds the token, and pods wait for it.
    if let Some(step) = restart::plan(o, &terms, now) {
        return step;
    }
    if let Some(step) = settle::plan(o, now) {
        return step;
    }
    let restarting = restart::waits(o).filter(|_| verdict.state == State::Settled);
    let unproven = settle::unproven(o, now).filter(|_| verdict.state == State::Settled);
    let retry = match &unproven {
        _ if restarting.is_some() => Some(restart::POLL),
        Some(_) => Some(HIDDEN_RETRY),
        // Another's Secret is not watched: that it went is noticed so.
        None if verdict.state == State::Working || verdict.reason == RoleReason::SecretConflict => Some(WORKING_RETRY),
        // That the holder of a slot went is told by the watch, unless the watch missed it.
        None => (verdict.reason == RoleReason::Conflict).then_some(HIDDEN_RETRY),
    };
    rest(o, Some(&terms), unproven.as_ref().or(restarting.as_ref()).unwrap_or(&verdict), retry)
}

/// What TFC hides may be shown later (a team made, a right granted): asked again at this pace.
const HIDDEN_RETRY: SignedDuration = SignedDuration::from_mins(2);
/// What waits for something that raises no event is looked at again at this pace.
const WORKING_RETRY: SignedDuration = SignedDuration::from_secs(15);

/// A role that may not use its config (any more): after the grace period it loses its token.
fn refuse(o: &Observed) -> Step {
    let verdict = Verdict::stuck(RoleReason::ConfigNotAvailable, not_available(o));
    let retry = (!o.facts.hidden_teams.is_empty()).then_some(HIDDEN_RETRY);
    // Nothing is left of it: its slot is free for others, and it may go as it likes.
    if is_finalized(o) && o.trouble.is_none() && status(o).is_some_and(|s| s.handled.is_some() && !book::has_records(s))
    {
        return delete::release(o);
    }
    let (Some(config), Some(now), Some(current)) = (&o.config, o.now, current(o)) else {
        return stuck(o, &verdict, retry);
    };
    match &current.revoke_at {
        None => {
            let mut status = book::base(o);
            if let Some(current) = &mut status.current {
                current.revoke_at = Some(book::time(terms::plus(now, config.grace)));
            }
            conditions::put(o, &mut status, live(o, None), &verdict);
            Step::Record(Box::new(status), Vec::new())
        }
        Some(at) if at.0 <= now => withdraw(o, Withdrawal::Empty),
        Some(_) => stuck(o, &verdict, retry),
    }
}

/// Nothing is minted; what is open is settled all the same.
fn stuck(o: &Observed, verdict: &Verdict, retry: Option<SignedDuration>) -> Step {
    match o.now.and_then(|now| settle::plan(o, now)) {
        Some(step) if o.trouble.is_none() => step,
        _ => rest(o, None, verdict, retry),
    }
}

/// The credential leaves the Secret, or is recorded as gone from it.
fn withdraw(o: &Observed, how: Withdrawal) -> Step {
    match &o.secret {
        Secret::Ours(secret)
            if how == Withdrawal::Delete || secret.record.as_ref().is_none_or(|r| r.held.is_some()) =>
        {
            Step::Withdraw(how)
        }
        _ => book::withdrawn(o),
    }
}

/// The renew annotation: the lease in being starts anew. TFC is not asked.
fn renew(o: &Observed, terms: &Terms, now: Timestamp) -> Option<Step> {
    if !book::asked(o).renew {
        return None;
    }
    let mut status = book::base(o);
    if let Some(handled) = &mut status.handled {
        handled.renew = book::wishes(o).renew;
    }
    if let (Life::Lease(lease), Some(current)) = (&terms.life, &mut status.current) {
        current.lease_started_at = Some(book::time(now));
        current.lease_expires_at = lease.lease_end(current, now).map(book::time);
    }
    Some(Step::Record(Box::new(status), vec![Note::Renewed]))
}

/// `renewal: Never`: at the end of the lease the credential goes.
fn expire(o: &Observed, terms: &Terms, now: Timestamp) -> Option<Step> {
    let (Life::Lease(lease), Some(current)) = (&terms.life, current(o)) else { return None };
    let over = !lease.renews && lease.lease_end(current, now).is_some_and(|end| end <= now);
    let asked = book::asked(o);
    (over && !asked.rotate && !asked.revoke).then(|| withdraw(o, Withdrawal::Empty))
}

/// The Secret holds the current attempt, and something about it is not as it was left, or no longer as asked for.
fn needs_render(o: &Observed) -> bool {
    let (Secret::Ours(secret), Some(current)) = (&o.secret, current(o)) else { return false };
    if o.facts.value_lost {
        return false;
    }
    let Some(record) = &secret.record else { return !secret.verified };
    let holds = record.held.as_ref().is_some_and(|h| h.attempt == current.attempt);
    let known = secret.verified || secret.resource_version == current.secret_resource_version;
    holds && (!known || record.layout != book::layout(&o.role.spec))
}

fn settled(o: &Observed, terms: &Terms) -> Verdict {
    match (&terms.life, current(o)) {
        (Life::Lease(Lease { renews: false, .. }), None) => Verdict::settled(
            RoleReason::Expired,
            "the lease is over and renewal is Never: annotate the role with terraformcloud.dev/rotate=<any new value> for a new token",
        ),
        _ => live(o, Some(terms)).unwrap_or_else(|| Verdict::working(RoleReason::Issuing, "waiting for the token")),
    }
}

/// The verdict on a Secret that holds a live token; `None` where it does not.
fn live(o: &Observed, terms: Option<&Terms>) -> Option<Verdict> {
    let (Secret::Ours(secret), Some(current)) = (&o.secret, current(o)) else { return None };
    let held = secret.record.as_ref()?.held.as_ref()?;
    let expired = matches!((&current.expires_at, o.now), (Some(end), Some(now)) if end.0 <= now);
    let dead = expired || sweep::is_current_missing(o, current) || slot::taken_over(o);
    if held.attempt != current.attempt || o.facts.value_lost || dead {
        return None;
    }
    Some(issued(o, terms))
}

fn issued(o: &Observed, terms: Option<&Terms>) -> Verdict {
    if o.role.spec.suspend {
        let message = "spec.suspend is true: the Secret holds a live token; nothing is minted, rotated or revoked";
        return Verdict::settled(RoleReason::Suspended, message);
    }
    match terms {
        Some(terms) if !terms.clamped.is_empty() => Verdict::settled(
            RoleReason::IssuedClamped,
            format!("the Secret holds a live token; {}", terms.clamped.join("; ")),
        ),
        _ => Verdict::settled(RoleReason::Issued, "the Secret holds a live token"),
    }
}

fn rest(o: &Observed, terms: Option<&Terms>, verdict: &Verdict, retry: Option<SignedDuration>) -> Step {
    let mut status = book::base(o);
    slot::note_takeover(o, &mut status);
    let ready = matches!(verdict.reason, RoleReason::Issued | RoleReason::IssuedClamped | RoleReason::Suspended);
    let live = live(o, terms);
    conditions::put(o, &mut status, live.clone(), if ready { live.as_ref().unwrap_or(verdict) } else { verdict });
    if let Some(terms) = terms {
        status.renew_at = status.current.as_ref().and_then(|c| renew_at(o, terms, c)).map(book::time);
    }
    let wake = o.now.and_then(|now| settle::next_wake(o, terms, now)).into_iter().chain(retry).min();
    let changed = Some(&status) != o.role.status.as_ref();
    Step::Rest(Rest { status: changed.then(|| Box::new(status)), wake_in: wake, strays: sweep::used_strays(o) })
}

fn rest_in_trouble(o: &Observed, terms: Option<&Terms>, trouble: &Trouble) -> Step {
    rest(o, terms, &trouble_verdict(trouble), Some(trouble.retry_in))
}

/// The status of a role whose Secret can't be read for want of a permission: nothing is decided, and what was said of its token stays
/// said. `None` where the records are another's, which are not even looked at.
pub fn unread(o: &Observed, words: &str) -> Option<TerraformCloudRoleStatus> {
    if book::disclaimed(o).is_some() {
        return None;
    }
    let mut status = book::base(o);
    let said = status.conditions.iter().find(|c| c.type_ == "Ready" && c.status == "True");
    let live = said.and_then(|c| {
        let reason = RoleReason::ALL.iter().find(|reason| reason.as_str() == c.reason)?;
        Some(Verdict::settled(*reason, c.message.clone()))
    });
    conditions::put(o, &mut status, live, &Verdict::stuck(RoleReason::MissingPermission, words));
    Some(status)
}

fn trouble_verdict(trouble: &Trouble) -> Verdict {
    let words = trouble.words.as_str();
    match trouble.kind {
        _ if trouble.missing_permission => Verdict::stuck(RoleReason::MissingPermission, words),
        TroubleKind::Rejected => Verdict::stuck(RoleReason::Rejected, words),
        TroubleKind::NotPermitted => Verdict::stuck(RoleReason::NotPermitted, words),
        TroubleKind::SecretRefused => Verdict::stuck(RoleReason::SecretRefused, words),
        TroubleKind::Restart => Verdict::working(RoleReason::Restarting, words),
        TroubleKind::Unauthorized => Verdict::working(RoleReason::ConfigNotReady, words),
        TroubleKind::Limited => Verdict::working(RoleReason::Limited, words),
        TroubleKind::Unreachable | TroubleKind::Ambiguous | TroubleKind::Cluster => {
            Verdict::working(RoleReason::Unreachable, words)
        }
    }
}

fn config_not_ready(o: &Observed) -> Verdict {
    let why = o.config.as_ref().and_then(|c| c.account.as_ref().err()).and_then(|u| u.reason);
    match (&o.config, why) {
        (Some(config), Some(why)) => Verdict::working(
            RoleReason::ConfigNotReady,
            format!("TerraformCloudConfig {}/{} is not ready: {}", config.namespace, config.name, why.as_str()),
        ),
        (Some(config), None) => Verdict::working(
            RoleReason::ConfigNotReady,
            format!("TerraformCloudConfig {}/{} is being checked", config.namespace, config.name),
        ),
        (None, _) => Verdict::stuck(RoleReason::ConfigNotAvailable, not_available(o)),
    }
}

/// One text for a config that does not exist and one that does not admit the role: a tenant can't tell them apart.
fn not_available(o: &Observed) -> String {
    let reference = &o.role.spec.config_ref;
    let namespace = reference.namespace.as_ref().or(o.role.metadata.namespace.as_ref());
    format!(
        "TerraformCloudConfig {}/{} does not exist or does not allow this role: ask whoever runs it for an entry in its spec.allow",
        namespace.map_or("", String::as_str),
        reference.name
    )
}

fn not_shown(subject: &str) -> Verdict {
    Verdict::stuck(
        RoleReason::NotPermitted,
        format!("TFC shows no team {subject} to the config's account: check the name, and that the account may see it"),
    )
}

/// A person asked for everything to be revoked by way of the config, which goes before a suspension.
fn incident(o: &Observed) -> bool {
    book::asked(o).config_revoke
}

fn is_finalized(o: &Observed) -> bool {
    o.role.metadata.finalizers.as_ref().is_some_and(|f| f.iter().any(|f| f == FINALIZER_REVOKE))
}

fn current(o: &Observed) -> Option<&Record> {
    status(o)?.current.as_ref()
}

fn status(o: &Observed) -> Option<&TerraformCloudRoleStatus> {
    o.role.status.as_ref()
}

fn renew_at(o: &Observed, terms: &Terms, token: &Record) -> Option<Timestamp> {
    match &terms.life {
        Life::Lease(lease) if lease.renews => lease.renew_at(token, o.role.metadata.uid.as_deref().unwrap_or_default()),
        Life::Lease(_) => None,
        Life::Slot(slot) => slot.renew_at(token),
    }
}

/// How TFC is asked about a token of this subject.
fn inspection(subject: &Subject, token_id: &str) -> Inspection {
    if subject.is_slot() { Inspection::Slot(subject.clone()) } else { Inspection::Token(token_id.to_owned()) }
}
