//! A role that goes takes its tokens with it: the credential leaves the Secret, then every token is proven dead, then the
//! finalizer goes. A record past its expiry counts as dead, so each deletion ends by itself.

use super::admission::{self, Admission};
use super::conditions::{self, Verdict};
use super::observed::{Observed, Secret};
use super::step::{Note, Rest, Step, Withdrawal};
use super::subject::{self, Resolution};
use super::{WORKING_RETRY, adopt, book, settle, trouble_verdict};
use crate::api::names::FINALIZER_REVOKE;
use crate::api::role::DeletionPolicy;
use crate::api::{Record, RoleReason, TerraformCloudRoleStatus};

/// The next step for a role with a deletionTimestamp.
pub fn plan(o: &Observed) -> Step {
    let ours = o.role.metadata.finalizers.as_ref().is_some_and(|f| f.iter().any(|f| f == FINALIZER_REVOKE));
    if !ours {
        return Step::Rest(Rest { status: None, wake_in: None });
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
    let unproven: Vec<&Record> = open.into_iter().filter(|r| settle::is_unproven(o, r)).collect();
    if !unproven.is_empty() && o.config.as_ref().is_some_and(|c| c.abandon_unproven) {
        return abandon(o, &status, &unproven);
    }
    if o.trouble.is_none() {
        if let Some(step) = o.now.and_then(|now| settle::plan(o, now)) {
            return step;
        }
    }
    wait(o, status.clone(), &unproven)
}

/// The credential leaves the Secret and is recorded as due; or both are let go, where the role may ask for that.
fn take_back(o: &Observed) -> Option<Step> {
    let current = o.role.status.as_ref().and_then(|s| s.current.as_ref());
    if retains(o) && current.is_some() {
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
            if current.is_none_or(|c| c.attempt != held.attempt) && !adopt::disproved(o, held) {
                return Some(book::adopt(o, secret, held, adopt::source(o, held), now));
            }
        }
        return Some(Step::Withdraw(Withdrawal::Delete));
    }
    current.is_some().then(|| match book::withdrawn(o) {
        Step::Record(status, notes) => going(o, *status, notes),
        step => step,
    })
}

/// Retain asks for a grant: else a tenant could keep a token that the config's owner wants gone.
fn retains(o: &Observed) -> bool {
    let granted = matches!(admission::admit(o), Admission::Admitted(grant) if grant.may_retain);
    o.role.spec.deletion_policy == DeletionPolicy::Retain && granted
}

fn abandon(o: &Observed, status: &TerraformCloudRoleStatus, unproven: &[&Record]) -> Step {
    let notes = unproven.iter().map(|r| Note::Abandoned((*r).clone())).collect();
    let given_up = |r: &Record| unproven.iter().any(|u| u.attempt == r.attempt);
    let mut next = status.clone();
    next.predecessors.retain(|p| !given_up(p));
    next.unsettled.retain(|u| !given_up(&u.record));
    going(o, next, notes)
}

fn release(o: &Observed) -> Step {
    let slot = match subject::resolve(o) {
        Resolution::Known(subject) if subject.is_slot() => Some(subject),
        _ => None,
    };
    Step::Release(slot)
}

fn wait(o: &Observed, status: TerraformCloudRoleStatus, unproven: &[&Record]) -> Step {
    let verdict = match (&o.trouble, unproven.first()) {
        (Some(trouble), _) => trouble_verdict(trouble),
        (None, Some(record)) => Verdict::working(RoleReason::RevocationUnproven, why_unproven(o, record)),
        (None, None) => Verdict::working(
            RoleReason::Revoking,
            "waiting until no request can land any more that may have minted a token",
        ),
    };
    let mut status = status;
    conditions::put(o, &mut status, None, &verdict);
    let due = o.now.and_then(|now| settle::next_wake(o, None, now));
    let retry = o.trouble.as_ref().map(|t| t.retry_in).or((!unproven.is_empty()).then_some(WORKING_RETRY * 4));
    let changed = Some(&status) != o.role.status.as_ref();
    Step::Rest(Rest { status: changed.then(|| Box::new(status)), wake_in: due.into_iter().chain(retry).min() })
}

fn why_unproven(o: &Observed, record: &Record) -> String {
    let token = record.token_id.as_deref().unwrap_or("of unknown id");
    let expiry = record.expires_at.as_ref().map_or_else(|| "its expiry".to_owned(), |t| t.0.to_string());
    let why = match &o.config {
        None => format!("its config {} does not exist", o.role.spec.config_ref.name),
        Some(config) if config.account.is_err() => {
            format!("TerraformCloudConfig {}/{} is not ready", config.namespace, config.name)
        }
        Some(config) if config.host != record.host => {
            format!("the config is for {}, the token of {}", config.host, record.host)
        }
        Some(_) => format!("the config's account can't see {}", record.subject),
    };
    format!(
        "token {token} may still live and {why}: give the config a token of account {}, or wait until {expiry}",
        record.account
    )
}

fn going(o: &Observed, mut status: TerraformCloudRoleStatus, notes: Vec<Note>) -> Step {
    let verdict = Verdict::working(RoleReason::Revoking, "the role goes: its tokens are being revoked");
    conditions::put(o, &mut status, None, &verdict);
    Step::Record(Box::new(status), notes)
}
