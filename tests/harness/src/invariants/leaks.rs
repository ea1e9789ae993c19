//! 2: nothing leaks.

use super::history::{Attempt, History, Maker, Person, Record, Role, Token};
use super::standing::Standing;
use super::{Invariant, Violation};

/// At the end every live token that the operator made stands in a Secret, or is recorded with the time of its revocation. Before
/// that, an attempt under way may know of it.
pub fn check(history: &History) -> Vec<Violation> {
    let end = history.replay(|_, _| {});
    let mut found = Vec::new();
    for (id, token) in &history.tokens {
        let dead = token.dead.is_some() || end.killed.contains_key(id.as_str());
        if token.maker != Maker::Operator || dead || is_known(history, &end, id, token) {
            continue;
        }
        let role = end.role_of_token(id).map_or("no known role".to_owned(), |role| format!("role {}", role.name));
        let records = match history.settled {
            true => "no Secret holds it and no predecessor's record names it",
            false => "no Secret holds it and no record names it",
        };
        let words = format!("minted for {role}, and still alive at the end: {records}");
        let at = history.ended;
        found.push(Violation { invariant: Invariant::Leak, token: Some(id.clone()), at, words });
    }
    found
}

fn is_known(history: &History, end: &Standing<'_>, id: &str, token: &Token) -> bool {
    if !end.holders(id).is_empty() {
        return true;
    }
    let attempt = end.made.get(id).copied().flatten();
    let is_due = |record: &Record| record.token.as_deref() == Some(id) && record.revoke_at.is_some();
    let is_it = |record: &Record| record.token.as_deref() == Some(id) || Some(record.attempt.as_str()) == attempt;
    let open = |attempt: &Attempt| is_it(&attempt.record);
    let names = |role: &Role| {
        let status = &role.status;
        let under_way = status.intent.iter().chain(&status.unsettled).any(open) || status.current.iter().any(is_it);
        status.predecessors.iter().any(is_due) || under_way && !history.settled
    };
    if end.roles.values().any(|role| names(role)) {
        return true;
    }
    // Only a list can show the twin of a request that was delivered twice.
    if end.doubled.contains(id) && !history.settled {
        return true;
    }
    let Some(role) = end.role_of_token(id) else { return false };
    let did = |act: fn(String) -> Person| history.excused(&act(role.name.clone()));
    did(Person::StrippedFinalizer)
        || did(Person::Abandoned) && end.unproven.contains(id)
        || token.used && did(Person::WipedStatus)
}
