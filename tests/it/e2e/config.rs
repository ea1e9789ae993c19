//! A config: what its status says, and how it follows its Secrets.

use serde_json::{Value, json};
use tfc_harness::simulator::{
    AdminToken, Answer, BodyKind, Fault, Identity, Simulator, Subject, TokenValue, When, standard_world,
};
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
    // A role that is begun before stays the former account's.
    stage.told("tfc", "AccountChanged").await;
    stage.role("other", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("other").await;
    let config = stage.config_becomes("tfc", "Authenticated").await;
    assert_eq!(config.status.expect("a status").account.expect("an account").id, stage.ids.admin);

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

#[tokio::test]
async fn a_role_that_comes_right_after_its_config_is_not_told_that_there_is_none() {
    let stage = Stage::new().await;
    let names: Vec<String> = (0..20).map(|number| format!("pair-{number}")).collect();
    for name in &names {
        let config = json!({"address": stage.tfc.address(), "tokenSecretRef": {"name": "tfc-admin"}});
        stage.create_config(name, config).await.expect("the config is admitted");
        stage.role(name, json!({"configRef": {"name": name}, "user": {"me": true}, "ttl": "1h"})).await;
    }
    for name in &names {
        stage.issued(name).await;
        let told = stage.events(name).await;
        assert!(!told.contains(&"ConfigNotAvailable".to_owned()), "{name}: {told:?}");
    }
}

#[tokio::test]
async fn an_account_that_does_not_answer_is_asked_once_in_fifteen_seconds_whoever_wakes_its_configs() {
    let stage = Stage::new().await;
    stage.config("twin", json!({"tokenSecretRef": {"name": "tfc-admin"}})).await;
    stage.tfc.fault(When::get("/account/details"), Fault::Status(Answer::new(504).body(BodyKind::Empty)));
    stage.tfc.fault(When::mint(), Fault::RequestLost);
    let before = stage.tfc.call_count();
    for n in 0..8 {
        let config = if n % 2 == 0 { "tfc" } else { "twin" };
        stage
            .role(&format!("role-{n}"), json!({"configRef": {"name": config}, "user": {"me": true}, "ttl": "1h"}))
            .await;
    }
    stage.config_becomes("tfc", "Unreachable").await;
    stage.config_becomes("twin", "Unreachable").await;
    for n in 0..6 {
        stage.patch_config("tfc", json!({"metadata": {"annotations": {"look": n.to_string()}}})).await;
        stage.patch_config("twin", json!({"metadata": {"annotations": {"look": n.to_string()}}})).await;
    }
    let asked: Vec<_> = stage.tfc.log_since(before).into_iter().filter(|call| call.route.contains("account")).collect();
    let first = asked.first().expect("it was asked").at;
    let soon: Vec<_> = asked.iter().filter(|call| call.at.duration_since(first).as_secs() < 14).collect();
    // Each config asks once by itself, and a read that got a 5xx is tried three times.
    assert!(soon.len() <= 6, "{soon:#?}");

    stage.tfc.clear_faults();
    for n in 0..8 {
        stage.issued(&format!("role-{n}")).await;
    }
}

#[tokio::test]
async fn a_private_ca_is_trusted_by_the_config_that_names_it() {
    let stage = Stage::new().await;
    let identity = Identity::self_signed(&["127.0.0.1"]).expect("a certificate");
    let ca = identity.ca_pem().to_owned();
    let mut https = tfc_harness::simulator::Config::from(standard_world().world);
    https.tls = Some(identity);
    let private = Simulator::start(https).expect("the simulator starts");
    stage.recorder.hears(private.ledger()).expect("it is recorded too");
    stage.secret("private-admin", "token", standard_token(&private).expose()).await;
    let spec = json!({"address": private.address(), "tokenSecretRef": {"name": "private-admin"}});
    stage.create_config("without", spec.clone()).await.expect("a config");
    let config = stage.config_becomes("without", "Unreachable").await;
    assert!(message(&config).contains("out of reach"), "{}", message(&config));

    stage.secret("ca", "ca.crt", &ca).await;
    let mut trusting = spec;
    trusting["caBundleRef"] = json!({"kind": "Secret", "name": "ca"});
    stage.create_config("with", trusting).await.expect("a config");
    stage.config_becomes("with", "Authenticated").await;
    stage.role("shop", json!({"configRef": {"name": "with"}, "user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("shop").await;
    assert_eq!(private.minted().len(), 1);
}

/// A token of the standard world's machine user, of a simulator of its own.
fn standard_token(tfc: &Simulator) -> TokenValue {
    let token = TokenValue::new("privatetoken01.atlasv1.0123456789");
    tfc.add_admin_token(AdminToken::new(Subject::User("user-ci".into()), token.clone())).expect("added");
    token
}
