//! The Secret is the commit point: whatever attempt stands in it has won, whatever the intent says.

use jiff::Timestamp;

use super::admission::{self, Admission};
use super::observed::{Observed, Reservation, Secret, Shown};
use super::step::Step;
use super::subject::{Resolution, Subject};
use super::{book, inspection, is_finalized, settle, slot, status, subject};
use crate::api::{Held, Intent, Source};

/// Records what the Secret holds, where the status does not know it yet.
pub fn plan(o: &Observed) -> Option<Step> {
    let Secret::Ours(secret) = &o.secret else { return None };
    let record = secret.record.as_ref()?;
    let known = status(o);
    let Some(held) = &record.held else {
        if known.is_some_and(|s| s.current.is_some()) {
            return Some(book::withdrawn(o));
        }
        // A wiped status: that this role was once served stands in the Secret.
        if known.is_none_or(|s| s.handled.is_none()) {
            let mut status = book::base(o);
            status.handled = Some(record.answers.clone());
            return Some(Step::Record(Box::new(status), Vec::new()));
        }
        return None;
    };
    if known.and_then(|s| s.current.as_ref()).is_some_and(|c| c.attempt == held.attempt) {
        return None;
    }
    let now = o.now?;
    if let Some(begun) = begun(o, held) {
        return Some(book::adopt(o, secret, &begun, source(o, &begun), now));
    }
    if is_spent(o, held, now) {
        return None;
    }
    // A wiped status, another replica's late write, or a tenant's edit. What was revoked once must not be adopted, and what the
    // annotation says of the token is a tenant's word until TFC shows it.
    subject::account(o)?;
    // A role without our finalizer was never served, or nothing is left of it: TFC is not asked about what somebody wrote there.
    if !is_finalized(o) {
        return None;
    }
    match confirmed(o, held) {
        Confirmed::Yes(held) => Some(book::adopt(o, secret, &held, Source::Secret, now)),
        Confirmed::No => None,
        Confirmed::Ask if o.trouble.is_none() => question(o, held),
        Confirmed::Ask => None,
    }
}

/// What the Secret says of the attempt that is open, as far as it counts.
pub fn begun(o: &Observed, held: &Held) -> Option<Held> {
    let intent = status(o)?.intent.as_ref().filter(|i| i.record.attempt == held.attempt)?;
    if is_anothers(o, held) {
        return None;
    }
    Some(if source(o, held) == Source::Reply { held.clone() } else { as_begun(held, intent, o.now) })
}

/// Another attempt made this token, by our own records: somebody wrote its id to this one's name.
fn is_anothers(o: &Observed, held: &Held) -> bool {
    let mut recorded = status(o).into_iter().flat_map(|s| s.current.iter().chain(&s.predecessors));
    recorded.any(|record| record.attempt != held.attempt && record.token_id.as_ref() == Some(&held.token_id))
}

/// A former token whose time has come: whoever put it back keeps it by that no longer.
pub fn is_spent(o: &Observed, held: &Held, now: Timestamp) -> bool {
    let former = status(o).and_then(|s| s.predecessors.iter().find(|p| p.attempt == held.attempt));
    former.is_some_and(|p| !settle::may_win(o, p) && p.revoke_at.as_ref().is_some_and(|at| at.0 <= now))
}

/// What has to be known before the Secret's word on its token counts; `None` where it can't be known at the moment.
pub fn question(o: &Observed, held: &Held) -> Option<Step> {
    let subject = Subject::parse(&held.subject)?;
    if subject.is_slot() {
        match admission::admit(o) {
            Admission::Admitted(_) if o.facts.reservation.is_none() => return Some(Step::Reserve(subject)),
            Admission::Ask(question) => return Some(Step::Resolve(question)),
            Admission::Refused | Admission::Undecided => return None,
            Admission::Admitted(_) => {}
        }
    }
    Some(Step::Inspect(inspection(&subject, &held.token_id)))
}

