//! `kubectl tfc` against a real API server: what it shows, asks for and finds.

use std::process::Output;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tfc_harness::simulator::Outage;

use crate::bed::bed;
use crate::stage::{Stage, token_id};

/// Runs it in the stage's namespace: its exit code and what it printed.
async fn tfc(stage: &Stage, args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = tokio::process::Command::new(env!("CARGO_BIN_EXE_kubectl-tfc"))
        .env_clear()
        .arg("--kubeconfig")
        .arg(bed().kubeconfig())
        .args(["-n", &stage.tenant])
        .args(args)
        .output()
        .await
        .expect("it starts");
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    stage.holds_no_token(&format!("kubectl tfc {args:?}"), &said);
    (status.code(), said)
}

async fn well(stage: &Stage, args: &[&str]) -> String {
    let (code, said) = tfc(stage, args).await;
    assert_eq!(code, Some(0), "{args:?}: {said}");
    said
}

async fn json(stage: &Stage, args: &[&str]) -> Value {
    serde_json::from_str(&well(stage, args).await).expect("JSON")
}

async fn issued() -> Stage {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("shop").await;
    stage.token("shop").await;
    stage
}

#[tokio::test]
async fn status_says_what_a_role_does_why_and_what_comes_next() {
    let stage = issued().await;
    let id = token_id(&stage.roles().get("shop").await.expect("the role"));
    let said = well(&stage, &["status", "shop"]).await;
    for words in ["Ready=True, Issued", &id, "the Secret holds a live token", "a successor is minted", "(in "] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let all = well(&stage, &["status"]).await;
    assert!(all.starts_with("NAMESPACE") && all.contains("shop") && all.contains("Issued"), "{all}");
    let told = json(&stage, &["status", "-o", "json"]).await;
    assert_eq!((&told[0]["name"], &told[0]["tokenID"]), (&json!("shop"), &json!(id)));

    stage.tfc.down(Outage::Unavailable).expect("it goes down");
    stage.annotate("shop", "rotate", "1").await;
    stage.role_until("shop", "to be unreachable", |role| crate::stage::condition(role, "Reconciling").is_some()).await;
    let said = well(&stage, &["status", "shop"]).await;
    assert!(said.contains("it goes on by itself") && said.contains("soon: the wish rotate is answered"), "{said}");
    stage.tfc.up().expect("it comes up");
    well(&stage, &["wait", "shop"]).await;

    let (code, said) = tfc(&stage, &["status", "nobody"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("TerraformCloudRole nobody does not exist in namespace"), "{said}");
}

#[tokio::test]
async fn rotate_renew_and_revoke_ask_and_wait_for_the_answer() {
    let stage = issued().await;
    let first = token_id(&stage.roles().get("shop").await.expect("the role"));
    let said = well(&stage, &["rotate", "shop", "--wait"]).await;
    assert!(said.contains("rotate is asked of") && said.contains("is ready"), "{said}");
    let second = token_id(&stage.roles().get("shop").await.expect("the role"));
    assert_ne!(first, second, "it has been answered when it returns");
    stage.alive_become(2).await;

    well(&stage, &["renew", "shop", "--wait"]).await;
    assert_eq!(token_id(&stage.roles().get("shop").await.expect("the role")), second);

    well(&stage, &["revoke", "shop", "--wait"]).await;
    stage.alive_become(1).await;
    let third = token_id(&stage.roles().get("shop").await.expect("the role"));
    well(&stage, &["revoke", "--config", "tfc"]).await;
    stage.succeeded("shop", &third).await;
    stage.alive_become(1).await;
}

#[tokio::test]
async fn wait_ends_with_what_the_role_is_doing_where_it_does_not_get_ready() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"id": "user-another"}, "ttl": "1h"})).await;
    stage.role_becomes("shop", "False", "NotPermitted").await;
    let (code, said) = tfc(&stage, &["wait", "shop", "--timeout=1s"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("is not ready: NotPermitted") && said.contains("somebody has to act"), "{said}");
}

#[tokio::test]
async fn the_tree_leads_from_the_config_to_the_pods_that_read_the_secret() {
    let stage = issued().await;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "runner"},
        "spec": {
            "containers": [{"name": "c", "image": "none", "volumeMounts": [{"name": "t", "mountPath": "/t"}]}],
            "volumes": [{"name": "t", "secret": {"secretName": "shop"}}],
        },
    }))
    .expect("an object");
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), &stage.tenant);
    pods.create(&PostParams::default(), &pod).await.expect("a pod");
    let said = well(&stage, &["tree", "tfc"]).await;
    let place = &stage.namespace;
    let drawn = format!(
        "TerraformCloudConfig {place}/tfc (Authenticated)\n└─ TerraformCloudRole {place}/shop (Issued)\n   └─ Secret shop\n      └─ Pod runner (mounted)\n"
    );
    assert_eq!(said, drawn);
    let tree = json(&stage, &["tree", "tfc", "-o", "json"]).await;
    assert_eq!(tree[0]["roles"][0]["pods"], json!([["runner", "mounted"]]));
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong_and_says_the_mend() {
    let stage = issued().await;
    // No election, so no Lease: that is a warning, and the rest is well.
    let said = well(&stage, &["doctor", "--operator-namespace", &stage.namespace]).await;
    for words in [
        "ok    API server",
        "ok    clock",
        "ok    CRDs",
        "ok    your rights",
        "warn  operator: no Lease",
        "ok    config",
        "ok    roles: 1 of 1",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    stage.secret("tfc-admin", "token", "abcdefghijklmn.atlasv1.not-the-account-any-more").await;
    stage.config_becomes("tfc", "Unauthorized").await;
    let (code, said) = tfc(&stage, &["doctor", "--operator-namespace", &stage.namespace]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("FAIL  config") && said.contains("Unauthorized"), "{said}");
    let (_, found) = tfc(&stage, &["doctor", "-o", "json"]).await;
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert!(found.as_array().is_some_and(|all| all.iter().any(|finding| finding["level"] == "fail")), "{found}");
    stage.secret("tfc-admin", "token", stage.ids.ci_token.expose()).await;
    stage.config_becomes("tfc", "Authenticated").await;
}

#[tokio::test]
async fn completion_needs_no_cluster() {
    for shell in ["bash", "zsh", "fish"] {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_kubectl-tfc"))
            .env_clear()
            .args(["completion", shell])
            .output()
            .await
            .expect("it starts");
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("doctor"), "{shell}");
    }
}
