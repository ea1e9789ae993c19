//! 1: nothing in use is revoked.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::history::{Dead, Event, History, Mint, Person, Secret, What};
use super::standing::{Killer, Standing};
use super::{Invariant, Violation};

/// No Secret holds a token that the operator has revoked. A slot's own mint kills the token in its Secret, and the Secret's write
/// has to follow.
pub fn check(history: &History) -> Vec<Violation> {
    let mut rule = Rule { history, found: Vec::new(), overdue: BTreeMap::new() };
    let end = history.replay(|standing, event| match &event.what {
        What::Delete(delete) => {
            for token in &delete.killed {
                for secret in rule.holders(standing, token) {
                    rule.say(token, event, format!("revoked while it stood in Secret {secret}"));
                }
            }
        }
        What::Mint(mint) => rule.minted(standing, event, mint),
        What::Secret(secret) => rule.written(standing, event, secret),
        _ => {}
    });
    if history.settled {
        for (token, at) in std::mem::take(&mut rule.overdue) {
            for secret in rule.holders(&end, token) {
                let words = format!("a mint in its slot revoked it, and Secret {secret} still holds it at the end");
                rule.found.push(Violation { invariant: Invariant::InUse, token: Some(token.into()), at, words });
            }
        }
        rule.found.extend(outlived(history, &end));
    }
    rule.found
}

/// Roles that say that all is well while the token in their Secret has run out.
fn outlived<'a>(history: &'a History, end: &'a Standing<'_>) -> impl Iterator<Item = Violation> + 'a {
    let issued = end.roles.values().filter(|role| role.says.iter().any(|reason| reason == "Issued"));
    issued.filter_map(|role| {
        let token = end.secrets.get(role.secret.as_str())?.holds.as_deref()?;
        let Some(Dead::Expired(at)) = history.tokens.get(token)?.dead else { return None };
        let words = format!("it ran out, and role {} still has it in Secret {}", role.name, role.secret);
        Some(Violation { invariant: Invariant::InUse, token: Some(token.into()), at, words })
    })
}

struct Rule<'a> {
    history: &'a History,
    found: Vec<Violation>,
    /// Tokens in Secrets that their own role's mint has killed, and when.
    overdue: BTreeMap<&'a str, Timestamp>,
}

impl<'a> Rule<'a> {
    fn say(&mut self, token: &str, event: &Event, words: String) {
        self.found.push(Violation { invariant: Invariant::InUse, token: Some(token.into()), at: event.at, words });
    }

    fn excused(&self, secret: &str) -> bool {
        self.history.excused(&Person::WroteSecret(secret.to_owned()))
    }

    fn holders(&self, standing: &Standing<'a>, token: &str) -> Vec<&'a str> {
        standing.holders(token).into_iter().filter(|secret| !self.excused(secret)).collect()
    }

    fn minted(&mut self, standing: &Standing<'a>, event: &'a Event, mint: &'a Mint) {
        let minter = standing.attempt_of(mint).and_then(|attempt| standing.intents.get(attempt)).map(|(role, _)| *role);
        for token in &mint.killed {
            for secret in self.holders(standing, token) {
                match minter {
                    Some(role) if role.secret == secret => {
                        self.overdue.insert(token, event.at);
                    }
                    Some(role) => {
                        let words =
                            format!("a mint of role {} revoked it while it stood in Secret {secret}", role.name);
                        self.say(token, event, words);
                    }
                    None => {
                        let words = format!("a mint of no known role revoked it while it stood in Secret {secret}");
                        self.say(token, event, words);
                    }
                }
            }
        }
    }

    fn written(&mut self, standing: &Standing<'a>, event: &Event, secret: &Secret) {
        let Some(token) = secret.holds.as_deref() else { return };
        let Some(killer) = standing.killed.get(token) else { return };
        let former = standing.secrets.get(secret.name.as_str()).and_then(|former| former.holds.as_deref());
        // Where it stood before, the revocation itself was the wrong, or the slot's own mint.
        if former == Some(token) || self.excused(&secret.name) {
            return;
        }
        let how = if *killer == Killer::Delete { "revoked" } else { "revoked by a mint in its slot" };
        self.say(token, event, format!("written into Secret {} when it was {how} already", secret.name));
    }
}
