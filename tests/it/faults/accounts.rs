//! What befalls the account behind a config.

use serde_json::json;
use tfc_harness::simulator::{AdminToken, RateLimit, Subject, TokenValue};

use super::order::is_in_order;
use crate::stage::{Stage, token_id};

#[tokio::test]
async fn a_config_whose_token_was_revoked_goes_on_with_the_next_one() {
    let stage = Stage::with(&["--settling-time=2s"]).await;
    let spec = || json!({"user": {"me": true}, "ttl": "1h", "overlap": "5s"});
    stage.role("shop", spec()).await;
    let first = token_id(&stage.issued("shop").await);
    // With a former token that is about to be due.
    stage.annotate("shop", "rotate", "1").await;
    let second = token_id(&stage.succeeded("shop", &first).await);
    assert!(stage.tfc.revoke_admin_token(&stage.ids.ci_token));
    stage.annotate("shop", "rotate", "2").await;
    stage.role("later", spec()).await;
    stage.config_becomes("tfc", "Unauthorized").await;
    assert!(stage.tfc.token(&second).expect("TFC made it").is_alive(), "what pods use stays");

    let next = TokenValue::new("successor01234.atlasv1.0123456789");
    let token = AdminToken::new(Subject::User(stage.ids.ci.to_owned()), next.clone());
    stage.tfc.add_admin_token(token).expect("the user exists");
    stage.secret("tfc-admin", "token", next.expose()).await;
    stage.config_becomes("tfc", "Authenticated").await;
    stage.issued("later").await;
    stage.succeeded("shop", &second).await;
    is_in_order(&stage).await;
}

#[tokio::test]
async fn two_configs_of_one_account_share_what_it_may_ask_and_touch_none_of_each_others_tokens() {
    let stage = Stage::with(&["--settling-time=2s", "--sweep-interval=3s"]).await;
    stage.config("other", json!({})).await;
    stage.tfc.set_rate_limit(RateLimit::FixedWindow(10));
    for n in 0..20 {
        let config = if n % 2 == 0 { "tfc" } else { "other" };
        let spec = json!({"configRef": {"name": config}, "user": {"me": true}, "ttl": "1h", "overlap": "1s"});
        stage.role(&format!("role-{n}"), spec).await;
    }
    for n in 0..20 {
        stage.issued(&format!("role-{n}")).await;
    }
    is_in_order(&stage).await;
    assert_eq!(stage.tfc.minted().len(), 20);
    let incident = json!({"metadata": {"annotations": {"terraformcloud.dev/revoke": "1"}}});
    let others: Vec<String> = futures::future::join_all((0..10).map(|n| {
        let stage = &stage;
        async move { token_id(&stage.issued(&format!("role-{}", 2 * n + 1)).await) }
    }))
    .await;
    stage.patch_config("tfc", incident).await;
    assert!(stage.tfc.until(super::order::BOUND, |tfc| tfc.minted().len() == 30).await);
    is_in_order(&stage).await;
    assert!(others.iter().all(|id| stage.tfc.token(id).is_some_and(|token| token.is_alive())));
}
