//! One order out of two logs: TFC's calls and the API server's writes.
//!
//! Each call carries the API server's revision at a moment after the server acted and before it replied. So a write with a higher
//! revision came after the call; one with a lower may have come before, and is taken to have: each rule speaks up only for what can't be
//! otherwise.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::history::{Dead, Delete, Event, Maker, Mint, Token, What};
use crate::simulator::{Call, Fate, TokenView};

/// A write to the API server.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub revision: u64,
    pub at: Timestamp,
    pub what: What,
}

/// A moment that a test names: after so many calls, and after this revision.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub calls: u64,
    pub revision: u64,
    pub at: Timestamp,
    pub what: What,
}

/// All events in order: calls to each simulator, marks of the first one.
pub(super) fn merge(
    calls: &[Vec<Call>],
    marks: &[Mark],
    writes: &[Write],
    tokens: &BTreeMap<String, Token>,
) -> Vec<Event> {
    let mut asked: Vec<(u64, Event)> = Vec::new();
    for (index, calls) in calls.iter().enumerate() {
        asked.extend(bound(calls, if index == 0 { marks } else { &[] }));
    }
    asked.sort_by_key(|(bound, _)| *bound);

    let mut writes: Vec<&Write> = writes.iter().collect();
    writes.sort_by_key(|write| write.revision);
    let mut writes = writes.into_iter().peekable();
    let mut events = Vec::with_capacity(asked.len() + writes.len());
    let written = |write: &Write| Event { at: write.at, what: write.what.clone() };
    for (bound, event) in asked {
        while let Some(write) = writes.next_if(|write| write.revision <= bound) {
            events.push(written(write));
        }
        events.push(event);
    }
    events.extend(writes.map(written));
    for Event { at, what } in &mut events {
        if let What::Mint(Mint { killed, .. }) | What::Delete(Delete { killed, .. }) = what {
            killed.retain(|token| !ran_out_by_then(tokens, token, *at));
        }
    }
    events
}

/// What has run out can't be revoked any more.
fn ran_out_by_then(tokens: &BTreeMap<String, Token>, token: &str, then: Timestamp) -> bool {
    matches!(tokens.get(token), Some(Token { dead: Some(Dead::Expired(at)), .. }) if *at <= then)
}

/// Calls and marks in order, each with the revision before which it was: a later one's stamp bounds the earlier ones too.
fn bound(calls: &[Call], marks: &[Mark]) -> Vec<(u64, Event)> {
    let mut asked = Vec::new();
    let mut bound = u64::MAX;
    let mut marks = marks.iter().rev().peekable();
    for call in calls.iter().rev() {
        while let Some(mark) = marks.next_if(|mark| mark.calls > call.serial) {
            bound = bound.min(mark.revision);
            asked.push((bound, Event { at: mark.at, what: mark.what.clone() }));
        }
        bound = bound.min(call.stamp.unwrap_or(u64::MAX));
        if is_operators(call) {
            asked.push((bound, Event { at: call.at, what: what(call) }));
        }
    }
    for mark in marks {
        bound = bound.min(mark.revision);
        asked.push((bound, Event { at: mark.at, what: mark.what.clone() }));
    }
    asked.reverse();
    asked
}

/// The tokens, with what the operator did to them left to the events.
pub(super) fn tokens<'a>(
    calls: impl Iterator<Item = &'a Call>,
    views: impl Iterator<Item = TokenView>,
) -> BTreeMap<String, Token> {
    let operators: Vec<&Call> = calls.filter(|call| is_operators(call)).collect();
    let made: BTreeSet<&String> = operators.iter().flat_map(|call| &call.made).collect();
    let killed: BTreeSet<&String> = operators.iter().flat_map(|call| &call.killed).collect();
    let token = |view: TokenView| {
        let dead = match view.fate {
            Fate::Expired { at } => Some(Dead::Expired(at)),
            Fate::Revoked { at, .. } if view.expired_at.is_some_and(|end| end <= at) => {
                view.expired_at.map(Dead::Expired)
            }
            Fate::Revoked { at, .. } if !killed.contains(&view.id) => Some(Dead::ByOthers(at)),
            Fate::Revoked { .. } | Fate::Alive => None,
        };
        let maker = if made.contains(&view.id) { Maker::Operator } else { Maker::Other };
        (view.id, Token { maker, used: view.first_used_at.is_some(), dead })
    };
    views.map(token).collect()
}

