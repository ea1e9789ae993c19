//! Whether a token is to be minted, and what stands in the way.

use jiff::{SignedDuration, Timestamp};

use super::conditions::{self, Verdict};
use super::observed::{AccountKind, Observed, Secret};
use super::step::{Order, Step, Urgency};
use super::subject::{self, Subject};
use super::terms::{self, Lease, Life, Terms};
use super::{adopt, book, config_not_ready, current, is_finalized, live, renew_at, slot, status, sweep};
use crate::api::{Intent, Record, RoleReason, TerraformCloudRoleStatus};

/// Predecessors that may live beside the current token.
const MAX_PREDECESSORS: usize = 8;
/// Attempts whose fate may be unknown at the same time.
const MAX_UNSETTLED: usize = 4;

/// Why a token is to be minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The role has none.
    First,
    /// The Secret does not hold the value any more, or it is dead.
    Lost,
    /// It is time.
    Due,
    /// A person asked for it.
    Asked,
    /// A person asked for everything before it to be revoked.
    Incident,
}

/// The next step towards a mint; `None` where none is due, a verdict where something stands in its way.
pub fn plan(o: &Observed, subject: &Subject, terms: &Terms, now: Timestamp) -> Result<Option<Step>, Verdict> {
    let intent = status(o).and_then(|s| s.intent.as_ref());
    if let (Some(intent), Some(begun)) = (intent, &o.facts.begun)
        && intent.record.attempt == *begun
    {
        return Ok(Some(issue(o, subject, intent, urgency(o, cause(o, terms, now), now))));
    }
    let Some(cause) = cause(o, terms, now) else {
        // What an open attempt was for is no longer wanted. Its fate is found out later.
        if intent.is_some() {
            let mut status = book::base(o);
            book::give_up_intent(&mut status);
            return Ok(Some(Step::Record(Box::new(status), Vec::new())));
        }
        return slot::takeover(o, subject).map_or(Ok(None), Err);
    };
    gates(o, subject, cause)?;
    if !is_finalized(o) {
        return Ok(Some(Step::Finalize));
    }
    let refused = [RoleReason::SecretRefused, RoleReason::MissingPermission].map(RoleReason::as_str);
    let was_refused = |s: &TerraformCloudRoleStatus| s.conditions.iter().any(|c| refused.contains(&c.reason.as_str()));
    if !o.facts.rehearsed && status(o).is_some_and(was_refused) {
        return Ok(Some(Step::Rehearse));
    }
    if let Some(step) = slot::prepare(o, subject, terms)? {
        return Ok(Some(step));
    }
    Ok(Some(begin(o, subject, terms, cause, now)))
}

/// Why a token is to be minted now, if it is.
pub fn cause(o: &Observed, terms: &Terms, now: Timestamp) -> Option<Cause> {
    let asked = book::asked(o);
    if asked.revoke {
        return Some(Cause::Incident);
    }
    if asked.rotate {
        return Some(Cause::Asked);
    }
    let Some(current) = current(o) else {
        let once_served = status(o).is_some_and(|s| s.handled.is_some());
        let rests = matches!(&terms.life, Life::Lease(Lease { renews: false, .. })) && once_served;
        return (!rests).then_some(Cause::First);
    };
    let expired = current.expires_at.as_ref().is_some_and(|end| end.0 <= now);
    if expired || lost(o, current) || sweep::is_current_missing(o, current) || slot::overtaken_by_our_own(o) {
        return Some(Cause::Lost);
    }
    renew_at(o, terms, current).is_some_and(|at| at <= now).then_some(Cause::Due)
}

/// The Secret does not hold the current token's value.
fn lost(o: &Observed, current: &Record) -> bool {
    let Secret::Ours(secret) = &o.secret else { return true };
    let held = secret.record.as_ref().and_then(|r| r.held.as_ref());
    match held {
        // Someone removed the record: the value is looked at before it is given up.
        None => o.facts.value_lost,
        Some(held) if held.attempt == current.attempt => o.facts.value_lost,
        Some(held) => adopt::disproved(o, held),
    }
}

