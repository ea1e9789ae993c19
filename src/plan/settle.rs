//! Former tokens and attempts of unknown fate: each is kept until it is proven dead.

use jiff::{SignedDuration, Timestamp};

use super::conditions::Verdict;
use super::observed::{AccountKind, MarkedToken, Observed, Secret, Shown, SlotToken};
use super::step::{Inspection, Note, Revocation, Step, Withdrawal};
use super::subject::{self, Subject};
use super::terms::{self, Life, Terms};
use super::{book, current, renew_at, restart, slot, status, sweep};
use crate::api::{Intent, Record, RoleReason, Source};

/// What expired by the API server's clock this long ago has expired by any. Where TFC's time is known, that alone counts.
const CLOCKS_APART: SignedDuration = SignedDuration::from_hours(1);

/// Takes out of the status what is proven dead, and moves what turned out to be something else.
pub fn forget(o: &Observed) -> Option<Step> {
    let before = status(o)?;
    let mut status = book::base(o);
    let mut notes = Vec::new();
    status.intent = status.intent.filter(|i| !o.facts.gone.contains(&i.record.attempt));
    status.predecessors.clear();
    for predecessor in &before.predecessors {
        match predecessor_fate(o, predecessor) {
            Fate::Open => status.predecessors.push(predecessor.clone()),
            Fate::Revoked => notes.push(Note::Revoked(predecessor.clone())),
            Fate::Expired => {}
            Fate::Misnamed => status.unsettled.push(by_its_marker(predecessor)),
        }
    }
    let kept = status.unsettled.split_off(before.unsettled.len());
    status.unsettled.clear();
    for attempt in &before.unsettled {
        if let (Some(token), Some(now)) = (used(o, attempt), o.now.filter(|now| is_ripe(o, attempt, *now))) {
            status.predecessors.push(book::found(attempt, &token.id, now));
        } else if !is_dead(o, attempt) {
            status.unsettled.push(attempt.clone());
        } else if o.facts.gone.contains(&attempt.record.attempt) {
            notes.push(Note::Revoked(attempt.record.clone()));
        }
    }
    status.unsettled.extend(kept);
    let changed = status.intent != before.intent
        || status.predecessors != before.predecessors
        || status.unsettled != before.unsettled;
    changed.then(|| Step::Record(Box::new(status), notes))
}

/// The next revocation, or the question that has to be asked before it.
pub fn plan(o: &Observed, now: Timestamp) -> Option<Step> {
    let status = status(o)?;
    // Nothing is begun any more that would take its place.
    if status.intent.as_ref().is_some_and(|i| o.facts.begun.as_ref() != Some(&i.record.attempt)) {
        let mut status = book::base(o);
        book::give_up_intent(&mut status);
        return Some(Step::Record(Box::new(status), Vec::new()));
    }
    due(o, now)
}

/// The next revocation, whatever may come of an attempt that is open: its retry takes the place of it.
pub fn due(o: &Observed, now: Timestamp) -> Option<Step> {
    let status = status(o)?;
    let illegible = matches!(&o.secret, Secret::Ours(secret) if secret.record.is_none());
    let nobodys = status.current.is_none() || o.facts.value_lost;
    if illegible && nobodys && book::has_records(status) {
        return Some(Step::Withdraw(Withdrawal::Empty));
    }
    let predecessors = status.predecessors.iter().filter(|p| is_due(o, p, now) && can_prove(o, p));
    let unsettled = status.unsettled.iter().filter(|u| is_ripe(o, u, now) && can_prove(o, &u.record));
    let known = predecessors.filter_map(|p| revoke_known(o, p)).chain(unsettled.filter_map(|u| revoke_unknown(o, u)));
    known.chain(std::iter::from_fn(|| sweep::plan(o, now))).next()
}