fn is_operators(call: &Call) -> bool {
    call.agent.as_deref().is_some_and(|agent| agent.starts_with("tfc-token-operator/"))
}

fn what(call: &Call) -> What {
    let bare = call.path.split('?').next().unwrap_or_default();
    match (call.method.as_str(), subject(bare)) {
        ("POST", Some(subject)) => {
            let sent = call.sent.clone().unwrap_or_default();
            What::Mint(Mint {
                subject,
                attempt: sent.description.as_deref().and_then(attempt),
                expiry: sent.expired_at,
                made: call.made.clone(),
                killed: call.killed.clone(),
                doubled: call.fault.as_deref() == Some("duplicate-delivery"),
            })
        }
        _ if call.status == Some(404) && call.killed.is_empty() && token(bare).is_some() => {
            What::Denied(token(bare).unwrap_or_default().to_owned())
        }
        ("DELETE", _) => What::Delete(Delete { killed: call.killed.clone(), unplaced: call.stamp.is_none() }),
        _ => What::Asked(format!("{} {bare}", call.method)),
    }
}

/// Whom a token made at this path acts for, in the words of a record.
fn subject(path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [owners @ ("users" | "teams"), id, "authentication-tokens"] => Some(format!("{owners}/{id}")),
        ["teams", id, "authentication-token"] => Some(format!("teams/{id}/legacy")),
        ["organizations", name, "authentication-token"] => Some(format!("organizations/{name}")),
        _ => None,
    }
}

/// The id of the token that this path is of.
fn token(path: &str) -> Option<&str> {
    let mut segments = path.rsplit('/');
    let id = segments.next()?;
    (segments.next() == Some("authentication-tokens")).then_some(id)
}

