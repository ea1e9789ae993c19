//! What stands in the Secret.

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::stage::{Stage, keys, token_id};

#[tokio::test]
async fn a_users_secret_has_all_shapes_that_consumers_read() {
    let stage = Stage::new().await;
    let secret = json!({
        "name": "shop-tfc",
        "labels": {"team": "apps"},
        "annotations": {"example.com/contact": "apps"},
        "template": {
            "TFE_TOKEN": "${token}",
            "whole": "${role} at ${host}: ${user_id}, ${token_id}, ${expires_at}",
            "none": "[${team_id}${organization}]",
            "plain": "$token ${} $${token_id}",
        },
    });
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h", "secret": secret})).await;
    let role = stage.issued("shop").await;
    let token = stage.tfc.token(&token_id(&role)).expect("TFC knows it");

    let value = async |key: &str| stage.value("shop-tfc", key).await.expect(key);
    let (bare, host) = (value("token").await, stage.tfc.socket_address().to_string());
    assert_eq!(stage.tfc.token_id_of_value(&bare), Some(token.id.clone()));
    assert_eq!(value("token_id").await, token.id);
    assert_eq!(value("role").await, "shop");
    assert_eq!(value("user_id").await, stage.ids.ci);
    let expires = token.expired_at.expect("an expiry").to_string();
    assert_eq!(value("expires_at").await, expires);
    let credentials: Value = serde_json::from_str(&value("credentials.tfrc.json").await).expect("JSON");
    assert_eq!(credentials["credentials"][&host]["token"], json!(bare));
    assert_eq!(value("TFE_TOKEN").await, bare);
    assert_eq!(value("whole").await, format!("shop at {host}: {}, {}, {expires}", stage.ids.ci, token.id));
    assert_eq!(value("none").await, "[]");
    assert_eq!(value("plain").await, format!("$token  ${}", token.id));

    let secret = stage.secrets().get("shop-tfc").await.expect("the Secret");
    // A host with a port has no environment variable that a shell can export.
    let expected = [
        "TFE_TOKEN",
        "credentials.tfrc.json",
        "expires_at",
        "none",
        "plain",
        "role",
        "token",
        "token_id",
        "user_id",
        "whole",
    ];
    assert_eq!(keys(&secret), expected);
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    let labels = secret.labels();
    assert_eq!(labels["team"], "apps");
    assert_eq!(labels["app.kubernetes.io/managed-by"], "tfc-token-operator");
    assert_eq!(labels["terraformcloud.dev/role"], "shop");
    assert_eq!(secret.annotations()["example.com/contact"], "apps");
    let owner = &secret.owner_references()[0];
    assert_eq!((owner.kind.as_str(), Some(&owner.uid)), ("TerraformCloudRole", role.metadata.uid.as_ref()));
    assert_eq!(owner.controller, Some(true));
    stage.holds_no_token("the Secret's metadata", &serde_json::to_string(&secret.metadata).expect("JSON"));
}

#[tokio::test]
async fn a_teams_and_an_organizations_secret_name_them() {
    let stage = Stage::new().await;
    stage.role("apps", json!({"team": {"organization": "acme", "name": "apps"}})).await;
    stage.role("acme", json!({"organization": {"name": "acme"}})).await;
    stage.issued("apps").await;
    stage.issued("acme").await;
    assert_eq!(stage.value("apps", "team_id").await.as_deref(), Some(stage.ids.apps));
    assert_eq!(stage.value("apps", "organization").await.as_deref(), Some("acme"));
    assert_eq!(stage.value("apps", "user_id").await, None);
    assert_eq!(stage.value("acme", "organization").await.as_deref(), Some("acme"));
    assert_eq!(stage.value("acme", "team_id").await, None);
}