/// The next revocation of those that an incident asked for. They go before a suspension, though the wish is answered by now.
pub fn incident(o: &Observed, now: Timestamp) -> Option<Step> {
    let status = status(o)?;
    let issued = status.current.as_ref()?.issued_at.as_ref()?.0;
    let cut = |p: &&Record| p.revoke_at.as_ref().is_some_and(|at| at.0 <= issued);
    let due = status.predecessors.iter().filter(cut).filter(|p| is_due(o, p, now) && can_prove(o, p));
    due.filter_map(|p| revoke_known(o, p)).next()
}

/// Whether a record waits for a proof that nobody can give at the moment.
pub fn is_unproven(o: &Observed, record: &Record) -> bool {
    let hidden = o.facts.hidden.contains(&record.attempt);
    let walked_in_vain = match &o.facts.walk {
        Some(walk) if hidden => !is_gone_for(o, record) || !walk.complete,
        Some(walk) => !walk.complete && record.token_id.is_none() && marked(walk, record).is_none(),
        None => false,
    };
    let shown = record.token_id.as_ref().and_then(|id| o.facts.shown.get(id));
    let in_slot = o.facts.slot.as_ref().and_then(|look| look.token.as_ref()).filter(|t| slot::names(o, t, record));
    let doubtful = in_slot.is_some_and(|token| !slot::holds(o, token, record));
    !can_prove(o, record) || walked_in_vain || shown == Some(&Shown::Hidden) || doubtful
}

/// What is due and can't be proven dead, with the words for it.
pub fn unproven(o: &Observed, now: Timestamp) -> Option<Verdict> {
    let status = status(o)?;
    let due = status.predecessors.iter().filter(|p| is_due(o, p, now));
    let ripe = status.unsettled.iter().filter(|u| is_ripe(o, u, now)).map(|u| &u.record);
    let record = due.chain(ripe).find(|r| is_unproven(o, r))?;
    Some(Verdict::working(RoleReason::RevocationUnproven, why_unproven(o, record)))
}

