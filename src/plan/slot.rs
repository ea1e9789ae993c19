//! Single slots: minting on one kills the token in it, and their tokens carry no marker. So a slot is looked at before each mint,
//! and the exact expiry that was asked for, down to random seconds, tells whose token it holds.

use jiff::Timestamp;

use super::conditions::Verdict;
use super::observed::{AccountKind, Observed, Reservation, Secret, SlotLook, SlotToken};
use super::step::{Inspection, Step};
use super::subject::{self, Subject};
use super::terms::{Life, Terms};
use super::{book, current, status};
use crate::api::{Held, Intent, Record, RoleReason, Source, TerraformCloudRoleStatus};

/// What has to be known and taken before a slot is minted; `None` where all is.
pub fn prepare(o: &Observed, subject: &Subject, terms: &Terms) -> Result<Option<Step>, Verdict> {
    let Life::Slot(life) = &terms.life else { return Ok(None) };
    if is_own_account(o, subject) {
        return Err(would_revoke_own_token(subject));
    }
    match &o.facts.reservation {
        None => return Ok(Some(Step::Reserve(subject.clone()))),
        Some(Reservation::HeldBy(role)) => {
            let message = format!(
                "role {role} holds the slot of {subject}: one role at a time can; delete that role or this one"
            );
            return Err(Verdict::stuck(RoleReason::Conflict, message));
        }
        Some(Reservation::Held) => {}
    }
    let Some(look) = &o.facts.slot else { return Ok(Some(Step::Inspect(Inspection::Slot(subject.clone())))) };
    let Some(token) = &look.token else { return Ok(None) };
    if subject::account(o).is_some_and(|a| a.token_id.as_ref() == Some(&token.id)) {
        return Err(would_revoke_own_token(subject));
    }
    if is_ours(o, token) {
        return Ok(None);
    }
    if current_here(o).is_none() {
        return if life.replace { Ok(None) } else { Err(occupied(subject, token)) };
    }
    // Told to, after this was said: a wish from before could not know.
    let asked = book::asked(o);
    if said_taken_over(o) && (asked.rotate || asked.revoke) {
        return Ok(None);
    }
    Err(somebody_elses(subject, &token.id))
}

/// What a role hears whose slot somebody else took.
pub fn takeover(o: &Observed, subject: &Subject) -> Option<Verdict> {
    current_here(o)?;
    match &o.facts.slot {
        Some(look) => look.token.as_ref().filter(|t| !is_ours(o, t)).map(|t| somebody_elses(subject, &t.id)),
        None => status(o)?.taken_over_by.as_ref().map(|id| somebody_elses(subject, id)),
    }
}

/// Writes down that somebody else took the slot, or that this is over. Wishes from before are answered by it: they could not know.
pub fn note_takeover(o: &Observed, status: &mut TerraformCloudRoleStatus) {
    let Some(look) = &o.facts.slot else { return };
    let theirs = look.token.as_ref().filter(|t| current_here(o).is_some() && !is_ours(o, t));
    if theirs.is_some() && status.taken_over_by.is_none() {
        status.handled = Some(book::wishes(o));
    }
    status.taken_over_by = theirs.map(|token| token.id.clone());
}

/// The token in the Secret, if it is of the host whose slots are looked at. A config that moved shows nothing of the former host's.
pub fn current_here(o: &Observed) -> Option<&Record> {
    current(o).filter(|current| o.config.as_ref().is_some_and(|config| config.host == current.host))
}

/// The slot holds the token that the Secret names, and it is of our account's making.
pub fn held_token<'a>(o: &Observed, look: &'a SlotLook, held: &Held) -> Option<&'a SlotToken> {
    look.token.as_ref().filter(|t| t.id == held.token_id && made_by_us(o, t))
}

/// The slot holds a token that is not ours: by this round's look, or by what an earlier round said.
pub fn taken_over(o: &Observed) -> bool {
    match (&o.facts.slot, current_here(o)) {
        (Some(SlotLook { token: Some(token) }), Some(_)) => !is_ours(o, token),
        (None, Some(_)) => said_taken_over(o),
        _ => false,
    }
}

/// The slot was looked at, and the token in the Secret is not in it any more, killed by an attempt of ours that landed late; or
/// the slot is empty.
pub fn overtaken_by_our_own(o: &Observed) -> bool {
    match (&o.facts.slot, current_here(o)) {
        (Some(SlotLook { token: Some(token) }), Some(current)) => {
            current.token_id.as_ref() != Some(&token.id) && is_ours(o, token)
        }
        (Some(SlotLook { token: None }), Some(current)) => book::is_slot(&current.subject),
        _ => false,
    }
}

/// The record names this token, and may be right: one that came by way of the Secret can't name what another account made.
pub fn names(o: &Observed, token: &SlotToken, record: &Record) -> bool {
    let by_its_account = token.created_by.as_ref().is_none_or(|by| *by == record.account);
    let credible = record.source == Source::Reply || by_its_account || made_by_us(o, token);
    record.token_id.as_ref() == Some(&token.id) && credible
}

/// The slot holds this record's token, as far as its source can be trusted: what came by way of the Secret must also have been
/// made by our account, with the recorded expiry or, where the server cut it, an earlier one.
pub fn holds(o: &Observed, token: &SlotToken, record: &Record) -> bool {
    let confirmed = made_by_us(o, token) && token.expires_at <= record.expires_at.as_ref().map(|t| t.0);
    let known = names(o, token, record) && (record.source == Source::Reply || confirmed);
    known || is_twin(o, token, record)
}

