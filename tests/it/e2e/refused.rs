//! An API server that refuses the Secret: nothing leaks, and it is said.

use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::json;
use tfc_harness::wait_until;

use crate::stage::{SOON, Stage, condition, predecessors, ready, token_id};

#[tokio::test]
async fn a_quota_keeps_the_role_waiting_and_no_token_alive() {
    let stage = Stage::with_tenant(json!({"allow": [{"namespaces": {"from": "All"}, "users": ["me"]}]})).await;
    let quotas: Api<ResourceQuota> = Api::namespaced(stage.client.clone(), &stage.tenant);
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/secrets": "0"}}});
    let quota = serde_json::from_value(quota).expect("a quota");
    quotas.create(&PostParams::default(), &quota).await.expect("a quota");
    wait_until("the quota to be in force", SOON, async || {
        let quota = quotas.get("none").await.ok()?;
        quota.status?.hard
    })
    .await;

    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let role = stage.role_becomes("shop", "False", "SecretRefused").await;
    let message = ready(&role).expect("a condition").message;
    assert!(message.contains("Secret shop") && message.contains("quota"), "{message}");
    let minted = stage.alive_become(0).await.len() + stage.tfc.minted().len();
    stage.told("shop", "SecretRefused").await;

    // The next try is a dry run. What is changed now has the role look again at once.
    stage.patch_role("shop", json!({"spec": {"description": "again"}})).await;
    let generation = stage.roles().get("shop").await.expect("the role").metadata.generation;
    stage
        .role_until("shop", "a look", |role| role.status.as_ref().is_some_and(|s| s.observed_generation == generation))
        .await;
    assert_eq!(stage.tfc.minted().len(), minted, "no token is minted for a Secret that is refused");

    quotas.delete("none", &DeleteParams::default()).await.expect("the quota can be deleted");
    stage.issued("shop").await;
    stage.alive_become(1).await;
}

#[tokio::test]
async fn an_immutable_secret_keeps_its_token_and_the_successor_dies() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": "2s"})).await;
    let first = token_id(&stage.issued("shop").await);
    let value = stage.token("shop").await;
    stage.patch_secret("shop", json!({"immutable": true})).await;
    stage.annotate("shop", "rotate", "1").await;
    let role = stage.role_until("shop", "the refusal to be said", |role| condition(role, "Stalled").is_some()).await;
    let stalled = condition(&role, "Stalled").expect("a person must act");
    assert_eq!(
        (stalled.reason.as_str(), ready(&role).expect("a condition").status.as_str()),
        ("SecretRefused", "True")
    );
    assert!(stalled.message.contains("immutable"), "{}", stalled.message);
    stage.alive_become(1).await;
    assert_eq!((token_id(&role), stage.use_token(&value).await), (first.clone(), 200));

    // The one way out of an immutable Secret.
    stage.secrets().delete("shop", &DeleteParams::default()).await.expect("the Secret can be deleted");
    stage.succeeded("shop", &first).await;
    stage.dies(&value).await;
    let role = stage.role_until("shop", "one token to be left", |role| predecessors(role) == 0).await;
    assert_eq!(condition(&role, "Stalled"), None);
    stage.alive_become(1).await;
}

#[tokio::test]
async fn two_roles_on_one_secret_do_not_fight() {
    let stage = Stage::new().await;
    let spec = json!({"user": {"me": true}, "ttl": "1h", "secret": {"name": "shared"}});
    stage.role("first", spec.clone()).await;
    stage.issued("first").await;
    let value = stage.token("shared").await;
    stage.role("second", spec).await;
    stage.role_becomes("second", "False", "SecretConflict").await;
    stage.delete_role("second").await;
    stage.role_goes("second").await;
    assert_eq!((stage.token("shared").await, stage.use_token(&value).await), (value.clone(), 200));
    assert_eq!(stage.tfc.minted().len(), 1);
}
