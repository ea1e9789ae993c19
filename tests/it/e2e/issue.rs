//! A role becomes a Secret.

use serde_json::json;

use crate::stage::{Stage, token_id};

#[tokio::test]
async fn a_users_role_becomes_a_secret() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "description": "CI of the shop"})).await;
    let role = stage.issued("shop").await;

    let value = stage.value("shop", "token").await.expect("the token");
    assert_eq!(stage.use_token(&value).await, 200);
    let token = stage.tfc.token(&token_id(&role)).expect("TFC knows it");
    assert_eq!(stage.tfc.token_id_of_value(&value), Some(token.id.clone()));
    let description = token.description.clone().expect("a description");
    assert!(description.starts_with("tto1.") && description.ends_with(" CI of the shop"), "{description}");
    assert_eq!(stage.tfc.minted().len(), 1);

    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!(stage.use_token(&value).await, 401);
    assert_eq!(stage.value("shop", "token").await, None);
}