/// Whether the token id comes from this round's own mint, or by way of the Secret.
pub fn source(o: &Observed, held: &Held) -> Source {
    if o.facts.minted.as_deref() == Some(held.attempt.as_str()) { Source::Reply } else { Source::Secret }
}

/// The Secret holds an attempt that TFC does not confirm, or one whose time is over: its value counts as lost.
pub fn disproved(o: &Observed, held: &Held) -> bool {
    o.now.is_some_and(|now| is_spent(o, held, now)) || confirmed(o, held) == Confirmed::No
}

/// Whether TFC confirms what the Secret says that it holds.
#[derive(PartialEq, Eq)]
pub enum Confirmed {
    /// It does; with the times that TFC gives.
    Yes(Held),
    /// It does not.
    No,
    /// It has not been asked.
    Ask,
}

/// Whether TFC confirms what the Secret says that it holds.
pub fn confirmed(o: &Observed, held: &Held) -> Confirmed {
    match Subject::parse(&held.subject).filter(|subject| is_this_roles(o, held, subject) && !is_anothers(o, held)) {
        None => Confirmed::No,
        // It has no marker: only who may have it, and holds the slot, has a say in whose it is.
        Some(subject) if subject.is_slot() => match (admission::admit(o), &o.facts.reservation, &o.facts.slot) {
            (Admission::Refused, _, _) | (_, Some(Reservation::HeldBy(_)), _) => Confirmed::No,
            (Admission::Ask(_) | Admission::Undecided, _, _) | (_, None, _) | (_, _, None) => Confirmed::Ask,
            (_, _, Some(look)) => match slot::held_token(o, look, held) {
                Some(token) => {
                    let account = token.created_by.clone().unwrap_or_default();
                    Confirmed::Yes(dated(&Held { account, ..held.clone() }, token.created_at, token.expires_at))
                }
                None => Confirmed::No,
            },
        },
        Some(_) => match o.facts.shown.get(&held.token_id) {
            None => Confirmed::Ask,
            Some(Shown::Ours(token)) if token.attempt == held.attempt => {
                Confirmed::Yes(dated(held, token.issued_at, token.expires_at))
            }
            Some(_) => Confirmed::No,
        },
    }
}

/// A token is forgotten at its expiry, and tenants can write the annotation: what counts is what was asked for, and TFC never gives
/// more. Nor was it issued before it was begun, or after now: no list would count as later than what is yet to come.
pub fn as_begun(held: &Held, intent: &Intent, now: Option<Timestamp>) -> Held {
    let expires_at = intent.requested_expiry.clone().or_else(|| held.expires_at.clone());
    let said = held.issued_at.as_ref().map(|t| t.0);
    let issued_at = said.max(intent.since.as_ref().map(|t| t.0));
    let issued_at = now.map_or(issued_at, |now| Some(issued_at.map_or(now, |at| at.min(now))));
    Held { issued_at: issued_at.map(book::time), expires_at, ..held.clone() }
}

fn dated(held: &Held, issued_at: Timestamp, expires_at: Option<Timestamp>) -> Held {
    Held { issued_at: Some(book::time(issued_at)), expires_at: expires_at.map(book::time), ..held.clone() }
}

/// Tenants can write the annotation: another subject's token, or another host's, is not even asked for. A slot's token has no
/// marker, so nothing else would keep this role from revoking another's.
fn is_this_roles(o: &Observed, held: &Held, held_for: &Subject) -> bool {
    let here = o.config.as_ref().is_none_or(|config| config.host == held.host);
    let same = match subject::resolve(o) {
        Resolution::Known(own) => own == *held_for,
        Resolution::Ask(_) => matches!(held_for, Subject::Team(_)),
        Resolution::NeedsAccount => matches!(held_for, Subject::User(_)),
        Resolution::None => false,
    };
    here && same
}
