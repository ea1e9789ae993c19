//! The protocol's order: the finalizer, the intent, the mint, the Secret, the record; and the record before a revocation.

use std::collections::BTreeSet;

use super::history::{Event, History, Mint, Person, Role, What};
use super::standing::Standing;
use super::{Invariant, Violation};

/// Each step stands on the one before.
pub fn check(history: &History) -> Vec<Violation> {
    let mut rule = Rule { history, found: Vec::new(), minted: BTreeSet::new(), denied: BTreeSet::new() };
    history.replay(|standing, event| match &event.what {
        What::Mint(mint) => rule.minted(standing, event, mint),
        What::Delete(delete) => {
            for token in &delete.killed {
                rule.revoked(standing, event, token);
            }
        }
        What::Denied(token) => rule.denied(standing, token),
        What::Role(role) => rule.recorded(standing, event, role),
        _ => {}
    });
    rule.found
}

struct Rule<'a> {
    history: &'a History,
    found: Vec<Violation>,
    /// Attempts that have made a token.
    minted: BTreeSet<&'a str>,
    /// Tokens that TFC said were gone, when they were recorded as former ones.
    denied: BTreeSet<&'a str>,
}

impl<'a> Rule<'a> {
    fn say(&mut self, token: Option<&str>, event: &Event, words: String) {
        let invariant = Invariant::Order;
        self.found.push(Violation { invariant, token: token.map(str::to_owned), at: event.at, words });
    }

    fn did(&self, role: &Role, act: fn(String) -> Person) -> bool {
        self.history.excused(&act(role.name.clone()))
    }

    fn minted(&mut self, standing: &Standing<'a>, event: &Event, mint: &'a Mint) {
        let token = mint.made.first().map(String::as_str);
        let attempt = standing.attempt_of(mint);
        let Some((role, intent)) = attempt.and_then(|attempt| standing.intents.get(attempt)) else {
            if standing.lapsed {
                return;
            }
            let attempt = attempt.unwrap_or("none that is known");
            let words = format!("a mint for {} was sent before its intent stood: attempt {attempt}", mint.subject);
            return self.say(token, event, words);
        };
        if intent.requested_expiry != mint.expiry {
            let words = format!("a mint of role {} asked for another expiry than was written down", role.name);
            self.say(token, event, words);
        }
        if !role.finalizer && !self.did(role, Person::StrippedFinalizer) {
            self.say(token, event, format!("role {} minted without its finalizer", role.name));
        }
        if mint.made.is_empty() {
            return;
        }
        let new = attempt.is_none_or(|attempt| self.minted.insert(attempt));
        if !new && !mint.doubled {
            self.say(token, event, format!("role {} minted twice for one attempt", role.name));
        }
    }

    fn revoked(&mut self, standing: &Standing<'a>, event: &Event, token: &str) {
        let Some(owner) = standing.role_of_token(token) else { return };
        // Who deletes by force takes the record along; the minter revokes what it has just made.
        let Some(role) = standing.roles.get(owner.uid.as_str()) else { return };
        let attempt = standing.made.get(token).copied().flatten().unwrap_or_default();
        let status = &role.status;
        // A record that a wrong 404 had dropped is the sweep's to make good.
        let former = is_former(role, token) || self.denied.contains(token);
        let open = status.intent.iter().chain(&status.unsettled).any(|open| open.record.attempt == attempt);
        if former || open || self.did(role, Person::WipedStatus) {
            return;
        }
        if status.current.as_ref().and_then(|current| current.token.as_deref()) == Some(token) {
            self.say(Some(token), event, format!("revoked while role {} had it as its current token", role.name));
        } else if standing.current.contains(token) {
            self.say(
                Some(token),
                event,
                format!("revoked, though role {} had not recorded it as a former one", role.name),
            );
        }
    }

    fn denied(&mut self, standing: &Standing<'a>, token: &'a str) {
        let role = standing.role_of_token(token).and_then(|owner| standing.roles.get(owner.uid.as_str()));
        if role.is_some_and(|role| is_former(role, token)) {
            self.denied.insert(token);
        }
    }

    fn recorded(&mut self, standing: &Standing<'a>, event: &Event, role: &'a Role) {
        let Some(current) = &role.status.current else { return };
        let former = standing.roles.get(role.uid.as_str());
        let before = former.and_then(|former| former.status.current.as_ref());
        if before.is_some_and(|before| before.attempt == current.attempt) {
            return;
        }
        let token = current.token.as_deref();
        let committed = token.is_some_and(|token| standing.held.contains(token));
        let forged = self.history.excused(&Person::WroteSecret(role.secret.clone()));
        if !committed && !forged && !standing.lapsed {
            self.say(token, event, format!("role {} recorded it before it stood in a Secret", role.name));
        }
        let begun = former.and_then(|former| former.status.intent.as_ref());
        if let Some(begun) = begun.filter(|begun| begun.record.attempt == current.attempt)
            && role.status.handled.clone().unwrap_or_default() != begun.answers
        {
            self.say(token, event, format!("role {} recorded other wishes as answered than it began with", role.name));
        }
    }
}

fn is_former(role: &Role, token: &str) -> bool {
    role.status.predecessors.iter().any(|record| record.token.as_deref() == Some(token))
}