/// Why nobody can say that this token is dead, and the mend.
pub fn why_unproven(o: &Observed, record: &Record) -> String {
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

/// When to look again: the earliest of what will be due.
pub fn next_wake(o: &Observed, terms: Option<&Terms>, now: Timestamp) -> Option<SignedDuration> {
    let status = status(o)?;
    let current = status.current.as_ref();
    let lease = terms.and_then(|terms| match &terms.life {
        Life::Lease(lease) if !lease.renews => current.and_then(|c| lease.lease_end(c, now)),
        _ => None,
    });
    let suspended = o.role.spec.suspend && o.role.metadata.deletion_timestamp.is_none();
    let renewal = terms.zip(current).filter(|_| !suspended).and_then(|(terms, current)| renew_at(o, terms, current));
    let ends = current.into_iter().flat_map(|c| [&c.revoke_at, &c.expires_at]);
    let predecessors = status.predecessors.iter().flat_map(|p| [&p.revoke_at, &p.expires_at]);
    let landed = status.predecessors.iter().filter_map(|p| landed_at(o, p));
    let kept = status.predecessors.iter().filter(|p| is_recorded_in_secret(o, p)).filter_map(|p| put_back_at(o, p));
    let unsettled = status.unsettled.iter().filter_map(|u| Some(terms::plus(u.since.as_ref()?.0, o.settling_time)));
    // What became ripe after this round's look needs another one.
    let unseen = o.facts.looked_at.is_some_and(|looked| unsettled.clone().any(|at| looked < at && at <= now));
    let expiries = status.unsettled.iter().filter_map(|u| u.requested_expiry.as_ref()).map(|t| t.0);
    let recorded = ends.chain(predecessors).flatten().map(|t| t.0);
    let all = recorded.chain(landed).chain(kept).chain(unsettled).chain(expiries).chain(lease).chain(renewal);
    let next = all.filter(|at| *at > now).min().map(|at| at.duration_since(now));
    if unseen { Some(SignedDuration::ZERO) } else { next }
}

enum Fate {
    Open,
    Revoked,
    Expired,
    Misnamed,
}

fn predecessor_fate(o: &Observed, predecessor: &Record) -> Fate {
    if o.facts.gone.contains(&predecessor.attempt) || is_gone_for(o, predecessor) {
        return Fate::Revoked;
    }
    if has_expired(o, predecessor.expires_at.as_ref().map(|t| t.0)) {
        return Fate::Expired;
    }
    if sweep::is_missing(o, predecessor) {
        return Fate::Revoked;
    }
    if book::is_slot(&predecessor.subject) {
        let looked = o.facts.slot.as_ref().filter(|_| can_prove(o, predecessor));
        let is_it = |token: &SlotToken| slot::names(o, token, predecessor) || slot::is_twin(o, token, predecessor);
        let elsewhere = looked.is_some_and(|look| !look.token.as_ref().is_some_and(is_it));
        return if elsewhere { Fate::Revoked } else { Fate::Open };
    }
    match predecessor.token_id.as_ref().and_then(|id| o.facts.shown.get(id)) {
        Some(Shown::Ours(token)) if token.attempt == predecessor.attempt => Fate::Open,
        // The Secret's annotation named something else. The marker will find the real one.
        Some(Shown::Ours(_) | Shown::Foreign | Shown::Gone) if predecessor.source == Source::Secret => Fate::Misnamed,
        Some(Shown::Hidden) if predecessor.source == Source::Secret && is_another(o, predecessor) => Fate::Misnamed,
        _ => Fate::Open,
    }
}

/// A list shows this attempt's token, and it is not the one that the record names.
fn is_another(o: &Observed, record: &Record) -> bool {
    let listed = o.facts.walk.as_ref().and_then(|walk| marked(walk, record));
    listed.is_some_and(|token| record.token_id.as_ref() != Some(&token.id))
}

/// A 404 is a proof for whoever can see the subject: the same user, or a caller to whom the organization's tokens were listed
/// and this one was not among them.
fn is_gone_for(o: &Observed, record: &Record) -> bool {
    if !o.facts.hidden.contains(&record.attempt) || !can_prove(o, record) {
        return false;
    }
    match Subject::parse(&record.subject) {
        Some(Subject::User(_)) => true,
        Some(Subject::Team(_)) => {
            let absent = |w: &super::observed::Walk| w.complete && marked(w, record).is_none();
            is_older_than_the_look(o, record) && o.facts.walk.as_ref().is_some_and(absent)
        }
        _ => false,
    }
}

fn is_dead(o: &Observed, attempt: &Intent) -> bool {
    let record = &attempt.record;
    if o.facts.gone.contains(&record.attempt) || is_gone_for(o, record) {
        return true;
    }
    if has_expired(o, attempt.requested_expiry.as_ref().map(|t| t.0)) {
        return true;
    }
    let ripe = o.now.is_some_and(|now| is_ripe(o, attempt, now)) && can_prove(o, record);
    if book::is_slot(&record.subject) {
        let elsewhere =
            |look: &super::observed::SlotLook| look.token.as_ref().is_none_or(|t| !slot::is_maker(o, t, attempt));
        return ripe && o.facts.slot.as_ref().is_some_and(elsewhere);
    }
    let absent = |walk: &super::observed::Walk| walk.complete && marked(walk, record).is_none();
    ripe && record.token_id.is_none() && o.facts.walk.as_ref().is_some_and(absent)
}

fn used<'a>(o: &'a Observed, attempt: &Intent) -> Option<&'a MarkedToken> {
    o.facts.walk.as_ref().and_then(|walk| marked(walk, &attempt.record)).filter(|token| token.used)
}

/// A look shows nothing of what was made after it.
pub fn is_older_than_the_look(o: &Observed, record: &Record) -> bool {
    let issued = record.issued_at.as_ref().map_or(Timestamp::MIN, |t| t.0);
    o.facts.looked_at.is_some_and(|looked| issued <= looked)
}

pub fn marked<'a>(walk: &'a super::observed::Walk, record: &Record) -> Option<&'a MarkedToken> {
    walk.tokens.iter().find(|t| t.attempt == record.attempt)
}

