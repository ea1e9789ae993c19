//! What goes takes its tokens along, whatever else goes at the same time.

mod orders;
mod unproven;

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use tfc_harness::invariants::Person;
use tfc_harness::simulator::Outage;
use tfc_harness::wait_until;
use tfc_token_operator::api::Condition;

use crate::stage::{SOON, Stage, condition, token_id};

async fn namespace_goes(stage: &Stage, name: &str) {
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    wait_until(&format!("namespace {name} to go"), SOON, async || match namespaces.get_opt(name).await {
        Ok(None) => Ok(()),
        Ok(Some(namespace)) => Err(format!("{:?}", namespace.status)),
        Err(error) => Err(error.to_string()),
    })
    .await;
}

#[tokio::test]
async fn foreground_and_orphan_deletion_take_the_token_too() {
    let stage = Stage::new().await;
    for (name, how) in [("shop", DeleteParams::foreground()), ("blog", DeleteParams::orphan())] {
        stage.role(name, json!({"user": {"me": true}, "ttl": "1h"})).await;
        stage.issued(name).await;
        let value = stage.token(name).await;
        stage.roles().delete(name, &how).await.expect("the role can be deleted");
        stage.role_goes(name).await;
        assert_eq!((stage.use_token(&value).await, stage.value(name, "token").await), (401, None), "{name}");
    }
    assert_eq!(stage.tfc.minted().len(), 2);
}

