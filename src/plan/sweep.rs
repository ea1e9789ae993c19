//! What a sweep found and the records do not explain. The sweep itself only points here: a role that it points at lists its tokens
//! anew, after it has read its Secret, and decides on that.
//!
//! A token with this role's marker that no record knows was never used where its value was lost between mint and Secret: it is
//! revoked. One that was used may serve the pods of a clone or of a restored cluster: it is told of, and left to its expiry.

use jiff::Timestamp;

use super::observed::{MarkedToken, Observed, Secret, Walk};
use super::step::{Inspection, Revocation, Step};
use super::subject::{self, Resolution, Subject};
use super::{settle, slot, status, terms};
use crate::api::{Record, Source};

/// The look that the sweep asks for, until this round has had it.
pub fn look(o: &Observed, subject: &Subject) -> Option<Step> {
    if !o.swept || !settle::can_see(o, subject) {
        return None;
    }
    if subject.is_slot() {
        let holds_one = slot::current_here(o).is_some();
        return (holds_one && o.facts.slot.is_none()).then(|| Step::Inspect(Inspection::Slot(subject.clone())));
    }
    o.facts.walk.is_none().then(|| Step::Inspect(Inspection::Walk(subject.clone())))
}

/// The next step towards the end of a token that nobody knows.
pub fn plan(o: &Observed, now: Timestamp) -> Option<Step> {
    let subject = own_subject(o).filter(|subject| !subject.is_slot())?;
    let Some(walk) = &o.facts.walk else { return look(o, &subject) };
    let stray = strays(o, walk).find(|token| is_ripe(o, token, now))?;
    if let Secret::Ours(secret) = &o.secret {
        // Somebody removed the record: it may hold any.
        secret.record.as_ref()?;
        if !o.facts.fenced {
            return Some(Step::Fence);
        }
    }
    let (attempt, token_id) = (stray.attempt.clone(), stray.id.clone());
    Some(Step::Revoke(Box::new(Revocation { attempt, token_id, subject, stray: true, put_back: false })))
}

/// Tokens that nobody knows and that are in use.
pub fn used_strays(o: &Observed) -> Vec<MarkedToken> {
    let Some(walk) = o.facts.walk.as_ref().filter(|_| o.swept) else { return Vec::new() };
    strays(o, walk).filter(|token| token.used).cloned().collect()
}

/// A whole list of the subject's tokens does not show this one.
pub fn is_missing(o: &Observed, record: &Record) -> bool {
    is_absent(o, record, |token| is_of(record, token))
}

/// The same for the token in the Secret, whose twin does not make up for it. A wrong id or attempt, which a tenant can have written, costs
/// no more than a mint.
pub fn is_current_missing(o: &Observed, current: &Record) -> bool {
    is_absent(o, current, |token| current.token_id.as_ref() == Some(&token.id) && current.attempt == token.attempt)
}

fn is_absent(o: &Observed, record: &Record, is_it: impl Fn(&MarkedToken) -> bool) -> bool {
    let Some(walk) = o.facts.walk.as_ref().filter(|walk| walk.complete) else { return false };
    let listed = own_subject(o).is_some_and(|own| !own.is_slot() && own.to_string() == record.subject);
    let seen = settle::is_older_than_the_look(o, record) && settle::can_prove(o, record);
    listed && seen && !walk.tokens.iter().any(is_it)
}

fn own_subject(o: &Observed) -> Option<Subject> {
    match subject::resolve(o) {
        Resolution::Known(subject) => Some(subject),
        _ => None,
    }
}

fn strays<'a>(o: &'a Observed, walk: &'a Walk) -> impl Iterator<Item = &'a MarkedToken> {
    // TFC may go on to list what its clock has ended.
    let ended = |token: &MarkedToken| token.expires_at.zip(o.now).is_some_and(|(end, now)| end <= now);
    let gone = move |token: &MarkedToken| ended(token) || o.facts.strays_gone.contains(&token.id);
    walk.tokens.iter().filter(move |token| !is_known(o, token) && !gone(token))
}

fn is_known(o: &Observed, token: &MarkedToken) -> bool {
    let Some(status) = status(o) else { return false };
    let records = status.current.iter().chain(&status.predecessors);
    let open = status.intent.iter().chain(&status.unsettled).map(|attempt| &attempt.record);
    records.chain(open).any(|record| is_of(record, token))
}

/// A proxy that delivers a mint twice makes two tokens of one attempt, so it is the id that tells; but not an id that is a tenant's word.
fn is_of(record: &Record, token: &MarkedToken) -> bool {
    match &record.token_id {
        Some(id) if record.source == Source::Reply => *id == token.id,
        _ => record.attempt == token.attempt,
    }
}

fn is_ripe(o: &Observed, token: &MarkedToken, now: Timestamp) -> bool {
    let landed = terms::plus(token.issued_at, o.settling_time) <= now;
    let twin = status(o).and_then(|s| s.current.as_ref()).is_some_and(|c| c.attempt == token.attempt);
    let stands =
        if twin { settle::holds(o, &token.id) } else { settle::is_in_secret(o, &token.attempt, Some(&token.id)) };
    !token.used && landed && !stands
}
