//! A role that goes takes its tokens with it: the credential leaves the Secret, then every token is proven dead, then the
//! finalizer goes. A record past its expiry counts as dead, so each deletion ends by itself.

use jiff::SignedDuration;

use super::admission::{self, Admission};
use super::adopt::Confirmed;
use super::conditions::{self, Verdict};
use super::observed::{Observed, Secret};
use super::step::{Note, Rest, Step, Withdrawal};
use super::subject::{self, Resolution, TeamQuestion};
use super::{WORKING_RETRY, adopt, book, config_not_ready, is_finalized, settle, status, trouble_verdict};
use crate::api::{Intent, Record, RoleReason, Source, TerraformCloudRoleStatus};

/// The next step for a role with a deletionTimestamp.
pub fn plan(o: &Observed) -> Step {
    if !is_finalized(o) {
        return Step::Rest(Rest::until(None));
    }
    if let Some(step) = take_back(o) {
        return step;
    }
    let status = book::base(o);
    if status.intent.is_some() && !status.intent.as_ref().is_some_and(|i| o.facts.gone.contains(&i.record.attempt)) {
        let mut status = status;
        book::give_up_intent(&mut status);
        return going(o, status, Vec::new());
    }
    let open: Vec<&Record> = status.predecessors.iter().chain(status.unsettled.iter().map(|u| &u.record)).collect();
    if open.iter().all(|r| o.facts.gone.contains(&r.attempt)) {
        return release(o);
    }
    if let Some(step) = settle::forget(o) {
        return step;
    }
    if o.trouble.as_ref().is_none_or(|trouble| !trouble.settling)
        && let Some(step) = o.now.and_then(|now| settle::plan(o, now))
    {
        return step;
    }
    let unproven: Vec<&Record> = open.into_iter().filter(|r| settle::is_unproven(o, r)).collect();
    if !unproven.is_empty() && o.config.as_ref().is_some_and(|c| c.abandon_unproven) {
        return abandon(o, &status, &unproven);
    }
    wait(o, &unproven)
}

/// The credential leaves the Secret and is recorded as due; or both are let go, where the role may ask for that.
fn take_back(o: &Observed) -> Option<Step> {
    let current = o.role.status.as_ref().and_then(|s| s.current.as_ref());
    let retention = if current.is_some() { retention(o) } else { Retention::Revoke };
    if let Retention::Unknown(question) = retention {
        return Some(match (question, &o.trouble) {
            (Some(question), None) => Step::Resolve(question),
            _ => wait_for_config(o),
        });
    }
    if retention == Retention::Retain {
        if matches!(o.secret, Secret::Ours(_)) && !o.facts.disowned {
            return Some(Step::Disown);
        }
        let mut status = book::base(o);
        status.current = None;
        return Some(going(o, status, Vec::new()));
    }
    // What stands in the Secret and is not recorded would be lost with it.
    if let Secret::Ours(secret) = &o.secret {
        let held = secret.record.as_ref().and_then(|r| r.held.as_ref());
        if let (Some(held), Some(now)) = (held, o.now.or(o.api_now)) {
            let unrecorded = current.is_none_or(|c| c.attempt != held.attempt) && !adopt::is_spent(o, held, now);
            // To adopt is to forget a slot's former token: not for words that only a tenant may have written.
            let open = attempt(o, &held.attempt);
            let forgets = current.is_some_and(|c| book::is_slot(&c.subject)) && open.is_none();
            if unrecorded && !forgets {
                if let Some(held) = adopt::begun(o, held) {
                    return Some(book::adopt(o, secret, &held, adopt::source(o, &held), now));
                }
                let question =
                    adopt::question(o, held).filter(|_| subject::account(o).is_some() && o.trouble.is_none());
                match adopt::confirmed(o, held) {
                    Confirmed::Yes(held) => return Some(book::adopt(o, secret, &held, adopt::source(o, &held), now)),
                    Confirmed::Ask if question.is_some() => return question,
                    // Nobody would ask again whether it is this role's.
                    Confirmed::Ask if book::is_slot(&held.subject) => return Some(wait_for_config(o)),
                    Confirmed::Ask => {
                        let held = open.map_or_else(|| held.clone(), |open| adopt::as_begun(held, open, o.now));
                        return Some(book::adopt(o, secret, &held, Source::Secret, now));
                    }
                    Confirmed::No => {}
                }
            }
        }
        return Some(Step::Withdraw(Withdrawal::Delete));
    }
    current.is_some().then(|| match book::withdrawn(o) {
        Step::Record(status, notes) => going(o, *status, notes),
        step => step,
    })
}

