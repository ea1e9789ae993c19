//! `suspend` keeps everything as it is.

use serde_json::json;

use crate::stage::{SOON, Stage, current, predecessors, token_id};

#[tokio::test]
async fn nothing_is_minted_repaired_or_revoked_until_the_suspension_ends() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "overlap": "12s"})).await;
    let first = token_id(&stage.issued("shop").await);
    let first_value = stage.token("shop").await;
    stage.annotate("shop", "rotate", "1").await;
    let role = stage.succeeded("shop", &first).await;
    let second = token_id(&role);
    let overlap = role.status.and_then(|s| s.predecessors[0].revoke_at.clone()).expect("an overlap").0;
    let second_value = stage.token("shop").await;
    stage.patch_role("shop", json!({"spec": {"suspend": true}})).await;
    stage.role_becomes("shop", "True", "Suspended").await;

    // Past the overlap, asked for a successor, and without its Secret: all of that waits.
    stage.annotate("shop", "rotate", "2").await;
    let calls = stage.tfc.call_count();
    stage.secrets().delete("shop", &Default::default()).await.expect("the Secret can be deleted");
    let role = stage.role_becomes("shop", "False", "Suspended").await;
    assert_eq!(current(&role), Some(second.clone()));
    // Two seconds more than it would take the operator.
    assert!(stage.tfc.until(SOON, |tfc| tfc.now().duration_since(overlap).as_secs() >= 2).await);
    assert_eq!(stage.tfc.log_since(calls), Vec::new());
    assert_eq!(stage.value("shop", "token").await, None);
    assert_eq!((stage.use_token(&first_value).await, stage.use_token(&second_value).await), (200, 200));

    stage.patch_role("shop", json!({"spec": {"suspend": false}})).await;
    stage.succeeded("shop", &second).await;
    stage.dies(&first_value).await;
    stage.dies(&second_value).await;
    stage.role_until("shop", "one token to be left", |role| predecessors(role) == 0).await;
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
    assert_eq!(stage.tfc.minted().len(), 3);
}

#[tokio::test]
async fn a_suspended_role_gets_no_first_token_and_can_be_deleted() {
    let stage = Stage::new().await;
    stage.role("new", json!({"user": {"me": true}, "suspend": true})).await;
    stage.role_becomes("new", "False", "Suspended").await;
    assert_eq!(stage.tfc.minted(), Vec::new());

    stage.role("shop", json!({"user": {"me": true}})).await;
    stage.issued("shop").await;
    let value = stage.token("shop").await;
    stage.patch_role("shop", json!({"spec": {"suspend": true}})).await;
    stage.role_becomes("shop", "True", "Suspended").await;
    for name in ["new", "shop"] {
        stage.delete_role(name).await;
        stage.role_goes(name).await;
    }
    assert_eq!(stage.use_token(&value).await, 401);
}