fn by_its_marker(predecessor: &Record) -> Intent {
    let record = Record { token_id: None, ..predecessor.clone() };
    Intent {
        since: predecessor.issued_at.clone(),
        requested_expiry: predecessor.expires_at.clone(),
        record,
        ..Intent::default()
    }
}

fn revoke_known(o: &Observed, predecessor: &Record) -> Option<Step> {
    let subject = Subject::parse(&predecessor.subject)?;
    let id = predecessor.token_id.as_ref()?;
    if subject.is_slot() {
        return match &o.facts.slot {
            None => Some(Step::Inspect(Inspection::Slot(subject))),
            Some(look) => look
                .token
                .as_ref()
                .filter(|t| slot::holds(o, t, predecessor))
                .map(|t| revoke(predecessor, &t.id, subject, is_put_back(o, predecessor))),
        };
    }
    if o.facts.hidden.contains(&predecessor.attempt) {
        return o.facts.walk.is_none().then_some(Step::Inspect(Inspection::Walk(subject)));
    }
    if predecessor.source == Source::Secret && !o.facts.shown.contains_key(id) {
        return Some(Step::Inspect(Inspection::Token(id.clone())));
    }
    if o.facts.shown.get(id) == Some(&Shown::Hidden) {
        // Gone or out of sight: the list tells.
        return o.facts.walk.is_none().then_some(Step::Inspect(Inspection::Walk(subject)));
    }
    Some(revoke(predecessor, id, subject, is_put_back(o, predecessor)))
}

/// An attempt whose reply, or whose Secret write, got no answer. From the fence on no late write can put its token into the
/// Secret; where no Secret stands there is none to fence, and the settling time is over.
fn revoke_unknown(o: &Observed, attempt: &Intent) -> Option<Step> {
    let record = &attempt.record;
    let subject = Subject::parse(&record.subject)?;
    if subject.is_slot() {
        let Some(look) = &o.facts.slot else { return Some(Step::Inspect(Inspection::Slot(subject))) };
        // While the role lives the next mint revokes it; a role that goes has to do so itself.
        let going = o.role.metadata.deletion_timestamp.is_some();
        let token = look.token.as_ref().filter(|t| going && slot::made_by(o, t, attempt))?;
        return Some(revoke(record, &token.id, subject, false));
    }
    if o.facts.hidden.contains(&record.attempt) && o.facts.walk.is_some() {
        return None;
    }
    let id = match (&record.token_id, &o.facts.walk) {
        (Some(id), _) if !o.facts.hidden.contains(&record.attempt) => id.clone(),
        (_, None) => return Some(Step::Inspect(Inspection::Walk(subject))),
        (_, Some(walk)) => marked(walk, record)?.id.clone(),
    };
    match &o.secret {
        Secret::Ours(_) if !o.facts.fenced => Some(Step::Fence),
        _ => Some(revoke(record, &id, subject, false)),
    }
}

fn revoke(record: &Record, id: &str, subject: Subject, put_back: bool) -> Step {
    let attempt = record.attempt.clone();
    Step::Revoke(Box::new(Revocation { attempt, token_id: id.to_owned(), subject, stray: false, put_back }))
}

fn is_due(o: &Observed, predecessor: &Record, now: Timestamp) -> bool {
    let over = predecessor.revoke_at.as_ref().is_none_or(|at| at.0 <= now);
    // A role that goes takes its Secret along, so nobody is left whom an overlap would serve.
    let going = o.role.metadata.deletion_timestamp.is_some();
    let incident = book::asked(o).revoke;
    let asked = (over && !restart::holds(o, predecessor, now)) || going || incident;
    asked
        && landed_at(o, predecessor).is_none_or(|at| at <= now || at > terms::plus(now, o.settling_time))
        && (!is_recorded_in_secret(o, predecessor) || is_put_back(o, predecessor))
}