#[tokio::test]
async fn a_deletion_takes_the_predecessors_along() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let first = token_id(&stage.issued("shop").await);
    stage.annotate("shop", "rotate", "1").await;
    stage.succeeded("shop", &first).await;
    stage.alive_become(2).await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!(stage.alive(), Vec::new());
    wait_until("both revocations to be told of", SOON, async || {
        let told = stage.events("shop").await;
        if told.iter().filter(|reason| *reason == "Revoked").count() == 2 { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    stage.log_holds_no_token();
}

#[tokio::test]
async fn a_namespace_takes_its_roles_tokens_along() {
    let stage = Stage::with_tenant(json!({"allow": [{"namespaces": {"from": "All"}, "users": ["me"]}]})).await;
    for name in ["a", "b", "c", "d", "e"] {
        stage.role(name, json!({"user": {"me": true}, "ttl": "1h"})).await;
    }
    for name in ["a", "b", "c", "d", "e"] {
        stage.issued(name).await;
    }
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces.delete(&stage.tenant, &DeleteParams::default()).await.expect("a namespace can be deleted");
    namespace_goes(&stage, &stage.tenant).await;
    assert_eq!(stage.alive(), Vec::new());
    assert_eq!(stage.tfc.minted().len(), 5, "nothing is minted in a namespace that goes");
}

#[tokio::test]
async fn a_namespace_with_roles_config_and_admin_secret_goes_and_leaves_no_token() {
    let stage = Stage::new().await;
    for name in ["a", "b", "c"] {
        stage.role(name, json!({"user": {"me": true}, "ttl": "1h"})).await;
    }
    for name in ["a", "b", "c"] {
        stage.issued(name).await;
    }
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces.delete(&stage.namespace, &DeleteParams::default()).await.expect("a namespace can be deleted");
    namespace_goes(&stage, &stage.namespace).await;
    assert_eq!(stage.alive(), Vec::new());
    assert_eq!(stage.tfc.minted().len(), 3);
}

#[tokio::test]
async fn admin_secret_config_and_role_can_be_deleted_in_any_order_at_once() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("shop").await;
    let all = DeleteParams::default();
    stage.secrets().delete("tfc-admin", &all).await.expect("the admin Secret can be deleted");
    stage.configs().delete("tfc", &all).await.expect("the config can be deleted");
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert_eq!(stage.alive(), Vec::new());
    let (configs, secrets) = (stage.configs(), stage.secrets());
    wait_until("config and admin Secret to go", SOON, async || {
        let left = (configs.get_opt("tfc").await.ok()?, secrets.get_opt("tfc-admin").await.ok()?);
        (left == (None, None)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_config_waits_for_its_roles_and_says_so() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let first = token_id(&stage.issued("shop").await);
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let finalizers = secrets.get("tfc-admin").await.expect("the admin Secret").finalizers().to_vec();
    assert_eq!(finalizers, ["terraformcloud.dev/admin-secret"]);

    stage.configs().delete("tfc", &DeleteParams::default()).await.expect("the config can be deleted");
    let configs = stage.configs();
    let message = wait_until("the config to name who holds it", SOON, async || {
        let status = configs.get("tfc").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let in_use = status.conditions.iter().find(|c| c.reason == "InUse").cloned();
        in_use.map(|c| c.message).ok_or_else(|| format!("{:?}", status.conditions))
    })
    .await;
    assert!(message.contains(&format!("{}/shop", stage.namespace)), "{message}");

    // It admits nothing new, and serves those that it has.
    stage.role("late", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.role_becomes("late", "False", "ConfigNotAvailable").await;
    stage.annotate("shop", "rotate", "1").await;
    stage.succeeded("shop", &first).await;

    for name in ["shop", "late"] {
        stage.delete_role(name).await;
        stage.role_goes(name).await;
    }
    wait_until("the config to go", SOON, async || match configs.get_opt("tfc").await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // What it could do goes with it.
    stage.role("later", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.role_becomes("later", "False", "ConfigNotAvailable").await;
    let secret = secrets.get("tfc-admin").await.expect("the admin Secret stays");
    assert_eq!(secret.finalizers(), Vec::<String>::new().as_slice());
    assert_eq!(stage.alive(), Vec::new());
}

#[tokio::test]
async fn a_deletion_waits_for_tfc_says_so_and_goes_on_by_itself() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("shop").await;
    stage.tfc.down(Outage::Unavailable).expect("it goes down");
    stage.delete_role("shop").await;
    let role = stage
        .role_until("shop", "the reason to be said", |role| {
            role.status.as_ref().is_some_and(|s| {
                s.conditions.iter().any(|c| c.reason == "Unreachable" || c.reason == "RevocationUnproven")
            })
        })
        .await;
    assert!(role.metadata.deletion_timestamp.is_some());
    assert_eq!(stage.value("shop", "token").await, None, "the credential leaves first");
    assert_eq!(stage.alive().len(), 1);

    stage.tfc.up().expect("it comes back");
    stage.role_goes("shop").await;
    assert_eq!(stage.alive(), Vec::new());
}

#[tokio::test]
async fn a_deletion_ends_with_the_tokens_own_expiry_where_tfc_stays_away() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "15s"})).await;
    let role = stage.issued("shop").await;
    let expires = stage.tfc.token(&token_id(&role)).and_then(|t| t.expired_at).expect("an expiry");
    stage.tfc.down(Outage::Refused).expect("it goes down");
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert!(stage.tfc.now() >= expires, "before {expires} nobody could know that the token is dead");
}

#[tokio::test]
async fn what_another_account_can_t_prove_revoked_is_given_up_only_when_asked() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let id = token_id(&stage.issued("shop").await);
    // The account behind the config is another one from now on, which can't see the user's tokens.
    stage.secret("tfc-admin", "token", stage.ids.dev_token.expose()).await;
    let configs = stage.configs();
    wait_until("the config to speak for another account", SOON, async || {
        let status = configs.get("tfc").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let account = status.account.unwrap_or_default();
        if account.id == stage.ids.dev { Ok(()) } else { Err(format!("{account:?}")) }
    })
    .await;
    stage.delete_role("shop").await;
    let unproven = |c: &Condition| c.reason == "RevocationUnproven";
    let role = stage
        .role_until("shop", "it to say what is not proven", |role| {
            role.status.as_ref().is_some_and(|s| s.conditions.iter().any(unproven))
        })
        .await;
    let message = condition(&role, "Ready").expect("a condition").message;
    assert!(message.contains(&id) && message.contains(stage.ids.ci), "{message}");

    stage.declare(Person::Abandoned, "shop");
    stage
        .patch_config("tfc", json!({"metadata": {"annotations": {"terraformcloud.dev/abandon-unproven": "yes"}}}))
        .await;
    stage.role_goes("shop").await;
    stage.told("shop", "Abandoned").await;
    assert_eq!(stage.alive().len(), 1, "given up, not revoked");
}
