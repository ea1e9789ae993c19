//! The operator is removed: what is left behind, and what the replicas do meanwhile.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use tfc_harness::process::terminate;
use tfc_harness::simulator::Outage;
use tfc_harness::{Operator, wait_until};
use tfc_token_operator::api::Condition;

use super::leader::leads;
use crate::stage::{SOON, Setting, Stage, token_id};

/// A leader, a standby, a config and these roles.
async fn two(roles: &[&str]) -> (Stage, Operator) {
    let (stage, second) = super::leader::two().await;
    for role in roles {
        stage.role(role, json!({"user": {"me": true}, "ttl": "1h"})).await;
        stage.issued(role).await;
    }
    (stage, second)
}

/// No role, config or admin Secret of the stage carries a finalizer.
async fn expect_free(stage: &Stage) {
    for role in stage.roles().list(&Default::default()).await.expect("roles") {
        assert!(role.finalizers().is_empty(), "{:?}", role.metadata);
    }
    for config in stage.configs().list(&Default::default()).await.expect("configs") {
        assert!(config.finalizers().is_empty(), "{:?}", config.metadata);
    }
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), &stage.namespace);
    for secret in secrets.list(&Default::default()).await.expect("Secrets") {
        assert!(secret.finalizers().is_empty(), "{:?}", secret.metadata);
    }
}

async fn says(operator: &Operator, words: &str) {
    wait_until(&format!("/readyz to say {words}"), SOON, async || {
        let said = operator.readyz().await.map_err(|error| error.to_string())?;
        if said.contains(words) { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test]
async fn an_uninstall_revokes_every_token_takes_the_finalizers_off_and_keeps_the_replicas_back() {
    let (mut stage, second) = two(&["shop", "blog"]).await;
    let first = token_id(&stage.roles().get("shop").await.expect("the role"));
    stage.annotate("shop", "rotate", "1").await;
    stage.succeeded("shop", &first).await;
    stage.alive_become(3).await;

    let (code, said) = stage.uninstalls(&["--policy=Revoke"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(stage.alive(), Vec::new(), "the predecessor's too");
    expect_free(&stage).await;
    for role in ["shop", "blog"] {
        assert_eq!(stage.value(role, "token").await, None);
        let role = stage.roles().get(role).await.expect("the role stays");
        let conditions = role.status.unwrap_or_default().conditions;
        let ready = Condition::find(&conditions, "Ready").expect("Ready is always there");
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Uninstalled"));
    }
    assert!(said.contains("released  TerraformCloudConfig") && said.contains("released  TerraformCloudRole"), "{said}");

    // The leader ended for it, so that it begins anew; the other one stands back.
    let mut leader = stage.operator.take().expect("it ran");
    wait_until("the leader to end", SOON, async || leader.exit_status().ok_or("it runs")).await;
    assert!(leader.exit_status().is_some_and(|status| status.success()));
    says(&second, "ok: standing back").await;
    assert_eq!(stage.tfc.minted().len(), 3, "nothing is minted any more");

    // Nothing waits for an operator that is not there.
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces.delete(&stage.namespace, &DeleteParams::default()).await.expect("a namespace can be deleted");
    wait_until("the namespace to go", SOON, async || match namespaces.get_opt(&stage.namespace).await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test]
async fn a_release_leaves_tokens_and_secrets_and_an_operator_that_comes_back_leads_on() {
    let (mut stage, second) = two(&["shop"]).await;
    let value = stage.token("shop").await;
    stage.role("going", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("going").await;

    let (code, said) = stage.uninstalls(&["--policy=Release"]).await;
    assert_eq!(code, Some(0), "{said}");
    expect_free(&stage).await;
    assert_eq!((stage.use_token(&value).await, stage.token("shop").await), (200, value.clone()));
    assert_eq!(stage.alive().len(), 2);

    drop(second);
    drop(stage.operator.take());
    // As a new installation finds it, in which nobody stands back any more.
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
        Api::namespaced(stage.client.clone(), &stage.namespace);
    leases.delete("tfc-token-operator", &DeleteParams::default()).await.expect("the Lease can be deleted");
    stage.start().await;
    stage.role_until("shop", "its finalizer to be back", |role| !role.finalizers().is_empty()).await;
    stage.issued("shop").await;
    assert_eq!((stage.use_token(&value).await, stage.tfc.minted().len()), (200, 2), "and nothing is minted anew");
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    stage.dies(&value).await;
}

#[tokio::test]
async fn what_can_not_be_proven_revoked_is_named_kept_and_given_up_only_when_told_to() {
    let (stage, second) = two(&["shop"]).await;
    let id = token_id(&stage.roles().get("shop").await.expect("the role"));
    stage.secret("tfc-admin", "token", "abcdefghijklmn.atlasv1.not-the-account-any-more").await;
    stage.config_becomes("tfc", "Unauthorized").await;

    let (code, said) = stage.uninstalls(&["--policy=Revoke"]).await;
    assert_eq!(code, Some(3), "{said}");
    let role = format!("UNPROVEN  TerraformCloudRole {}/shop", stage.tenant);
    assert!(said.contains(&role) && said.contains(&id), "{said}");
    let finalizers = stage.roles().get("shop").await.expect("the role").finalizers().to_vec();
    assert_eq!(finalizers, ["terraformcloud.dev/revoke"], "somebody still has to look after it");
    assert!(!stage.configs().get("tfc").await.expect("the config").finalizers().is_empty());
    leads(&second).await;
    says(&second, "ok: leading").await;

    // Whoever says so has the finalizer taken off a role whose token lives.
    stage.declare(tfc_harness::invariants::Person::StrippedFinalizer, "shop");
    let (code, said) = stage.uninstalls(&["--policy=Revoke", "--allow-unproven"]).await;
    assert_eq!(code, Some(0), "{said}");
    expect_free(&stage).await;
    stage.told("shop", "Abandoned").await;
}

#[tokio::test]
async fn replicas_take_their_work_up_at_once_where_an_uninstall_is_broken_off() {
    let (mut stage, second) = two(&["shop"]).await;
    stage.tfc.down(Outage::Unavailable).expect("it goes down");
    let mut uninstall = stage.uninstall(&["--policy=Revoke"]).spawn().expect("it starts");
    let mut leader = stage.operator.take().expect("it ran");
    wait_until("the leader to end", SOON, async || leader.exit_status().ok_or("it runs")).await;
    says(&second, "ok: standing back").await;
    terminate(uninstall.id().expect("it runs")).expect("it can be told");
    let status = tokio::time::timeout(SOON, uninstall.wait()).await.expect("it ends in time").expect("its status");
    assert_eq!(status.code(), Some(1));
    stage.tfc.up().expect("it comes up");
    leads(&second).await;
    stage.issued("shop").await;
    assert_eq!(stage.tfc.minted().len(), 1, "pods kept what could not be revoked anyway");
    drop(second);
}

#[tokio::test]
async fn with_nothing_installed_there_is_nothing_to_do() {
    let stage = Stage::bare_with(Setting { elect: true, ..Setting::default() }).await;
    let (code, said) = stage.uninstalls(&["--policy=Revoke"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = stage.uninstalls(&["--policy=Retain"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("Revoke, Release"), "{said}");
}
