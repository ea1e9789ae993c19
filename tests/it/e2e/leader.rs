//! Two replicas: one works, the other one stands by and takes over.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use serde_json::json;
use tfc_harness::simulator::{Fault, Gate, Wait, When};
use tfc_harness::{Operator, process::Signal, wait_until};

use crate::stage::{SOON, Setting, Stage};

/// A leader, a standby and a config.
pub async fn two() -> (Stage, Operator) {
    let mut stage =
        Stage::bare_with(Setting { elect: true, flags: &["--settling-time=2s"], ..Setting::default() }).await;
    stage.start().await;
    leads(stage.operator.as_ref().expect("it runs")).await;
    let second = stage.replica().await;
    stage.config("tfc", json!({})).await;
    (stage, second)
}

/// Has a role's token minted; TFC's reply waits for the gate.
async fn mint_in_flight(stage: &Stage) -> Gate {
    let gate = Gate::new();
    let held =
        stage.tfc.fault(When::post("/users/*/authentication-tokens").once(), Fault::DelayAfter(Wait::from(&gate)));
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    held.reached(1).await;
    gate
}

async fn leader_metric(operator: &Operator) -> Result<String, String> {
    let metrics = operator.metrics().await.map_err(|error| error.to_string())?;
    let line = metrics.lines().find(|line| line.starts_with("tfc_token_operator_leader "));
    line.map(str::to_owned).ok_or_else(|| "no such metric".into())
}

/// Waits until this operator leads.
pub async fn leads(operator: &Operator) {
    wait_until("it to lead", SOON, async || match leader_metric(operator).await? {
        line if line.ends_with(" 1") => Ok(()),
        line => Err(line),
    })
    .await;
}

async fn holder(stage: &Stage) -> String {
    let leases: Api<Lease> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let lease = leases.get("tfc-token-operator").await.expect("the Lease");
    lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default()
}

#[tokio::test]
async fn a_leader_that_stops_hands_over_at_once() {
    let (mut stage, second) = two().await;
    assert!(leader_metric(&second).await.expect("metrics").ends_with(" 0"), "one at a time");
    stage.role("first", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("first").await;
    let before = holder(&stage).await;

    assert!(stage.stop().await.success());
    leads(&second).await;
    let after = holder(&stage).await;
    assert!(!after.is_empty() && after != before, "{before} -> {after}");
    stage.role("second", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("second").await;
    assert_eq!(stage.tfc.minted().len(), 2);
}

#[tokio::test]
async fn a_leader_that_stops_waits_for_the_reply_in_flight_and_hands_over_right_after_it() {
    // Whoever waited for the next try, or for the Lease's end, would come too late.
    let patient = [
        "--leader-elect-lease-duration=900s",
        "--leader-elect-renew-deadline=800s",
        "--leader-elect-retry-period=700s",
    ];
    let mut stage = Stage::bare_with(Setting { elect: true, election: Some(&patient), ..Setting::default() }).await;
    stage.start().await;
    leads(stage.operator.as_ref().expect("it runs")).await;
    let second = stage.replica().await;
    stage.config("tfc", json!({})).await;
    let gate = mint_in_flight(&stage).await;
    let first = stage.operator.as_mut().expect("it runs");
    first.signal(Signal::TERM).expect("it can be told");
    wait_until("it to know", SOON, async || {
        first.logs().is_ok_and(|log| log.contains("asked to end")).then_some(()).ok_or("it does not")
    })
    .await;
    gate.open();
    leads(&second).await;
    says(&second, "ok: leading").await;
    let first = stage.operator.as_mut().expect("it ran");
    wait_until("it to end", SOON, async || first.exit_status().map(|status| assert!(status.success()))).await;
    stage.issued("shop").await;
    assert_eq!(stage.tfc.minted().len(), 1, "what was in flight reached its Secret");
}

async fn says(operator: &Operator, words: &str) {
    wait_until(&format!("/readyz to say {words}"), SOON, async || {
        let said = operator.readyz().await.map_err(|error| error.to_string())?;
        if said == words { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test]
async fn a_standby_is_ready_and_says_that_it_stands_by() {
    let (stage, second) = two().await;
    says(stage.operator.as_ref().expect("it runs"), "ok: leading").await;
    says(&second, "ok: standing by").await;
}

#[tokio::test]
async fn a_leader_that_is_killed_is_followed_when_its_lease_runs_out() {
    let (mut stage, second) = two().await;
    let gate = mint_in_flight(&stage).await;
    stage.kill();
    gate.open();
    leads(&second).await;
    stage.issued("shop").await;
    stage.alive_become(1).await;
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
}

#[tokio::test]
async fn a_leader_that_slept_past_its_lease_ends_and_leaks_nothing() {
    let (mut stage, second) = two().await;
    let gate = mint_in_flight(&stage).await;
    let first = stage.operator.as_mut().expect("it runs");
    first.signal(Signal::STOP).expect("it can be stopped");
    gate.open();
    leads(&second).await;
    stage.issued("shop").await;

    let first = stage.operator.as_mut().expect("it runs");
    first.signal(Signal::CONT).expect("it can go on");
    wait_until("it to end", SOON, async || first.exit_status().map(|status| assert!(!status.success()))).await;
    stage.alive_become(1).await;
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
    tokio::time::timeout(Duration::from_secs(60), stage.issued("shop")).await.expect("it stays so");
}
