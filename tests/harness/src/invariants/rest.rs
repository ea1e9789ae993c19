//! 7: quiet when there is nothing to do.

use super::history::{History, What};
use super::{Invariant, Violation};

/// Where the test says that there is nothing to do, TFC is not asked and nothing is written but the leader's Lease.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut resting = false;
    for event in &history.events {
        let did = match &event.what {
            What::RestBegan => {
                resting = true;
                None
            }
            What::RestEnded => {
                resting = false;
                None
            }
            What::Lapse(_) => None,
            What::Mint(mint) => Some(format!("TFC was asked to mint for {}", mint.subject)),
            What::Delete(_) => Some("TFC was asked to delete a token".into()),
            What::Denied(token) => Some(format!("TFC was asked for token {token}")),
            What::Asked(call) => Some(format!("TFC was asked: {call}")),
            What::Role(role) => Some(format!("role {} was written", role.name)),
            What::RoleGone(_) => Some("a role went".into()),
            What::Secret(secret) => Some(format!("Secret {} was written", secret.name)),
            What::SecretGone(name) => Some(format!("Secret {name} went")),
            What::Other("Lease", name) if name.ends_with("/tfc-token-operator") => None,
            What::Other(kind, name) => Some(format!("{kind} {name} was written")),
        };
        if let (true, Some(did)) = (resting, did) {
            let words = format!("there was nothing to do, and {did}");
            found.push(Violation { invariant: Invariant::Rest, token: None, at: event.at, words });
        }
    }
    found
}
