//! A tenant asks, again and again.

use std::time::{Duration, Instant};

use kube::api::Patch;
use serde_json::json;
use tfc_harness::simulator::RateLimit;

use super::{anybody, looked_at, record, tenanted};
use crate::stage::{SOON, Stage, condition, token_id};

/// Has every wish of a tight loop follow the one before, until the task is dropped.
fn ask_all_the_time(stage: &Stage, name: &str) -> tokio::task::JoinHandle<()> {
    let (roles, name) = (stage.roles(), name.to_owned());
    tokio::spawn(async move {
        for wish in 0_u32.. {
            let patch = json!({"metadata": {"annotations": {"terraformcloud.dev/rotate": wish.to_string()}}});
            roles.patch(&name, &Default::default(), &Patch::Merge(patch)).await.expect("a wish");
        }
    })
}

#[tokio::test]
async fn rotations_asked_for_all_the_time_leave_few_tokens_and_starve_nobody() {
    // With an overlap, and without one: then nothing but the budget bounds how often a token is made.
    for overlap in ["20m", "0s"] {
        let stage = tenanted(&["--settling-time=2s"], anybody()).await;
        stage.tfc.set_rate_limit(RateLimit::SlidingWindow(30));
        stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": overlap})).await;
        stage.issued("shop").await;
        let asking = ask_all_the_time(&stage, "shop");
        assert!(stage.tfc.until(SOON, |tfc| tfc.minted().len() >= 9).await, "it is served");

        let began = Instant::now();
        stage.role("other", json!({"user": {"me": true}, "ttl": "1h"})).await;
        stage.issued("other").await;
        assert!(began.elapsed() < Duration::from_secs(10), "the other role waited {:?}", began.elapsed());
        // The role's, eight that it replaced, one under way, and the other role's.
        let alive = stage.alive().len();
        assert!(alive <= 11, "{alive} tokens live");
        asking.abort();
        let _ = asking.await;
        for name in ["shop", "other"] {
            stage.delete_role(name).await;
            stage.role_goes(name).await;
        }
        assert_eq!(stage.alive(), Vec::new());
    }
}

#[tokio::test]
async fn wishes_as_long_as_an_annotation_takes_are_answered_once_each() {
    let stage = tenanted(&[], anybody()).await;
    let long = |letter: &str| letter.repeat(80_000);
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let first = token_id(&stage.issued("shop").await);
    let (rotate, revoke, renew) =
        ("terraformcloud.dev/rotate", "terraformcloud.dev/revoke", "terraformcloud.dev/renew");
    stage.patch_role("shop", json!({"metadata": {"annotations": {rotate: long("a"), renew: long("b")}}})).await;
    let second = token_id(&stage.succeeded("shop", &first).await);
    stage.patch_role("shop", json!({"metadata": {"annotations": {rotate: long("c"), revoke: long("d")}}})).await;
    stage.succeeded("shop", &second).await;
    stage.alive_become(1).await;
    looked_at(&stage, "shop").await;
    assert_eq!(stage.tfc.minted().len(), 3);
    let role = stage.roles().get("shop").await.expect("the role");
    let status = serde_json::to_string(&role.status).expect("JSON");
    assert!(status.len() < 5_000 && record(&stage, "shop").await.to_string().len() < 5_000, "{}", status.len());
    assert_eq!(condition(&role, "Stalled"), None);
}

#[tokio::test]
async fn a_value_edited_all_the_time_leaves_few_tokens_and_starves_nobody() {
    let stage = tenanted(&["--settling-time=2s"], anybody()).await;
    stage.tfc.set_rate_limit(RateLimit::SlidingWindow(30));
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("shop").await;
    let secrets = stage.secrets();
    let editing = tokio::spawn(async move {
        for edit in 0_u32.. {
            let patch = Patch::Merge(json!({"stringData": {"token": format!("edit.{edit}")}}));
            let _ = secrets.patch("shop", &Default::default(), &patch).await;
        }
    });
    let began = Instant::now();
    stage.role("other", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("other").await;
    assert!(began.elapsed() < Duration::from_secs(10), "the other role waited {:?}", began.elapsed());
    assert!(stage.alive().len() <= 11, "{:#?}", stage.alive());
    editing.abort();
    let _ = editing.await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    stage.alive_become(1).await;
}
