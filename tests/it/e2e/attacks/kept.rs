//! A token is due: its admission is lost, its config asks for all to be revoked, its role goes. The tenant would like to keep it.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::Patch;
use serde_json::{Value, json};
use tfc_harness::invariants::Person;
use tfc_harness::simulator::{Fault, RateLimit, When};

use super::{anybody, tenanted};
use crate::stage::{Stage, condition, token_id};

/// A role `shop`, issued: its token's id and value.
async fn issued(stage: &Stage, spec: Value) -> (String, String) {
    let mut whole = json!({"user": {"me": true}, "ttl": "1h"});
    whole.as_object_mut().expect("an object").extend(spec.as_object().cloned().unwrap_or_default());
    stage.role("shop", whole).await;
    let id = token_id(&stage.issued("shop").await);
    (id, stage.token("shop").await)
}

async fn incident(stage: &Stage) {
    stage.patch_config("tfc", json!({"metadata": {"annotations": {"terraformcloud.dev/revoke": "1"}}})).await;
}

async fn lose_admission(stage: &Stage) {
    stage.patch_config("tfc", json!({"spec": {"allow": []}})).await;
}

fn no_grace() -> Value {
    let mut config = anybody();
    config["revocationGracePeriod"] = json!("0s");
    config
}

#[tokio::test]
async fn an_immutable_secret_keeps_no_token_past_its_admission() {
    let stage = tenanted(&["--settling-time=2s"], no_grace()).await;
    let (_, value) = issued(&stage, json!({})).await;
    stage.patch_secret("shop", json!({"immutable": true})).await;
    lose_admission(&stage).await;
    stage.dies(&value).await;
    stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
    assert_eq!(stage.value("shop", "token").await, None);
}

#[tokio::test]
async fn an_immutable_secret_keeps_no_token_past_its_last_lease() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    let (_, value) = issued(&stage, json!({"ttl": "10s", "maxTTL": "1h", "renewal": "Never"})).await;
    stage.patch_secret("shop", json!({"immutable": true})).await;
    stage.dies(&value).await;
    stage.role_becomes("shop", "False", "Expired").await;
}

#[tokio::test]
async fn an_immutable_secret_keeps_no_token_past_its_configs_incident() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    let (first, value) = issued(&stage, json!({})).await;
    stage.patch_secret("shop", json!({"immutable": true})).await;
    incident(&stage).await;
    stage.dies(&value).await;
    stage.succeeded("shop", &first).await;
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
}

#[tokio::test]
async fn a_secret_that_may_not_go_keeps_no_role_and_no_token() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    let (_, value) = issued(&stage, json!({})).await;
    stage.patch_secret("shop", json!({"metadata": {"finalizers": ["example.com/keep"]}})).await;
    stage.declare(Person::WroteSecret, "shop");
    let calls = stage.tfc.call_count();
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    stage.dies(&value).await;
    let made = stage.tfc.log_since(calls).len();
    assert!(made < 20, "{made} calls");
    stage.patch_secret("shop", json!({"metadata": {"finalizers": null}})).await;
}

/// The Secret as it stands, to be put back later.
async fn copy(stage: &Stage) -> Value {
    stage.declare(Person::WroteSecret, "shop");
    let secret = stage.secrets().get("shop").await.expect("the Secret");
    json!({"metadata": {"annotations": secret.annotations()}, "data": secret.data})
}

#[tokio::test]
async fn a_former_secret_put_back_keeps_no_token_past_its_configs_incident() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    let (first, value) = issued(&stage, json!({})).await;
    let former = copy(&stage).await;
    let away = stage.tfc.fault(When::delete("/authentication-tokens/*"), Fault::status(503));
    incident(&stage).await;
    stage.succeeded("shop", &first).await;
    stage.patch_secret("shop", former).await;
    away.remove();
    stage.dies(&value).await;
}

#[tokio::test]
async fn a_former_secret_put_back_keeps_no_token_past_its_admission() {
    let stage = tenanted(&["--settling-time=2s"], no_grace()).await;
    let (_, value) = issued(&stage, json!({})).await;
    let former = copy(&stage).await;
    let away = stage.tfc.fault(When::delete("/authentication-tokens/*"), Fault::status(503));
    lose_admission(&stage).await;
    stage.secret_until("shop", "no token", |secret| secret.data.as_ref().is_none_or(|d| d.is_empty())).await;
    stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
    stage.patch_secret("shop", former).await;
    away.remove();
    stage.dies(&value).await;
}

#[tokio::test]
async fn a_former_secret_put_back_all_the_time_keeps_no_token() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    stage.tfc.set_rate_limit(RateLimit::SlidingWindow(30));
    let (_, value) = issued(&stage, json!({})).await;
    let former = copy(&stage).await;
    let secrets = stage.secrets();
    let busy = tokio::spawn(async move {
        let params = Default::default();
        loop {
            let _ = secrets.patch("shop", &params, &Patch::Merge(&former)).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    incident(&stage).await;
    stage.dies(&value).await;
    // How often a successor is made in that time only the account's budget bounds. The current one, eight that it replaced, one
    // under way and one that lost may live.
    let alive = stage.alive().len();
    assert!(alive <= 11, "{alive} tokens live");
    busy.abort();
    let _ = busy.await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!(stage.alive(), Vec::new());
}

#[tokio::test]
async fn retain_keeps_no_token_past_its_admission() {
    let mut config = anybody();
    config["allow"][0]["deletionPolicies"] = json!(["Revoke", "Retain"]);
    config["revocationGracePeriod"] = json!("1h");
    let stage = tenanted(&["--settling-time=2s"], config).await;
    let (_, value) = issued(&stage, json!({"deletionPolicy": "Retain"})).await;
    lose_admission(&stage).await;
    stage.role_until("shop", "the loss to be said", |role| condition(role, "Stalled").is_some()).await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    stage.dies(&value).await;
}

#[tokio::test]
async fn a_retained_secret_gives_a_new_role_of_its_name_nothing() {
    let mut config = anybody();
    config["allow"][0]["deletionPolicies"] = json!(["Revoke", "Retain"]);
    let stage = tenanted(&["--settling-time=2s"], config).await;
    let (_, value) = issued(&stage, json!({"deletionPolicy": "Retain"})).await;
    let former = copy(&stage).await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    let again = stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.role_becomes("shop", "False", "SecretConflict").await;

    // With its former marks, and with the new role as its owner.
    let mut marked = former;
    marked["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole", "name": "shop",
        "uid": again.metadata.uid, "controller": true,
    }]);
    stage.patch_secret("shop", marked).await;
    // No record is left of the retained token, nor a Secret that holds it.
    stage.declare(Person::WipedStatus, "shop");
    stage.patch_role("shop", json!({"spec": {"description": "look"}})).await;
    stage.issued("shop").await;
    assert_ne!(stage.token("shop").await, value);
    assert_eq!(stage.use_token(&value).await, 200, "retained");
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!(stage.alive().len(), 1);
}
