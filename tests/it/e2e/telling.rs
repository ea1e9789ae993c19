//! What people are told: events, metrics and the log, and never a token.

use serde_json::json;
use tfc_harness::wait_until;

use crate::stage::{SOON, Setting, Stage, keys, token_id};

#[tokio::test]
async fn events_and_metrics_tell_of_each_token_and_nothing_ever_holds_one() {
    let stage = Stage::set(Setting { log: Some("trace"), ..Setting::default() }, json!({})).await;
    let secret = json!({"template": {"TFE_TOKEN": "${token}"}});
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s", "secret": secret})).await;
    let first = token_id(&stage.issued("shop").await);
    let first_value = stage.token("shop").await;
    stage.annotate("shop", "rotate", "1").await;
    stage.succeeded("shop", &first).await;
    stage.token("shop").await;
    stage.dies(&first_value).await;
    stage.role("wrong", json!({"team": {"id": "team-none"}})).await;
    stage.role_becomes("wrong", "False", "NotPermitted").await;
    stage.patch_secret("shop", json!({"data": {"role": null}})).await;
    stage.secret_until("shop", "its key to be back", |s| keys(s).contains(&"role")).await;

    let expected = ["Issued", "Rotated", "Revoked"];
    wait_until("the events", SOON, async || {
        let told = stage.events("shop").await;
        if expected.iter().all(|reason| told.iter().any(|t| t == reason)) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    stage.told("wrong", "NotPermitted").await;

    let operator = stage.operator.as_ref().expect("an operator");
    let lines = [
        r#"tfc_token_operator_tokens_issued_total{kind="User"} 2"#,
        r#"tfc_token_operator_tokens_rotated_total{kind="User"} 1"#,
        r#"tfc_token_operator_tokens_revoked_total{kind="User"} 1"#,
        r#"tfc_token_operator_roles{ready="True",reason="Issued"} 1"#,
        r#"tfc_token_operator_roles{ready="False",reason="NotPermitted"} 1"#,
        r#"tfc_token_operator_failures_total{reason="NotPermitted"} 1"#,
    ];
    let metrics = wait_until("the metrics", SOON, async || {
        let text = operator.metrics().await.map_err(|error| error.to_string())?;
        if lines.iter().all(|line| text.lines().any(|l| l == *line)) { Ok(text) } else { Err(text) }
    })
    .await;
    assert!(metrics.contains(&format!(r#"role_expiry_timestamp_seconds{{namespace="{}",name="shop"}}"#, stage.tenant)));
    assert!(metrics.contains("tfc_token_operator_leader 1"), "{metrics}");

    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    stage.log_holds_no_token();
    stage.holds_no_token("the metrics", &metrics);
    let events: kube::Api<k8s_openapi::api::core::v1::Event> =
        kube::Api::namespaced(stage.client.clone(), &stage.tenant);
    let events = events.list(&Default::default()).await.expect("events");
    stage.holds_no_token("an event", &serde_json::to_string(&events).expect("JSON"));
    let roles = stage.roles().list(&Default::default()).await.expect("roles");
    stage.holds_no_token("a role", &serde_json::to_string(&roles).expect("JSON"));
}
