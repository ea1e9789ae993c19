//! A config: what its status says, and how it follows its Secrets.

use serde_json::{Value, json};
use tfc_harness::simulator::{AdminToken, Subject, TokenValue};
use tfc_token_operator::api::Condition;
use tfc_token_operator::api::TerraformCloudConfig;

use crate::stage::{Stage, ready};

fn message(config: &TerraformCloudConfig) -> String {
    let status = config.status.clone().unwrap_or_default();
    Condition::find(&status.conditions, "Ready").expect("Ready").message.clone()
}

#[tokio::test]
async fn the_status_names_account_server_and_the_tokens_own_expiry() {
    let stage = Stage::new().await;
    let config = stage.config_becomes("tfc", "Authenticated").await;
    let status = config.status.expect("a status");
    let account = status.account.expect("an account");
    assert_eq!((account.id.as_str(), account.kind.as_str()), (stage.ids.ci, "User"));
    assert!(account.can_mint.contains(&"User".to_owned()), "{account:?}");
    assert_eq!(status.server.expect("a server").product.as_deref(), Some("HCP Terraform"));
    assert!(!status.token.expect("the token").id.is_empty());
    let finalizers = config.metadata.finalizers.unwrap_or_default();
    assert_eq!(finalizers, ["terraformcloud.dev/in-use"]);
    let secret = stage.secrets().get("tfc-admin").await.expect("the admin Secret");
    assert_eq!(secret.metadata.finalizers.unwrap_or_default(), ["terraformcloud.dev/admin-secret"]);
}

#[tokio::test]
async fn what_is_missing_is_named_with_its_mend_and_picked_up_when_it_comes() {
    let mut stage = Stage::bare(&[]).await;
    stage.start().await;
    let spec = |more: Value| {
        let mut spec = json!({"address": stage.tfc.address(), "tokenSecretRef": {"name": "admin", "key": "tfe"}});
        spec.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        spec
    };
    stage.create_config("tfc", spec(json!({}))).await.expect("a config");
    let config = stage.config_becomes("tfc", "SecretNotFound").await;
    assert!(message(&config).contains("Secret admin does not exist"), "{}", message(&config));

    stage.secret("admin", "token", stage.ids.ci_token.expose()).await;
    let config = stage.config_becomes("tfc", "KeyNotFound").await;
    assert!(message(&config).contains("no key tfe (it has: token)"), "{}", message(&config));

    stage.secret("admin", "tfe", "not a token").await;
    stage.config_becomes("tfc", "KeyNotFound").await;
    stage.secret("admin", "tfe", "wrong.atlasv1.token").await;
    let config = stage.config_becomes("tfc", "Unauthorized").await;
    assert!(message(&config).contains("Secret admin"), "{}", message(&config));

    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let role = stage.role_becomes("shop", "False", "ConfigNotReady").await;
    assert!(ready(&role).expect("Ready").message.contains("Unauthorized"));
    stage.secret("admin", "tfe", stage.ids.ci_token.expose()).await;
    stage.config_becomes("tfc", "Authenticated").await;
    stage.issued("shop").await;

    stage
        .create_config("ca", spec(json!({"caBundleRef": {"kind": "ConfigMap", "name": "ca"}})))
        .await
        .expect("a config");
    let config = stage.config_becomes("ca", "InvalidCABundle").await;
    assert!(message(&config).contains("ConfigMap ca"), "{}", message(&config));
}

#[tokio::test]
async fn http_and_other_hosts_need_the_operators_leave() {
    let mut stage = Stage::bare(&["--allowed-addresses=*.example.com"]).await;
    stage.start().await;
    stage.secret("admin", "token", stage.ids.ci_token.expose()).await;
    let other = json!({"address": stage.tfc.address(), "tokenSecretRef": {"name": "admin"}});
    stage.create_config("other", other).await.expect("a config");
    let config = stage.config_becomes("other", "AddressNotAllowed").await;
    assert!(message(&config).contains("--allowed-addresses"), "{}", message(&config));
    assert_eq!(stage.tfc.call_count(), 0, "the token is not sent there");
}

#[tokio::test]
async fn a_rotated_admin_token_is_used_at_once_and_another_account_is_noticed() {
    let stage = Stage::new().await;
    stage.role("before", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("before").await;

    let successor = TokenValue::new("successor01234.atlasv1.0123456789");
    stage.tfc.add_admin_token(AdminToken::new(Subject::User(stage.ids.ci.into()), successor.clone())).expect("added");
    stage.secret("tfc-admin", "token", successor.expose()).await;
    stage.tfc.revoke_admin_token(&stage.ids.ci_token);
    stage.role("after", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("after").await;

    stage.secret("tfc-admin", "token", stage.ids.admin_token.expose()).await;
    stage.role("other", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("other").await;
    let config = stage.config_becomes("tfc", "Authenticated").await;
    assert_eq!(config.status.expect("a status").account.expect("an account").id, stage.ids.admin);
    assert!(stage.events("tfc").await.contains(&"AccountChanged".to_owned()));

    // What only the former account can see can't be proven revoked: the role stays, and says whose token is needed.
    let value = stage.value("before", "token").await.expect("a token");
    stage.delete_role("before").await;
    let role = stage.role_becomes("before", "False", "RevocationUnproven").await;
    assert!(ready(&role).expect("Ready").message.contains(stage.ids.ci));
    assert_eq!(stage.use_token(&value).await, 200);
    stage.secret("tfc-admin", "token", successor.expose()).await;
    stage.role_goes("before").await;
    assert_eq!(stage.use_token(&value).await, 401);
}
