//! A token gets a successor: when a person asks, when it is time, and after an incident.

use std::time::{Duration, Instant};

use kube::ResourceExt;
use serde_json::json;

use crate::stage::{SOON, Stage, condition, predecessors, ready, token_id};

#[tokio::test]
async fn a_wish_is_answered_once_and_the_former_token_outlives_it_by_the_overlap() {
    let stage = Stage::new().await;
    let wish = json!({"terraformcloud.dev/rotate": "from the start"});
    let spec = json!({"user": {"me": true}, "ttl": "1h", "overlap": "12s"});
    stage.create_annotated_role("shop", wish, spec).await.expect("the role is admitted");
    let first = token_id(&stage.issued("shop").await);
    let first_value = stage.token("shop").await;
    assert_eq!(stage.tfc.minted().len(), 1, "a wish from before the first token is answered by it");

    stage.annotate("shop", "rotate", "now").await;
    let role = stage.succeeded("shop", &first).await;
    let second_value = stage.token("shop").await;
    assert_ne!(second_value, first_value);
    assert_eq!(stage.value("shop", "token_id").await, Some(token_id(&role)));
    assert_eq!(ready(&role).expect("it is Ready").status, "True");
    assert_eq!((predecessors(&role), stage.use_token(&first_value).await), (1, 200), "the overlap has just begun");
    assert_eq!(stage.use_token(&second_value).await, 200);

    stage.dies(&first_value).await;
    stage.role_until("shop", "the record of the former token to go", |role| predecessors(role) == 0).await;

    // The same words again ask for nothing. What is changed last shows that the role was looked at.
    stage.annotate("shop", "rotate", "now").await;
    stage.patch_role("shop", json!({"spec": {"secret": {"labels": {"seen": "yes"}}}})).await;
    stage.secret_until("shop", "a label", |secret| secret.labels().contains_key("seen")).await;
    assert_eq!(stage.tfc.minted().len(), 2);
    assert_eq!(stage.token("shop").await, second_value);
    stage.log_holds_no_token();
}

#[tokio::test]
async fn a_token_that_is_due_gets_its_successor_and_nobody_notices() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "24s"})).await;
    stage.issued("shop").await;

    let roles = stage.roles();
    let end = Instant::now() + 2 * SOON;
    while stage.tfc.minted().len() < 3 {
        assert!(Instant::now() < end, "no third token in time: {:#?}", stage.tfc.minted());
        let role = roles.get("shop").await.expect("the role");
        let condition = ready(&role).expect("a condition");
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "Issued"), "{condition:?}");
        let value = stage.token("shop").await;
        if stage.use_token(&value).await != 200 {
            assert_ne!(stage.token("shop").await, value, "the Secret holds a dead token");
        }
    }
    stage.alive_become(2).await;
}

#[tokio::test]
async fn an_incident_leaves_the_successor_alone_alive() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let first = token_id(&stage.issued("shop").await);
    let mut former = vec![stage.token("shop").await];
    stage.annotate("shop", "rotate", "1").await;
    let second = token_id(&stage.succeeded("shop", &first).await);
    former.push(stage.token("shop").await);
    stage.alive_become(2).await;

    stage.annotate("shop", "revoke", "1").await;
    stage.succeeded("shop", &second).await;
    for value in &former {
        stage.dies(value).await;
    }
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
    stage.role_until("shop", "no former token to be left", |role| predecessors(role) == 0).await;
    assert_eq!(stage.tfc.minted().len(), 3);
}

#[tokio::test]
async fn an_incident_of_a_config_reaches_all_its_roles_even_suspended_ones() {
    let stage = Stage::new().await;
    let mut former = Vec::new();
    for name in ["shop", "blog"] {
        stage.role(name, json!({"user": {"me": true}, "ttl": "1h"})).await;
        let id = token_id(&stage.issued(name).await);
        former.push((name, id, stage.token(name).await));
    }
    stage.patch_role("blog", json!({"spec": {"suspend": true}})).await;
    stage.role_becomes("blog", "True", "Suspended").await;

    stage.patch_config("tfc", json!({"metadata": {"annotations": {"terraformcloud.dev/revoke": "1"}}})).await;
    for (name, id, value) in &former {
        stage.succeeded(name, id).await;
        stage.dies(value).await;
        assert_eq!(stage.use_token(&stage.token(name).await).await, 200);
    }
    stage.alive_become(2).await;
    assert_eq!(stage.tfc.minted().len(), 4);
}

#[tokio::test]
async fn a_lease_that_is_renewed_by_hand_ends_a_ttl_later() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "12s", "maxTTL": "1h", "renewal": "Never"})).await;
    let role = stage.issued("shop").await;
    let value = stage.token("shop").await;
    let started = |role: &tfc_token_operator::api::TerraformCloudRole| {
        let current = role.status.as_ref()?.current.as_ref()?;
        Some(current.lease_started_at.as_ref()?.0)
    };
    let before = started(&role).expect("a lease");
    tokio::time::sleep(Duration::from_secs(4)).await;
    stage.annotate("shop", "renew", "1").await;
    let renewed = stage.role_until("shop", "a new lease", |role| started(role).is_some_and(|at| at > before)).await;
    assert_eq!(token_id(&renewed), token_id(&role));

    stage.role_becomes("shop", "False", "Expired").await;
    stage.dies(&value).await;
    let lease = stage.tfc.now().duration_since(started(&renewed).expect("a lease")).as_secs();
    assert!(lease >= 12, "it ended after {lease} s");
    assert_eq!(stage.tfc.minted().len(), 1);
    stage.told("shop", "Renewed").await;
}

#[tokio::test]
async fn a_lease_is_renewed_in_place_without_a_call_or_a_write() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "10s", "maxTTL": "1h"})).await;
    let role = stage.issued("shop").await;
    let secret = stage.secrets().get("shop").await.expect("the Secret");
    let calls = stage.tfc.call_count();

    tokio::time::sleep(Duration::from_secs(13)).await;
    assert_eq!(stage.tfc.log_since(calls), Vec::new());
    let later = stage.roles().get("shop").await.expect("the role");
    assert_eq!(later.resource_version(), role.resource_version());
    let held = stage.secrets().get("shop").await.expect("the Secret");
    assert_eq!(held.resource_version(), secret.resource_version());
}

#[tokio::test]
async fn a_ninth_predecessor_waits_and_an_incident_makes_room() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let mut id = token_id(&stage.issued("shop").await);
    for wish in 0..8 {
        stage.annotate("shop", "rotate", &wish.to_string()).await;
        id = token_id(&stage.succeeded("shop", &id).await);
    }
    stage.alive_become(9).await;
    stage.annotate("shop", "rotate", "once more").await;
    let role = stage.role_until("shop", "the limit to be said", |role| condition(role, "Stalled").is_some()).await;
    assert_eq!(condition(&role, "Stalled").expect("a person must act").reason, "TooManyPredecessors");
    assert_eq!((token_id(&role), ready(&role).expect("a condition").status.as_str()), (id.clone(), "True"));
    assert_eq!(stage.tfc.minted().len(), 9);

    stage.annotate("shop", "revoke", "1").await;
    let role = stage.succeeded("shop", &id).await;
    let alive = stage.alive_become(1).await;
    assert_eq!(alive[0].id, token_id(&role));
    stage.role_until("shop", "nothing to be wrong", |role| condition(role, "Stalled").is_none()).await;
    assert_eq!(stage.tfc.minted().len(), 10, "the rotation is answered by it");
}
