//! What happens to roles and Secrets while the operator can't see it.

use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::order::is_in_order;
use crate::stage::{SOON, Stage, token_id};

const NAMES: [&str; 5] = ["asked", "edited", "going", "resting", "robbed"];

/// Roles that have their tokens, and what these are called.
pub struct Unseen {
    tokens: Vec<(&'static str, String)>,
}

fn spec() -> Value {
    json!({"user": {"me": true}, "ttl": "1h", "overlap": "2s"})
}

impl Unseen {
    /// Issues the roles.
    pub async fn prepared(stage: &Stage) -> Self {
        for name in NAMES {
            stage.role(name, spec()).await;
        }
        let mut tokens = Vec::new();
        for name in NAMES {
            tokens.push((name, token_id(&stage.issued(name).await)));
        }
        Self { tokens }
    }

    /// People ask, edit, delete and create.
    pub async fn happens(&self, stage: &Stage) {
        stage.annotate("asked", "rotate", "1").await;
        stage.patch_secret("edited", json!({"stringData": {"token": "not.atlasv1.ours"}})).await;
        stage.delete_role("going").await;
        stage.secrets().delete("robbed", &DeleteParams::default()).await.expect("the Secret can be deleted");
        stage.role("new", spec()).await;
    }

    /// Waits until all of it was answered, and is in order.
    pub async fn is_made_good(&self, stage: &Stage) {
        stage.role_goes("going").await;
        stage.issued("new").await;
        for (name, former) in &self.tokens {
            match *name {
                "going" => {}
                "resting" => assert_eq!(token_id(&stage.issued(name).await), *former, "nobody asked for another"),
                name => drop(stage.succeeded(name, former).await),
            }
        }
        is_in_order(stage).await;
        assert!(stage.tfc.until(SOON, |tfc| tfc.minted().len() == NAMES.len() + 4).await, "one each that it took");
    }
}