/// What stands in the way of a mint, in the order in which a person should hear of it.
fn gates(o: &Observed, subject: &Subject, cause: Cause) -> Result<(), Verdict> {
    if o.namespace_going {
        return Err(Verdict::working(RoleReason::Revoking, "the namespace is being deleted: nothing is minted in it"));
    }
    let Some(config) = &o.config else { return Err(config_not_ready(o)) };
    let Ok(account) = &config.account else { return Err(config_not_ready(o)) };
    if config.deleting && current(o).is_none() {
        let message = format!(
            "TerraformCloudConfig {}/{} is being deleted and admits nothing new",
            config.namespace, config.name
        );
        return Err(Verdict::stuck(RoleReason::ConfigNotAvailable, message));
    }
    if let Subject::User(id) = subject
        && (account.kind != AccountKind::User || account.id != *id)
    {
        let message = format!(
            "TFC mints user tokens only for the account behind the config's token, which is {}, not {id}: use that account's config, or make a new role",
            account.id
        );
        return Err(Verdict::stuck(RoleReason::NotPermitted, message));
    }
    if o.secret == Secret::Foreign {
        let message = format!(
            "Secret {} exists and is not this role's: delete it, or make a role with another spec.secret.name",
            o.role.secret_name()
        );
        return Err(Verdict::stuck(RoleReason::SecretConflict, message));
    }
    let status = status(o);
    if status.is_some_and(|s| s.predecessors.len() >= MAX_PREDECESSORS) {
        let message = format!(
            "{MAX_PREDECESSORS} former tokens still live: wait for their overlap to end, or annotate the role with terraformcloud.dev/revoke=<any new value>"
        );
        // An incident revokes the predecessors first, and so makes room.
        let verdict = if cause == Cause::Incident { Verdict::working } else { Verdict::stuck };
        return Err(verdict(RoleReason::TooManyPredecessors, message));
    }
    let open = status.map_or(0, |s| s.unsettled.len() + usize::from(s.intent.is_some()));
    if open > MAX_UNSETTLED {
        let message =
            format!("the fate of {MAX_UNSETTLED} attempts is not known yet: the next one waits until TFC shows it");
        return Err(Verdict::working(RoleReason::RevocationUnproven, message));
    }
    Ok(())
}

/// Writes down what is about to be minted. An attempt of unknown fate is kept beside it.
fn begin(o: &Observed, subject: &Subject, terms: &Terms, cause: Cause, now: Timestamp) -> Step {
    let (host, account) = match &o.config {
        Some(config) => (config.host.clone(), subject::account(o).map(|a| a.id.clone()).unwrap_or_default()),
        None => Default::default(),
    };
    let requested = match &terms.life {
        Life::Lease(lease) => terms::plus(now, lease.max),
        Life::Slot(slot) => slot.requested_expiry(now, o.nonce.seconds),
    };
    let mut status = book::base(o);
    book::give_up_intent(&mut status);
    status.subject_id = Some(subject.id().to_owned());
    status.intent = Some(Intent {
        record: Record {
            attempt: o.nonce.attempt.clone(),
            host,
            account,
            subject: subject.to_string(),
            ..Record::default()
        },
        since: Some(book::time(now)),
        requested_expiry: Some(book::time(requested)),
        slot_token_id_before: o.facts.slot.as_ref().and_then(|look| look.token.as_ref()).map(|t| t.id.clone()),
        answers: book::wishes(o),
    });
    if live(o, Some(terms)).is_none() {
        let verdict = Verdict::working(RoleReason::Issuing, "a token is being minted");
        conditions::put(o, &mut status, None, &verdict);
    }
    Step::Begin(Box::new(status), urgency(o, Some(cause), now))
}

/// Mints what was written down; a slot's Secret is claimed before.
fn issue(o: &Observed, subject: &Subject, intent: &Intent, urgency: Urgency) -> Step {
    if subject.is_slot() && !o.facts.claimed {
        return Step::Claim;
    }
    let uid = o.role.metadata.uid.as_deref().unwrap_or_default();
    let mut description = o.installation.marker(uid, &intent.record.attempt);
    if let Some(words) = o.role.spec.description.as_deref().filter(|words| !words.is_empty()) {
        description = format!("{description} {words}");
    }
    let ours = match &o.secret {
        Secret::Ours(secret) => Some(secret),
        _ => None,
    };
    Step::Issue(Box::new(Order {
        attempt: intent.record.attempt.clone(),
        subject: subject.clone(),
        description,
        expires_at: intent.requested_expiry.as_ref().map_or(o.wall, |t| t.0),
        urgency,
        secret: ours.map(|s| (s.uid.clone(), s.resource_version.clone())),
        former: ours.and_then(|s| s.record.clone()),
    }))
}

/// A token that is due and ends so soon is about to leave pods without one.
const DYING: SignedDuration = SignedDuration::from_mins(2);

fn urgency(o: &Observed, cause: Option<Cause>, now: Timestamp) -> Urgency {
    let end = current(o).and_then(|c| c.expires_at.as_ref());
    match cause {
        Some(Cause::Due) if end.is_some_and(|end| end.0 <= terms::plus(now, DYING)) => Urgency::Dying,
        Some(Cause::First) | None => Urgency::First,
        Some(Cause::Lost | Cause::Incident) => Urgency::Dying,
        Some(Cause::Asked) => Urgency::Asked,
        Some(Cause::Due) => Urgency::Renewal,
    }
}
