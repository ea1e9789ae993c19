//! 3: nothing foreign is touched.

use super::history::{History, Mint, Person, What};
use super::standing::Standing;
use super::{Invariant, Violation};

/// The operator deletes nothing but what it has minted, and mints over somebody's token only where the role was told to.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    history.replay(|standing, event| {
        let mut say = |token: &str, words: String| {
            let invariant = Invariant::Foreign;
            found.push(Violation { invariant, token: Some(token.to_owned()), at: event.at, words });
        };
        match &event.what {
            What::Delete(delete) => {
                for token in delete.killed.iter().filter(|token| !is_ours(standing, token)) {
                    say(token, "revoked, though no role of this operator has minted it".into());
                }
            }
            What::Mint(mint) => {
                for token in mint.killed.iter().filter(|token| !is_ours(standing, token)) {
                    if let Err(words) = may_replace(history, standing, mint) {
                        say(token, words);
                    }
                }
            }
            _ => {}
        }
    });
    found
}

fn is_ours(standing: &Standing<'_>, token: &str) -> bool {
    standing.role_of_token(token).is_some()
}

fn may_replace<'a>(history: &History, standing: &Standing<'a>, mint: &'a Mint) -> Result<(), String> {
    let intent = standing.attempt_of(mint).and_then(|attempt| standing.intents.get(attempt));
    let Some((role, intent)) = intent else {
        return Err("a mint of no known role revoked it".into());
    };
    let first = !standing.served.contains(role.uid.as_str());
    let told = standing.told.get(role.uid.as_str());
    // A wish from before that could not know of it.
    let wished = told.is_some_and(|said| said.handled.as_ref() != Some(&intent.answers));
    if first && role.replace || wished && !first || history.excused(&Person::RacedForSlot(role.name.clone())) {
        return Ok(());
    }
    Err(format!("a mint of role {} revoked it, and nobody had told the role to", role.name))
}
