//! What tenants write gives them no power over others, and TFC's own time decides.

use jiff::SignedDuration;
use kube::ResourceExt;
use serde_json::{Value, json};
use tfc_harness::simulator::{Fault, Gate, When};

use crate::stage::{SOON, Stage, condition, predecessors, token_id};

#[tokio::test]
async fn a_token_id_written_into_a_secrets_record_is_not_revoked() {
    let stage = Stage::with(&["--settling-time=2s"]).await;
    stage.role("victim", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s"})).await;
    let victim = token_id(&stage.issued("victim").await);
    let first = token_id(&stage.issued("shop").await);
    let first_value = stage.token("shop").await;

    let secret = stage.secrets().get("shop").await.expect("the Secret");
    let mut record: Value = serde_json::from_str(&secret.annotations()["terraformcloud.dev/record"]).expect("JSON");
    record["held"]["tokenID"] = json!(victim);
    record["held"]["attempt"] = json!("aaaaaaaaaaaaaaaaaaaaaaaaaa");
    let forged = record.to_string();
    stage.patch_secret("shop", json!({"metadata": {"annotations": {"terraformcloud.dev/record": forged}}})).await;
    stage.succeeded("shop", &first).await;
    stage.dies(&first_value).await;
    stage.role_until("shop", "one token to be left", |role| predecessors(role) == 0).await;

    stage.patch_secret("shop", json!({"metadata": {"annotations": {"terraformcloud.dev/record": forged}}})).await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    let alive: Vec<String> = stage.alive().into_iter().map(|token| token.id).collect();
    assert_eq!(alive, [victim]);
}

#[tokio::test]
async fn tfcs_clock_decides_wherever_it_stands() {
    for hours in [3, -3] {
        let mut stage = Stage::bare(&[]).await;
        stage.tfc.advance(SignedDuration::from_hours(hours));
        stage.start().await;
        stage.config("tfc", json!({})).await;
        stage.role("shop", json!({"user": {"me": true}, "ttl": "18s"})).await;
        let first = token_id(&stage.issued("shop").await);
        let token = stage.tfc.token(&first).expect("TFC knows it");
        let life = token.expired_at.expect("an expiry").duration_since(token.created_at).as_secs();
        assert!((16..=19).contains(&life), "{life}");
        // The first one may live for a part of the role's cycle only.
        let second = token_id(&stage.succeeded("shop", &first).await);
        let third = token_id(&stage.succeeded("shop", &second).await);
        let made = |id: &str| stage.tfc.token(id).expect("TFC knows it").created_at;
        let age = made(&third).duration_since(made(&second)).as_secs();
        assert!((6..=17).contains(&age), "the successor came after {age} s");
        stage.delete_role("shop").await;
        stage.role_goes("shop").await;
        assert_eq!(stage.alive(), Vec::new());
    }
}

#[tokio::test]
async fn a_role_that_is_deleted_while_its_token_is_minted_leaves_none() {
    let stage = Stage::with(&["--settling-time=2s"]).await;
    // A reply that comes when the role is already going, and one that never comes.
    let gate = Gate::new();
    for fault in [Fault::DelayAfter((&gate).into()), Fault::ReplyLost] {
        let minted = stage.tfc.minted().len();
        let handle = stage.tfc.fault(When::mint().once(), fault);
        stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
        assert!(stage.tfc.until(SOON, |tfc| tfc.minted().len() > minted).await);
        stage.delete_role("shop").await;
        gate.open();
        stage.role_goes("shop").await;
        assert_eq!(stage.alive(), Vec::new());
        assert_eq!(stage.value("shop", "token").await, None);
        handle.remove();
    }
    stage.log_holds_no_token();
}

#[tokio::test]
async fn a_team_that_is_gone_keeps_no_role_from_going() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"team": {"organization": "acme", "name": "apps"}, "ttl": "1h"})).await;
    stage.issued("shop").await;
    assert!(stage.tfc.person_deletes_team("team-apps"));
    stage.annotate("shop", "rotate", "1").await;
    stage
        .role_until("shop", "the refusal to be said", |role| {
            condition(role, "Stalled").is_some_and(|c| c.reason == "NotPermitted")
        })
        .await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!(stage.alive(), Vec::new());
}

#[tokio::test]
async fn a_changed_spec_that_does_not_concern_the_token_mints_none() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "maxTTL": "2h"})).await;
    let first = token_id(&stage.issued("shop").await);
    let changes = [
        json!({"description": "other words"}),
        json!({"renewBefore": "10m", "overlap": "5m"}),
        json!({"ttl": "30m"}),
        json!({"maxTTL": "4h"}),
        json!({"deletionPolicy": "Retain"}),
    ];
    for change in changes {
        stage.patch_role("shop", json!({"spec": change})).await;
        let generation = stage.roles().get("shop").await.expect("the role").metadata.generation;
        let seen = |role: &tfc_token_operator::api::TerraformCloudRole| {
            role.status.as_ref().is_some_and(|status| status.observed_generation == generation)
        };
        let role = stage.role_until("shop", "the change to be seen", seen).await;
        assert_eq!(token_id(&role), first, "{change}");
    }
    assert_eq!(stage.tfc.minted().len(), 1);
}
