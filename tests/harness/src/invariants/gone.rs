//! 5: a role that is gone leaves nothing alive.

use super::history::{History, Person, What};
use super::{Invariant, Violation};

/// When a role goes, all its tokens are dead; but for the one in the Secret under `Retain`, and those that a person gave up.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    history.replay(|standing, event| {
        let What::RoleGone(uid) = &event.what else { return };
        let Some(role) = standing.roles.get(uid.as_str()) else { return };
        let did = |act: fn(String) -> Person| history.excused(&act(role.name.clone()));
        if did(Person::StrippedFinalizer) {
            return;
        }
        let given_up = |token: &str| did(Person::Abandoned) && standing.unproven.contains(token);
        let its = |token: &&&str| standing.role_of_token(token).is_some_and(|owner| owner.uid == *uid);
        for token in standing.made.keys().filter(its) {
            let dead = standing.killed.contains_key(token) || history.died_by_then(token, event.at);
            let retained = role.retain && !standing.holders(token).is_empty();
            // Only the sweep can tell the twin of a request that was delivered twice.
            if !dead && !retained && !given_up(token) && !standing.doubled.contains(token) {
                let words = format!("role {} went, and left it alive", role.name);
                let invariant = Invariant::Gone;
                found.push(Violation { invariant, token: Some((*token).to_owned()), at: event.at, words });
            }
        }
    });
    found
}
