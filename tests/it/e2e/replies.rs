//! Replies that are lost, wrong or late, and processes that die: an error of one role, never a crash, never a leak.

use serde_json::json;
use tfc_harness::simulator::{Answer, BodyKind, Fault, Gate, Outage, Wait, When};

use tfc_harness::process::Signal;

use crate::stage::{Stage, condition, ready};

const USER: &str = "/users/*/authentication-tokens";

#[tokio::test]
async fn bad_replies_to_a_mint_are_errors_of_that_role_and_leak_nothing() {
    let stage = Stage::with(&["--settling-time=2s", "--sweep-interval=5s"]).await;
    let faults: Vec<(&str, Fault)> = vec![
        ("lost", Fault::ReplyLost),
        ("truncated", Fault::Truncated),
        ("malformed", Fault::Malformed),
        ("huge", Fault::Huge(64 << 20)),
        ("html", Answer::new(502).body(BodyKind::Html).after_acting().into()),
        ("unavailable", Answer::new(503).body(BodyKind::Html).into()),
        ("without-token", Fault::DropTokenFromReply),
        ("request-lost", Fault::RequestLost),
        ("doubled", Fault::DuplicateDelivery),
    ];
    let mut roles = Vec::new();
    for (name, fault) in faults {
        stage.tfc.fault(When::post(USER).once(), fault);
        stage.role(name, json!({"user": {"me": true}, "ttl": "1h"})).await;
        stage.issued(name).await;
        roles.push(name);
    }
    // What nobody knows the value of is found by its marker, and revoked once no request can land any more. The twin of a request
    // that was delivered twice is the sweep's to find.
    stage.alive_become(roles.len()).await;
    for name in roles {
        let value = stage.value(name, "token").await.expect("a token");
        assert_eq!(stage.use_token(&value).await, 200, "{name}");
    }
}

#[tokio::test]
async fn what_tfc_refuses_is_said_in_its_words_and_mended_at_once_when_the_spec_changes() {
    let stage = Stage::new().await;
    stage.tfc.fault(When::post(USER).times(1), Fault::status(422));
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let role = stage.role_becomes("shop", "False", "Rejected").await;
    let words = ready(&role).expect("Ready").message;
    assert!(words.starts_with("TFC: "), "{words}");
    assert_eq!(condition(&role, "Stalled").expect("Stalled").reason, "Rejected");
    stage.patch_role("shop", json!({"spec": {"description": "mended"}})).await;
    stage.issued("shop").await;
    assert_eq!(stage.tfc.minted().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let stage = Stage::new().await;
    stage.tfc.fault(When::post(USER).once(), Fault::Redirect { status: 307, to: "http://127.0.0.1:1/steal".into() });
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let role = stage.role_becomes("shop", "False", "Rejected").await;
    assert!(ready(&role).expect("Ready").message.contains("127.0.0.1:1"));
}

#[tokio::test]
async fn an_outage_is_probed_by_the_config_and_over_at_once_for_all() {
    let stage = Stage::new().await;
    stage.role("before", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("before").await;
    stage.tfc.down(Outage::Refused).expect("down");
    for n in 0..5 {
        stage.role(&format!("during-{n}"), json!({"user": {"me": true}, "ttl": "1h"})).await;
    }
    stage.config_becomes("tfc", "Unreachable").await;
    stage.patch_config("tfc", json!({"metadata": {"annotations": {"look": "again"}}})).await;
    let role = stage.role_becomes("during-0", "False", "ConfigNotReady").await;
    assert_eq!(condition(&role, "Reconciling").expect("Reconciling").reason, "ConfigNotReady");
    let before = stage.issued("before").await;
    assert_eq!(ready(&before).expect("Ready").status, "True", "a live token stays one");
    stage.tfc.up().expect("up");
    for n in 0..5 {
        stage.issued(&format!("during-{n}")).await;
    }
    assert_eq!(stage.tfc.minted().len(), 6);
}

#[tokio::test]
async fn a_kill_between_mint_and_secret_leaks_nothing() {
    let mut stage = Stage::with(&["--settling-time=2s"]).await;
    let gate = Gate::new();
    let held = stage.tfc.fault(When::post(USER).once(), Fault::DelayAfter(Wait::from(&gate)));
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    held.reached(1).await;
    stage.kill();
    gate.open();
    assert_eq!(stage.alive_become(1).await.len(), 1, "a live token that nobody knows");
    let lost = stage.alive().remove(0).id;

    stage.start().await;
    stage.issued("shop").await;
    let alive = stage.alive_become(1).await;
    assert_ne!(alive[0].id, lost);
    let value = stage.value("shop", "token").await.expect("a token");
    assert_eq!(stage.use_token(&value).await, 200);
    stage
        .role_until("shop", "nothing to be open", |role| role.status.as_ref().is_some_and(|s| s.unsettled.is_empty()))
        .await;
}

#[tokio::test]
async fn a_crash_with_many_mints_in_flight_costs_a_few_walks_for_all_together() {
    const ROLES: u64 = 16;
    let mut stage = Stage::with(&["--settling-time=3s"]).await;
    let gate = Gate::new();
    let held = stage.tfc.fault(When::post(USER).times(ROLES), Fault::DelayAfter(Wait::from(&gate)));
    for n in 0..ROLES {
        stage.role(&format!("role-{n}"), json!({"user": {"me": true}, "ttl": "1h"})).await;
    }
    held.reached(ROLES).await;
    stage.kill();
    gate.open();
    stage.alive_become(ROLES as usize).await;
    stage.start().await;
    for n in 0..ROLES {
        stage.issued(&format!("role-{n}")).await;
    }
    stage.alive_become(ROLES as usize).await;
    assert_eq!(stage.tfc.minted().len() as u64, 2 * ROLES);
    // One for those that came together, and one for who came while it ran; the sweep's own is the third.
    let walks = stage.tfc.count("GET", USER);
    assert!(walks <= 4, "{walks} walks for {ROLES} lost replies");
}

#[tokio::test]
async fn a_limit_is_waited_for_and_nothing_is_minted_twice() {
    let stage = Stage::new().await;
    stage.tfc.set_rate_limit(tfc_harness::simulator::RateLimit::FixedWindow(10));
    for n in 0..30 {
        stage.role(&format!("role-{n}"), json!({"user": {"me": true}, "ttl": "1h"})).await;
    }
    for n in 0..30 {
        stage.issued(&format!("role-{n}")).await;
    }
    assert_eq!(stage.tfc.minted().len(), 30);
}

#[tokio::test]
async fn sigterm_finishes_what_it_has_begun() {
    let mut stage = Stage::new().await;
    let gate = Gate::new();
    let held = stage.tfc.fault(When::post(USER).once(), Fault::DelayAfter(Wait::from(&gate)));
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    held.reached(1).await;
    stage.operator.as_mut().expect("it runs").signal(Signal::TERM).expect("it can be asked to end");
    gate.open();
    assert!(stage.stop().await.success());
    let role = stage.issued("shop").await;
    assert!(role.status.expect("a status").intent.is_none());
    assert_eq!(stage.tfc.minted().len(), 1);
}
