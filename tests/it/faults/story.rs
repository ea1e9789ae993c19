//! What can happen to a role, each from a quiet beginning to a quiet end: between, all steps that there are.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tfc_harness::simulator::{Fault, When};

use crate::e2e::restart::{deployment, restarted, stamped};
use crate::stage::{Setting, Stage, condition, current, token_id};

use super::order::{is_in_order, is_in_order_but};

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// A user's role gets its first token.
    First,
    /// A team's, found by its name.
    FirstOfATeam,
    /// An organization's, in its slot.
    FirstOfASlot,
    /// Somebody asks for another token.
    Rotation,
    /// In a slot, where that kills the former one.
    RotationOfASlot,
    /// The same, with a workload that is restarted.
    Restart,
    /// An incident: the former one has to go at once.
    Incident,
    /// The role is deleted, with a former token that still lives.
    Deletion,
    /// The role of a slot is deleted.
    DeletionOfASlot,
    /// The role is deleted and its token is to stay.
    Retained,
    /// A lease ends that is not renewed.
    Ending,
    /// The Secret was deleted.
    LostSecret,
    /// The Secret is to look otherwise.
    Redrawn,
    /// TFC minted, and its reply was lost.
    LostReply,
    /// The same in a slot.
    LostReplyOfASlot,
    /// The Secret can't be written, until somebody deletes it.
    Refused,
}

impl Story {
    /// All there are.
    pub const ALL: [Story; 16] = [
        Story::First,
        Story::FirstOfATeam,
        Story::FirstOfASlot,
        Story::Rotation,
        Story::RotationOfASlot,
        Story::Restart,
        Story::Incident,
        Story::Deletion,
        Story::DeletionOfASlot,
        Story::Retained,
        Story::Ending,
        Story::LostSecret,
        Story::Redrawn,
        Story::LostReply,
        Story::LostReplyOfASlot,
        Story::Refused,
    ];

    /// A stage on which all was done that comes before; no operator runs. With `elect`, those that will run elect a leader.
    pub async fn prepared(self, elect: bool) -> Stage {
        let allow = json!({"allow": [{
            "namespaces": {"from": "All"}, "users": ["me"], "teams": ["*"], "organizations": ["*"],
            "deletionPolicies": ["Revoke", "Retain"],
        }]});
        let log = Some("info,tfc_token_operator=debug,tfc_token_operator::failpoint=trace");
        let flags: &[&str] = match self {
            Story::Restart => &["--settling-time=2s", "--rollout-restart"],
            _ => &["--settling-time=2s"],
        };
        let mut stage = Stage::set(Setting { flags, log, elect, ..Setting::default() }, allow).await;
        if self == Story::Restart {
            deployment(&stage, "asks", json!({"terraformcloud.dev/restart-for": "shop"}), 0).await;
        }
        if !self.begins_with_the_role() {
            stage.role("shop", self.spec()).await;
            let role = stage.issued("shop").await;
            match self {
                Story::Deletion => {
                    stage.annotate("shop", "rotate", "before").await;
                    stage.succeeded("shop", &token_id(&role)).await;
                }
                Story::Refused => stage.patch_secret("shop", json!({"immutable": true})).await,
                Story::Restart => restarted(&stage, "shop", &token_id(&role)).await,
                _ => {}
            }
        }
        stage.kill();
        stage
    }

    /// What sets it off.
    pub async fn begins(self, stage: &Stage) {
        match self {
            Story::Rotation | Story::RotationOfASlot | Story::Restart | Story::Refused => {
                stage.annotate("shop", "rotate", "1").await;
            }
            Story::Incident => stage.annotate("shop", "revoke", "1").await,
            Story::Deletion | Story::DeletionOfASlot | Story::Retained => stage.delete_role("shop").await,
            Story::LostSecret => drop_secret(stage).await,
            Story::Redrawn => {
                stage.patch_role("shop", json!({"spec": {"secret": {"template": {"MORE": "${token}"}}}})).await;
            }
            Story::LostReply | Story::LostReplyOfASlot => {
                stage.tfc.fault(When::mint().once(), Fault::ReplyLost);
                stage.role("shop", self.spec()).await;
            }
            // It begins by itself.
            Story::Ending => {}
            Story::First | Story::FirstOfATeam | Story::FirstOfASlot => {
                stage.role("shop", self.spec()).await;
            }
        }
    }

    /// What somebody has to do in its course.
    pub async fn goes_on(self, stage: &Stage) {
        let immutable = |secret: Secret| secret.immutable == Some(true);
        if self == Story::Refused && stage.secrets().get("shop").await.is_ok_and(immutable) {
            let said = |role: &_| condition(role, "Stalled").is_some_and(|c| c.reason == "SecretRefused");
            stage.role_until("shop", "the refusal to be said", said).await;
            drop_secret(stage).await;
        }
    }

    /// Waits for its end, and that all is in order then.
    pub async fn ends(self, stage: &Stage) {
        match self {
            Story::Deletion | Story::DeletionOfASlot => stage.role_goes("shop").await,
            Story::Retained => {
                stage.role_goes("shop").await;
                let value = stage.token("shop").await;
                let kept = stage.tfc.token_id_of_value(&value).expect("TFC made it");
                return is_in_order_but(stage, &BTreeSet::from([kept])).await;
            }
            Story::Ending => drop(stage.role_becomes("shop", "False", "Expired").await),
            Story::Redrawn => {
                let redrawn = |secret: &_| crate::stage::keys(secret).contains(&"MORE");
                stage.secret_until("shop", "the new key", redrawn).await;
            }
            Story::Rotation | Story::RotationOfASlot | Story::Restart | Story::Refused | Story::Incident => {
                let answered = |role: &tfc_token_operator::api::TerraformCloudRole| {
                    let handled = role.status.as_ref().and_then(|s| s.handled.clone()).unwrap_or_default();
                    let answer = if self == Story::Incident { handled.revoke } else { handled.rotate };
                    current(role).is_some() && answer.as_deref() == Some("1")
                };
                let role = stage.role_until("shop", "the wish to be answered", answered).await;
                if self == Story::Restart {
                    restarted(stage, "shop", &token_id(&role)).await;
                    stamped(stage, "asks", &token_id(&role)).await;
                }
            }
            _ => drop(stage.issued("shop").await),
        }
        is_in_order(stage).await;
    }

    fn begins_with_the_role(self) -> bool {
        use Story::{First, FirstOfASlot, FirstOfATeam, LostReply, LostReplyOfASlot};
        matches!(self, First | FirstOfATeam | FirstOfASlot | LostReply | LostReplyOfASlot)
    }

    fn spec(self) -> Value {
        match self {
            Story::FirstOfATeam => json!({"team": {"organization": "acme", "name": "apps"}, "ttl": "1h"}),
            Story::FirstOfASlot | Story::RotationOfASlot | Story::DeletionOfASlot | Story::LostReplyOfASlot => {
                json!({"organization": {"name": "acme"}})
            }
            Story::Deletion => json!({"user": {"me": true}, "ttl": "1h"}),
            Story::Retained => json!({"user": {"me": true}, "ttl": "1h", "deletionPolicy": "Retain"}),
            Story::Ending => json!({"user": {"me": true}, "ttl": "10s", "maxTTL": "1h", "renewal": "Never"}),
            _ => json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s"}),
        }
    }
}

async fn drop_secret(stage: &Stage) {
    stage.secrets().delete("shop", &DeleteParams::default()).await.expect("the Secret can be deleted");
}
