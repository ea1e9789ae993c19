//! Workloads that read a token only when they start are restarted with each new one, if their owner asks for it.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tfc_harness::wait_until;

use crate::stage::{SOON, Stage, condition, token_id};

fn deployments(stage: &Stage) -> Api<Deployment> {
    Api::namespaced(stage.client.clone(), &stage.tenant)
}

/// A Deployment of so many pods, which no node ever runs.
pub async fn deployment(stage: &Stage, name: &str, annotations: Value, replicas: i32) {
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "none"}]},
            },
        },
    }))
    .expect("an object");
    deployments(stage).create(&PostParams::default(), &deployment).await.expect("a Deployment");
}

fn stamp(deployment: &Deployment) -> Option<String> {
    let template = &deployment.spec.template;
    template.metadata.as_ref()?.annotations.as_ref()?.get("terraformcloud.dev/token-id").cloned()
}

/// Waits until its pods were started with that token.
pub async fn stamped(stage: &Stage, name: &str, id: &str) {
    wait_until(&format!("{name} to be restarted with {id}"), SOON, async || {
        let seen = stamp(&deployments(stage).get(name).await.map_err(|error| error.to_string())?);
        if seen.as_deref() == Some(id) { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
}

/// Waits until all workloads of a role were restarted with that token.
pub async fn restarted(stage: &Stage, role: &str, id: &str) {
    stage
        .role_until(role, "its restart to be over", |role| {
            role.status.as_ref().is_some_and(|s| s.restarted.as_deref() == Some(id) && s.restarting.is_none())
        })
        .await;
}

#[tokio::test]
async fn a_workload_that_asks_is_restarted_with_each_token_and_no_other_is() {
    let stage = Stage::with(&["--rollout-restart"]).await;
    deployment(&stage, "asks", json!({"terraformcloud.dev/restart-for": "shop"}), 0).await;
    deployment(&stage, "asks-another", json!({"terraformcloud.dev/restart-for": "blog"}), 0).await;
    deployment(&stage, "asks-nothing", json!({}), 0).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let first = token_id(&stage.issued("shop").await);
    stamped(&stage, "asks", &first).await;
    restarted(&stage, "shop", &first).await;

    stage.annotate("shop", "rotate", "1").await;
    let second = token_id(&stage.succeeded("shop", &first).await);
    stamped(&stage, "asks", &second).await;
    restarted(&stage, "shop", &second).await;
    stage.told("shop", "Restarted").await;
    for other in ["asks-another", "asks-nothing"] {
        assert_eq!(stamp(&deployments(&stage).get(other).await.expect("it stays")), None, "{other}");
    }
    assert_eq!(deployments(&stage).get("asks").await.expect("it stays").metadata.generation, Some(3), "once a token");
}

#[tokio::test]
async fn a_former_token_lives_until_the_rollout_is_over_and_the_overlap_counts_from_there() {
    let stage = Stage::with(&["--rollout-restart"]).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": "0s"})).await;
    let first = stage.issued("shop").await;
    let former = stage.token("shop").await;
    restarted(&stage, "shop", &token_id(&first)).await;
    // Its one pod is never run, so its rollout does not end.
    deployment(&stage, "asks", json!({"terraformcloud.dev/restart-for": "shop"}), 1).await;
    stage.annotate("shop", "rotate", "1").await;
    let second = token_id(&stage.succeeded("shop", &token_id(&first)).await);
    stamped(&stage, "asks", &second).await;
    let waits = |role: &_| condition(role, "Reconciling").is_some_and(|c| c.reason == "Restarting");
    let role = stage.role_until("shop", "to wait for the rollout", waits).await;
    assert!(condition(&role, "Reconciling").is_some_and(|c| c.message.contains("Deployment asks")));
    assert_eq!(condition(&role, "Ready").map(|c| c.status), Some("True".into()));
    assert_eq!(stage.use_token(&former).await, 200, "pods still have it");

    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    deployments(&stage).patch("asks", &PatchParams::default(), &none).await.expect("it can be scaled");
    restarted(&stage, "shop", &second).await;
    stage.dies(&former).await;
    stage.alive_become(1).await;
}

#[tokio::test]
async fn an_incident_does_not_wait_for_a_rollout() {
    let stage = Stage::with(&["--rollout-restart"]).await;
    deployment(&stage, "asks", json!({"terraformcloud.dev/restart-for": "shop"}), 1).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let first = token_id(&stage.issued("shop").await);
    let former = stage.token("shop").await;
    stage.annotate("shop", "revoke", "1").await;
    let second = token_id(&stage.succeeded("shop", &first).await);
    stage.dies(&former).await;
    stamped(&stage, "asks", &second).await;
}

#[tokio::test]
async fn nothing_is_restarted_without_the_flag() {
    let stage = Stage::new().await;
    deployment(&stage, "asks", json!({"terraformcloud.dev/restart-for": "shop"}), 0).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let role = stage.issued("shop").await;
    assert_eq!(role.status.and_then(|status| status.restarted), None);
    assert_eq!(stamp(&deployments(&stage).get("asks").await.expect("it stays")), None);
}