/// The attempt in the marker, the description's first word: `tto1.INSTALLATION.ROLE.ATTEMPT`.
fn attempt(description: &str) -> Option<String> {
    let marker = description.split(' ').next()?;
    match marker.split('.').collect::<Vec<_>>().as_slice() {
        ["tto1", _, _, attempt] => Some((*attempt).to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(serial: u64, stamp: Option<u64>, method: &str, path: &str) -> Call {
        Call {
            serial,
            at: Timestamp::UNIX_EPOCH,
            caller: None,
            token_id: None,
            method: method.into(),
            route: "none",
            path: path.into(),
            status: None,
            acted: true,
            reset: None,
            fault: None,
            agent: Some("tfc-token-operator/0".into()),
            sent: None,
            made: Vec::new(),
            killed: Vec::new(),
            stamp,
        }
    }

    fn write(revision: u64) -> Write {
        let what = What::Other("Lease", revision.to_string());
        Write { revision, at: Timestamp::UNIX_EPOCH, what }
    }

    fn mark(calls: u64, revision: u64) -> Mark {
        Mark { calls, revision, at: Timestamp::UNIX_EPOCH, what: What::RestBegan }
    }

    fn words(events: &[Event]) -> Vec<String> {
        let word = |event: &Event| match &event.what {
            What::Other(_, revision) => revision.clone(),
            What::Asked(call) => call.clone(),
            What::RestBegan => "rest".into(),
            other => format!("{other:?}"),
        };
        events.iter().map(word).collect()
    }

    #[test]
    fn a_call_stands_after_all_that_was_written_when_it_was_stamped() {
        let calls = [call(0, Some(3), "GET", "/a"), call(1, Some(4), "GET", "/b")];
        let writes = [write(5), write(2), write(3), write(4)];
        assert_eq!(
            words(&merge(&[calls.to_vec()], &[], &writes, &BTreeMap::new())),
            ["2", "3", "GET /a", "4", "GET /b", "5"]
        );
    }

    #[test]
    fn a_call_without_a_stamp_or_with_a_late_one_is_bound_by_the_next() {
        let calls = [call(0, None, "GET", "/a"), call(1, Some(9), "GET", "/b"), call(2, Some(2), "GET", "/c")];
        let writes = [write(2), write(3)];
        assert_eq!(
            words(&merge(&[calls.to_vec()], &[], &writes, &BTreeMap::new())),
            ["2", "GET /a", "GET /b", "GET /c", "3"]
        );
    }

    #[test]
    fn a_mark_stands_between_the_calls_and_writes_of_its_moment() {
        let calls = [call(0, Some(1), "GET", "/a"), call(1, Some(5), "GET", "/b")];
        let writes = [write(1), write(3), write(4)];
        let events = merge(&[calls.to_vec()], &[mark(1, 3), mark(2, 5)], &writes, &BTreeMap::new());
        assert_eq!(words(&events), ["1", "GET /a", "3", "rest", "4", "GET /b", "rest"]);
    }

    #[test]
    fn calls_to_two_servers_stand_where_the_writes_between_them_put_them() {
        let calls = [vec![call(0, Some(4), "GET", "/a")], vec![call(0, Some(2), "GET", "/b")]];
        assert_eq!(words(&merge(&calls, &[], &[write(3)], &BTreeMap::new())), ["GET /b", "3", "GET /a"]);
    }

    #[test]
    fn a_token_that_had_run_out_was_not_killed() {
        for (end, killed) in [(1, 0), (3, 1)] {
            let mut delete = call(0, Some(1), "DELETE", "/authentication-tokens/at-1");
            (delete.at, delete.killed) = (Timestamp::from_second(2).expect("a time"), vec!["at-1".into()]);
            let dead = Some(Dead::Expired(Timestamp::from_second(end).expect("a time")));
            let tokens = [("at-1".to_owned(), Token { maker: Maker::Operator, used: false, dead })].into();
            let events = merge(&[vec![delete]], &[], &[], &tokens);
            let What::Delete(delete) = &events[0].what else { unreachable!("a delete") };
            assert_eq!(delete.killed.len(), killed, "ran out at {end}");
        }
    }

    #[test]
    fn that_a_token_is_denied_is_told_whatever_was_asked_of_it() {
        for method in ["GET", "DELETE"] {
            let mut denied = call(0, None, method, "/api/v2/authentication-tokens/at-1");
            assert!(!matches!(what(&denied), What::Denied(_)), "nobody answered");
            denied.status = Some(404);
            assert!(matches!(what(&denied), What::Denied(id) if id == "at-1"));
        }
    }

    #[test]
    fn calls_of_others_are_none_of_the_operators() {
        let mut other = call(0, None, "POST", "/users/u/authentication-tokens");
        other.agent = None;
        assert!(merge(&[vec![other]], &[], &[], &BTreeMap::new()).is_empty());
    }

    #[test]
    fn a_mint_names_its_subject_its_attempt_and_what_was_asked_for() {
        let mut mint = call(0, None, "POST", "/teams/team-a/authentication-tokens");
        mint.sent = Some(crate::simulator::Sent { description: Some("tto1.i.r.abc shop".into()), expired_at: None });
        let What::Mint(mint) = what(&mint) else { unreachable!("a mint") };
        assert_eq!((mint.subject.as_str(), mint.attempt.as_deref()), ("teams/team-a", Some("abc")));
        assert_eq!(attempt("made by hand"), None);
        let slots = ["/organizations/acme/authentication-token", "/teams/team-a/authentication-token"];
        assert_eq!(slots.map(subject), [Some("organizations/acme".into()), Some("teams/team-a/legacy".into())]);
    }
}