/// The slot holds what this attempt made.
pub fn made_by(o: &Observed, token: &SlotToken, attempt: &Intent) -> bool {
    // A later mint of ours may expire earlier, by its random seconds, and look as if the server had cut this attempt's.
    if is_anothers(o, token, &attempt.record.attempt) {
        return false;
    }
    made_after(
        o,
        token,
        attempt.requested_expiry.as_ref().map(|t| t.0),
        attempt.since.as_ref().map(|t| t.0),
        attempt.slot_token_id_before.as_deref(),
    )
}

/// Of all attempts that may have made the slot's token, this is the likeliest: by the exact expiry, else the latest. The
/// others, once they can't land any more, are dead: else a handful of them, each possible, would block the next mint for ever.
pub fn is_maker(o: &Observed, token: &SlotToken, attempt: &Intent) -> bool {
    let rank = |a: &Intent| {
        let exact = a.requested_expiry.as_ref().map(|t| t.0) == token.expires_at;
        (exact, a.since.as_ref().map(|t| t.0), a.record.attempt.clone())
    };
    let open = status(o).into_iter().flat_map(|s| s.intent.iter().chain(&s.unsettled));
    let best = open.filter(|a| made_by(o, token, a)).map(rank).max();
    made_by(o, token, attempt) && best.is_none_or(|best| best <= rank(attempt))
}

fn is_ours(o: &Observed, token: &SlotToken) -> bool {
    let Some(status) = status(o) else { return announced(o, token) };
    status.current.as_ref().is_some_and(|c| holds(o, token, c))
        || status.intent.iter().chain(&status.unsettled).any(|attempt| made_by(o, token, attempt))
        || status.predecessors.iter().any(|p| holds(o, token, p))
        || announced(o, token)
}

/// A proxy that delivers a mint twice has the second token kill the first, whose reply may be the one that came.
pub fn is_twin(o: &Observed, token: &SlotToken, record: &Record) -> bool {
    let same = token.expires_at.is_some() && token.expires_at == record.expires_at.as_ref().map(|t| t.0);
    // The config may have changed hands since. Whose account it was is our own word only where the mint's reply came.
    let then = record.source == Source::Reply && token.created_by.as_ref() == Some(&record.account);
    same && !is_anothers(o, token, &record.attempt) && (then || made_by_us(o, token))
}

/// It is the token in the Secret, made by another attempt than this one.
fn is_anothers(o: &Observed, token: &SlotToken, attempt: &str) -> bool {
    current(o).is_some_and(|c| c.attempt != attempt && c.token_id.as_ref() == Some(&token.id))
}

/// The Secret's annotation announced this mint: what is left of it where the status was wiped.
fn announced(o: &Observed, token: &SlotToken) -> bool {
    let Secret::Ours(secret) = &o.secret else { return false };
    let Some(pending) = &secret.pending else { return false };
    made_after(
        o,
        token,
        pending.requested_expiry.as_ref().map(|t| t.0),
        pending.since.as_ref().map(|t| t.0),
        pending.slot_token_id_before.as_deref(),
    )
}

/// Another token than before; with the expiry asked for to the second or, where the server cut it, made by our account after
/// the attempt was written down.
fn made_after(
    o: &Observed,
    token: &SlotToken,
    requested: Option<Timestamp>,
    since: Option<Timestamp>,
    before: Option<&str>,
) -> bool {
    if before == Some(token.id.as_str()) {
        return false;
    }
    let (Some(requested), Some(expires)) = (requested, token.expires_at) else { return false };
    let cut = expires < requested && since.is_some_and(|since| token.created_at >= since) && made_by_us(o, token);
    expires == requested || cut
}

fn made_by_us(o: &Observed, token: &SlotToken) -> bool {
    subject::account(o).is_some_and(|account| token.created_by.as_ref() == Some(&account.id))
}

fn is_own_account(o: &Observed, subject: &Subject) -> bool {
    match (subject::account(o).map(|a| (&a.kind, &a.token_id)), subject) {
        (Some((AccountKind::Organization(name), _)), Subject::Organization(wanted)) => name == wanted,
        // A team's admin token may be one of its many; only where TFC does not show its id the slot is taken for it.
        (Some((AccountKind::Team(id), None)), Subject::TeamLegacy(wanted)) => id == wanted,
        _ => false,
    }
}

/// An earlier round told the person.
fn said_taken_over(o: &Observed) -> bool {
    status(o).is_some_and(|s| s.taken_over_by.is_some())
}

fn somebody_elses(subject: &Subject, token_id: &str) -> Verdict {
    Verdict::stuck(
        RoleReason::TakenOver,
        format!(
            "somebody else minted the token of {subject} ({token_id}), which revoked this role's: annotate the role with terraformcloud.dev/rotate=<any new value> to take it back"
        ),
    )
}

fn would_revoke_own_token(subject: &Subject) -> Verdict {
    Verdict::stuck(
        RoleReason::WouldRevokeOwnToken,
        format!(
            "the config's own token is the token of {subject}, and minting would revoke it: give the config a user's token"
        ),
    )
}

fn occupied(subject: &Subject, token: &SlotToken) -> Verdict {
    let used = match token.last_used_at {
        Some(at) => format!("last used on {}", at.strftime("%Y-%m-%d")),
        None => "never used".into(),
    };
    Verdict::stuck(
        RoleReason::SlotOccupied,
        format!(
            "{subject} already has a token ({}, made on {}, {used}) and a new one would revoke it: delete it in TFC, or set spec.slot.ifOccupied to Replace",
            token.id,
            token.created_at.strftime("%Y-%m-%d")
        ),
    )
}
