//! What became of every token that TFC ever made for the operator: computed from the simulator's own list, the Secrets and
//! the roles' statuses.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams};
use serde_json::Value;

use super::scenes::Tfc;
use super::stage::{Stage, token_in};
use crate::Error;
use crate::simulator::{Fate, Revocation, TokenView};

/// Tokens by what became of them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    in_secrets: usize,
    recorded: usize,
    revoked: usize,
    replaced: usize,
    expired: usize,
    otherwise: usize,
    leaked: Vec<String>,
}

impl Tally {
    /// Tokens ever made.
    pub fn made(&self) -> usize {
        self.alive() + self.revoked + self.replaced + self.expired + self.otherwise
    }

    /// Tokens that work now.
    pub fn alive(&self) -> usize {
        self.in_secrets + self.recorded + self.leaked.len()
    }

    /// Ids of tokens that work and that nothing in the cluster knows.
    pub fn leaked(&self) -> &[String] {
        &self.leaked
    }

    /// As a table.
    pub fn print(&self) {
        println!("    {:5}  ever made by the operator", self.made());
        println!("    {:5}  revoked by it", self.revoked);
        println!("    {:5}  replaced in their slot by a successor", self.replaced);
        println!("    {:5}  expired at TFC", self.expired);
        if self.otherwise > 0 {
            println!("    {:5}  revoked by somebody else", self.otherwise);
        }
        println!("    {:5}  alive in a Secret", self.in_secrets);
        println!("    {:5}  alive and recorded with their time of revocation", self.recorded);
        println!("    {:5}  leaked: alive and unknown to the cluster {}", self.leaked.len(), self.leaked.join(" "));
    }

    fn of(tokens: &[TokenView], account: &str, in_secrets: &BTreeSet<String>, recorded: &BTreeSet<String>) -> Self {
        let mut tally = Self::default();
        for token in tokens.iter().filter(|token| token.made_by == account) {
            match &token.fate {
                Fate::Alive if in_secrets.contains(&token.id) => tally.in_secrets += 1,
                Fate::Alive if recorded.contains(&token.id) => tally.recorded += 1,
                Fate::Alive => tally.leaked.push(token.id.clone()),
                Fate::Revoked { how: Revocation::Delete, by, .. } if by == account => tally.revoked += 1,
                Fate::Revoked { how: Revocation::SlotReplaced, by, .. } if by == account => tally.replaced += 1,
                Fate::Revoked { .. } => tally.otherwise += 1,
                Fate::Expired { .. } => tally.expired += 1,
            }
        }
        tally
    }
}

/// Counts. The simulator is asked first: what it made later may not have reached a Secret yet.
///
/// # Errors
/// When the API server does not list Secrets or roles.
pub(super) async fn tally(stage: &Stage, tfc: &Tfc) -> Result<Tally, Error> {
    let tokens = tfc.simulator.minted();
    let managed = ListParams::default().labels("app.kubernetes.io/managed-by=tfc-token-operator");
    let secrets = Api::<Secret>::all(stage.client.clone()).list(&managed).await;
    let secrets = secrets.map_err(Error::while_trying("could not list the Secrets"))?;
    let roles = stage.all_roles().list(&ListParams::default()).await;
    let roles = roles.map_err(Error::while_trying("could not list the roles"))?;
    let in_secrets = secrets.iter().filter_map(token_in).map(|token| token.id).collect();
    let recorded = roles.iter().flat_map(|role| recorded_in(&role.data["status"])).collect();
    Ok(Tally::of(&tokens, tfc.ids.ci, &in_secrets, &recorded))
}

/// Ids of the predecessors that a role's status names.
fn recorded_in(status: &Value) -> Vec<String> {
    let predecessors = status["predecessors"].as_array().into_iter().flatten();
    predecessors.filter_map(|record| record["tokenID"].as_str()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::simulator::TokenKind;

    fn token(id: &str, made_by: &str, fate: Fate) -> TokenView {
        TokenView {
            id: id.to_owned(),
            kind: TokenKind::User,
            subject: "user-ci".to_owned(),
            description: None,
            created_at: Timestamp::UNIX_EPOCH,
            expired_at: None,
            made_by: made_by.to_owned(),
            first_used_at: None,
            last_used_at: None,
            fate,
        }
    }

    #[test]
    fn a_live_token_that_nothing_knows_is_leaked_and_a_persons_is_none_of_ours() {
        let at = Timestamp::UNIX_EPOCH;
        let revoked = |by: &str, how| Fate::Revoked { at, by: by.to_owned(), how };
        let tokens = [
            token("at-secret", "ci", Fate::Alive),
            token("at-former", "ci", Fate::Alive),
            token("at-lost", "ci", Fate::Alive),
            token("at-person", "person", Fate::Alive),
            token("at-revoked", "ci", revoked("ci", Revocation::Delete)),
            token("at-replaced", "ci", revoked("ci", Revocation::SlotReplaced)),
            token("at-deleted", "ci", revoked("person", Revocation::Person)),
            token("at-expired", "ci", Fate::Expired { at }),
        ];
        let ids = |id: &str| BTreeSet::from([id.to_owned()]);
        let tally = Tally::of(&tokens, "ci", &ids("at-secret"), &ids("at-former"));
        assert_eq!(tally.leaked(), ["at-lost"]);
        assert_eq!((tally.made(), tally.alive()), (7, 3));
        assert_eq!([tally.revoked, tally.replaced, tally.expired, tally.otherwise], [1, 1, 1, 1]);
    }

    #[test]
    fn predecessors_are_read_from_the_status() {
        let status = serde_json::json!({"predecessors": [{"tokenID": "at-1"}, {"attempt": "x"}]});
        assert_eq!(recorded_in(&status), ["at-1"]);
        assert!(recorded_in(&Value::Null).is_empty());
    }
}
