//! `renewal: Never`: the credential goes at the end of its lease.

use serde_json::json;

use crate::stage::{Stage, condition, current, keys, token_id};

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_with_the_credential() {
    let stage = Stage::new().await;
    let secret = json!({"template": {"TFE_TOKEN": "${token}"}});
    stage.role("shop", json!({"user": {"me": true}, "ttl": "10s", "renewal": "Never", "secret": secret})).await;
    let role = stage.issued("shop").await;
    let value = stage.token("shop").await;
    stage.patch_secret("shop", json!({"stringData": {"mine": "stays"}})).await;

    let expired = stage.role_becomes("shop", "False", "Expired").await;
    assert_eq!(current(&expired), None);
    assert_eq!(condition(&expired, "Stalled"), None);
    assert_eq!(stage.use_token(&value).await, 401);
    let secret = stage.secrets().get("shop").await.expect("the Secret stays");
    assert_eq!(keys(&secret), ["mine"]);
    assert_eq!(stage.tfc.minted().len(), 1);

    stage.annotate("shop", "rotate", "1").await;
    let again = stage.role_becomes("shop", "True", "Issued").await;
    assert_ne!(token_id(&again), token_id(&role));
    assert_eq!(stage.use_token(&stage.token("shop").await).await, 200);
    assert_eq!(stage.tfc.minted().len(), 2);
}

#[tokio::test]
async fn a_lease_that_is_shortened_ends_at_once() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "renewal": "Never"})).await;
    stage.issued("shop").await;
    let value = stage.token("shop").await;
    stage.patch_role("shop", json!({"spec": {"ttl": "10s"}})).await;
    stage.role_becomes("shop", "False", "Expired").await;
    stage.dies(&value).await;
}
