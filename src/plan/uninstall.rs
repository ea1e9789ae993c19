//! The operator is being removed: what becomes of a role that stays behind.
//!
//! `Revoke` treats it as if it were being deleted, so the same rules hold: the credential leaves the Secret, its token is recorded as
//! due, it is revoked, and the finalizer goes once nothing lives. `Release` takes the finalizer off and leaves the rest, the records in
//! the status too: an operator that is installed again leads on from there.

use jiff::SignedDuration;

use super::conditions::{self, Verdict};
use super::delete::{self, Retention};
use super::observed::Observed;
use super::step::Step;
use super::{WORKING_RETRY, book, is_finalized, settle, status};
use crate::api::{ConfigReason, Record, RoleReason, TerraformCloudRoleStatus};

/// What becomes of the tokens of roles that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// They are revoked, but for those of a role with `deletionPolicy: Retain` whose config admits that.
    Revoke,
    /// They stay where they are, until they expire.
    Release,
}

/// What is next for one role.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// A step; then this is asked again.
    Do(Step),
    /// Nothing of the operator's is left on it, but for the status to be written, where it differs.
    Done(Option<Box<TerraformCloudRoleStatus>>),
    /// Nothing can be done before that long.
    Wait(SignedDuration),
    /// These tokens may live, and nobody can show that they don't.
    Unproven(Vec<Record>),
}

/// The next for a role. With `give_up` its tokens are given up whose death nobody has shown: an event names each.
pub fn plan(o: &Observed, policy: Policy, give_up: bool) -> Next {
    if o.role.metadata.deletion_timestamp.is_some() {
        // It goes by itself, and takes its tokens along whatever the policy is.
        return if is_finalized(o) { going(o, give_up) } else { Next::Done(None) };
    }
    match policy {
        Policy::Release => release(o),
        Policy::Revoke if o.role.spec.retains() && has_current(o) => match delete::retention(&forced(o, give_up)) {
            Retention::Retain => release(o),
            Retention::Revoke => revoke(o, give_up),
            Retention::Unknown(Some(question)) if o.trouble.is_none() => Next::Do(Step::Resolve(question)),
            Retention::Unknown(_) => Next::Wait(WORKING_RETRY),
        },
        Policy::Revoke => revoke(o, give_up),
    }
}

fn has_current(o: &Observed) -> bool {
    status(o).is_some_and(|s| s.current.is_some())
}

/// The slot's Lease stays as well: its holder is still there.
fn release(o: &Observed) -> Next {
    if is_finalized(o) { Next::Do(Step::Release(None)) } else { Next::Done(None) }
}

fn revoke(o: &Observed, give_up: bool) -> Next {
    let account = o.config.as_ref().map(|config| config.account.is_ok());
    if !give_up && account != Some(true) && status(o).is_some_and(book::has_records) {
        // Pods keep their credential as long as its token can't be revoked anyway.
        return if is_passing(o) { Next::Wait(WORKING_RETRY) } else { Next::Unproven(records(o)) };
    }
    if is_finalized(o) {
        let mut as_if = o.clone();
        as_if.role.metadata.deletion_timestamp = Some(book::time(o.wall));
        return going(&as_if, give_up);
    }
    if status(o).is_some_and(book::has_records) {
        return Next::Do(Step::Finalize);
    }
    // What it says otherwise would stand there for ever.
    let Some(before) = status(o).filter(|s| !s.conditions.is_empty()) else { return Next::Done(None) };
    let mut status = book::base(o);
    status.renew_at = None;
    let words =
        "the operator was uninstalled and has revoked this role's tokens: install it again to have the role served";
    conditions::put(o, &mut status, None, &Verdict::settled(RoleReason::Uninstalled, words));
    Next::Done((status != *before).then(|| Box::new(status)))
}

/// All that is recorded of the role's tokens.
fn records(o: &Observed) -> Vec<Record> {
    let Some(status) = status(o) else { return Vec::new() };
    let attempts = status.intent.iter().chain(&status.unsettled).map(|attempt| &attempt.record);
    status.current.iter().chain(&status.predecessors).chain(attempts).cloned().collect()
}

/// The observed, with the config's word that what can't be proven is given up.
fn forced(o: &Observed, give_up: bool) -> Observed {
    let mut o = o.clone();
    if let Some(config) = o.config.as_mut().filter(|_| give_up) {
        config.abandon_unproven = true;
    }
    o
}

fn going(o: &Observed, give_up: bool) -> Next {
    let o = forced(o, give_up);
    let rest = match super::plan(&o) {
        Step::Rest(rest) => rest,
        step => return Next::Do(step),
    };
    let base = book::base(&o);
    let open: Vec<&Record> = base.predecessors.iter().chain(base.unsettled.iter().map(|u| &u.record)).collect();
    let settled = has_current(&o) || open.is_empty();
    if give_up && !settled {
        return Next::Do(delete::abandon(&o, &base, &open));
    }
    if !settled && !is_passing(&o) && open.iter().all(|record| settle::is_unproven(&o, record)) {
        return Next::Unproven(open.into_iter().cloned().collect());
    }
    Next::Wait(rest.wake_in.unwrap_or(WORKING_RETRY))
}

/// What keeps the proof away may be over in a moment.
fn is_passing(o: &Observed) -> bool {
    let config = o.config.as_ref().and_then(|config| config.account.as_ref().err());
    let away = config.is_some_and(|unready| matches!(unready.reason, None | Some(ConfigReason::Unreachable)));
    away || o.trouble.is_some()
}