/// The attempt of that name, if its fate is open.
fn attempt<'a>(o: &'a Observed, name: &str) -> Option<&'a Intent> {
    status(o)?.intent.iter().chain(&status(o)?.unsettled).find(|open| open.record.attempt == name)
}

#[derive(PartialEq, Eq)]
pub enum Retention {
    /// Token and Secret stay.
    Retain,
    /// They go.
    Revoke,
    /// The config can't say yet whether it allows it, perhaps because a team has to be looked up.
    Unknown(Option<TeamQuestion>),
}

/// Retain asks for a grant: else a tenant could keep a token that the config's owner wants gone. A config that can't say so at the
/// moment must not cost the token; its expiry ends the wait.
pub fn retention(o: &Observed) -> Retention {
    if !o.role.spec.retains() {
        return Retention::Revoke;
    }
    let given_up = o.config.as_ref().is_some_and(|c| c.abandon_unproven) || settle::current_has_expired(o);
    match admission::admit(o) {
        Admission::Admitted(grant) if grant.may_retain => Retention::Retain,
        Admission::Undecided if !given_up => Retention::Unknown(None),
        Admission::Ask(question) if !given_up => Retention::Unknown(Some(question)),
        _ => Retention::Revoke,
    }
}

fn wait_for_config(o: &Observed) -> Step {
    let mut status = book::base(o);
    let verdict = o.trouble.as_ref().map_or_else(|| config_not_ready(o), trouble_verdict);
    conditions::put(o, &mut status, None, &verdict);
    let due = o.now.and_then(|now| settle::next_wake(o, None, now));
    let retry = o.trouble.as_ref().map_or(WORKING_RETRY * 4, |t| t.retry_in);
    rested(o, status, due.into_iter().chain([retry]).min())
}

/// Gives up on these tokens, which may live on: an event names each.
pub fn abandon(o: &Observed, status: &TerraformCloudRoleStatus, unproven: &[&Record]) -> Step {
    let notes = unproven.iter().map(|r| Note::Abandoned((*r).clone())).collect();
    let given_up = |r: &Record| unproven.iter().any(|u| u.attempt == r.attempt);
    let mut next = status.clone();
    next.predecessors.retain(|p| !given_up(p));
    next.unsettled.retain(|u| !given_up(&u.record));
    going(o, next, notes)
}

/// Nothing of this role's lives any more.
pub fn release(o: &Observed) -> Step {
    let slot = match subject::resolve(o) {
        Resolution::Known(subject) if subject.is_slot() => Some(subject),
        _ => None,
    };
    Step::Release(slot)
}

/// Nothing can be done for now; says why.
pub fn wait(o: &Observed, unproven: &[&Record]) -> Step {
    let verdict = match (&o.trouble, unproven.first()) {
        (Some(trouble), _) => trouble_verdict(trouble),
        (None, Some(record)) => Verdict::working(RoleReason::RevocationUnproven, settle::why_unproven(o, record)),
        (None, None) => Verdict::working(
            RoleReason::Revoking,
            "waiting until no request can land any more that may have minted a token",
        ),
    };
    let mut status = book::base(o);
    conditions::put(o, &mut status, None, &verdict);
    let due = o.now.and_then(|now| settle::next_wake(o, None, now));
    let retry = o.trouble.as_ref().map(|t| t.retry_in).or((!unproven.is_empty()).then_some(WORKING_RETRY * 4));
    rested(o, status, due.into_iter().chain(retry).min())
}

fn rested(o: &Observed, status: TerraformCloudRoleStatus, wake_in: Option<SignedDuration>) -> Step {
    let changed = Some(&status) != o.role.status.as_ref();
    Step::Rest(Rest { status: changed.then(|| Box::new(status)), ..Rest::until(wake_in) })
}

fn going(o: &Observed, mut status: TerraformCloudRoleStatus, notes: Vec<Note>) -> Step {
    let verdict = Verdict::working(RoleReason::Revoking, "the role goes: its tokens are being revoked");
    conditions::put(o, &mut status, None, &verdict);
    Step::Record(Box::new(status), notes)
}