/// It stands in the Secret, and has been due for so long that no write of ours can have brought it there: somebody put it back, and
/// would keep it for good if that held its revocation up.
fn is_put_back(o: &Observed, predecessor: &Record) -> bool {
    is_recorded_in_secret(o, predecessor) && put_back_at(o, predecessor).zip(o.now).is_some_and(|(at, now)| at <= now)
}

fn put_back_at(o: &Observed, predecessor: &Record) -> Option<Timestamp> {
    let due = predecessor.revoke_at.as_ref().filter(|_| !may_win(o, predecessor))?;
    Some(terms::plus(due.0, o.settling_time))
}

/// It was found at TFC, in use, before anybody saw it in the Secret. Once it is seen there it has won, unless another was issued since.
pub fn may_win(o: &Observed, predecessor: &Record) -> bool {
    let found = predecessor.revoke_at.as_ref().filter(|_| predecessor.issued_at.is_none());
    let issued = current(o).and_then(|current| current.issued_at.as_ref());
    found.is_some_and(|found| issued.is_none_or(|issued| issued < found))
}

/// From when on no late write of the Secret can bring this token back, even if somebody deletes the Secret: where its minter got
/// no answer, or died, the create may have been sent twice. An issue in the future is a tenant's word, and delays nothing.
fn landed_at(o: &Observed, token: &Record) -> Option<Timestamp> {
    let issued = token.issued_at.as_ref().filter(|_| token.source == Source::Secret)?;
    Some(terms::plus(issued.0, o.settling_time))
}

fn is_ripe(o: &Observed, attempt: &Intent, now: Timestamp) -> bool {
    let since = attempt.since.as_ref().map_or(Timestamp::MIN, |t| t.0);
    // A look from before shows nothing of what landed after it.
    let known_until = o.facts.looked_at.map_or(now, |looked| looked.min(now));
    terms::plus(since, o.settling_time) <= known_until && !is_recorded_in_secret(o, &attempt.record)
}

/// The Secret holds this attempt's token, or may: by the attempt or by the id, of which a tenant can have written one wrongly.
pub fn is_in_secret(o: &Observed, attempt: &str, token_id: Option<&str>) -> bool {
    let Secret::Ours(secret) = &o.secret else { return false };
    // Somebody removed the record: it may be any.
    let Some(record) = &secret.record else { return true };
    record.held.as_ref().is_some_and(|held| held.attempt == attempt) || token_id.is_some_and(|id| holds(o, id))
}

/// The Secret says that it holds the token of this id.
pub fn holds(o: &Observed, token_id: &str) -> bool {
    let Secret::Ours(secret) = &o.secret else { return false };
    let held = secret.record.as_ref().and_then(|record| record.held.as_ref());
    held.is_some_and(|held| held.token_id == token_id)
}

fn is_recorded_in_secret(o: &Observed, record: &Record) -> bool {
    is_in_secret(o, &record.attempt, record.token_id.as_deref())
}

/// The config's account can see the subject at the record's host, so its answers count.
pub fn can_prove(o: &Observed, record: &Record) -> bool {
    let here = o.config.as_ref().is_some_and(|config| config.host == record.host);
    here && Subject::parse(&record.subject).is_some_and(|subject| can_see(o, &subject))
}

/// The config's account is shown the subject's tokens, as far as its kind tells.
pub fn can_see(o: &Observed, subject: &Subject) -> bool {
    subject::account(o).is_some_and(|account| match subject {
        Subject::User(id) => account.kind == AccountKind::User && account.id == *id,
        _ => true,
    })
}

/// The token in the Secret is dead by its expiry.
pub fn current_has_expired(o: &Observed) -> bool {
    let current = status(o).and_then(|s| s.current.as_ref());
    current.is_some_and(|c| has_expired(o, c.expires_at.as_ref().map(|t| t.0)))
}

fn has_expired(o: &Observed, expires: Option<Timestamp>) -> bool {
    let Some(expires) = expires else { return false };
    match o.now {
        Some(now) => expires <= now,
        None => o.api_now.is_some_and(|now| terms::plus(expires, CLOCKS_APART) <= now),
    }
}
