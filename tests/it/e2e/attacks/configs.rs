//! A role that would keep a config from going, or have it go before the role's token.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch};
use serde_json::json;
use tfc_harness::wait_until;
use tfc_token_operator::api::TerraformCloudRole;

use super::{anybody, tenanted};
use crate::stage::{SOON, Stage};

async fn config_goes(stage: &Stage) {
    let configs = stage.configs();
    wait_until("the config to go", SOON, async || match configs.get_opt("tfc").await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:#?}")),
    })
    .await;
}

#[tokio::test]
async fn a_role_that_is_not_admitted_keeps_no_config_from_going() {
    let stage = tenanted(&[], json!({})).await;
    stage.role("shop", json!({"user": {"me": true}})).await;
    stage.patch_role("shop", json!({"metadata": {"finalizers": ["terraformcloud.dev/revoke"]}})).await;
    stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
    stage.configs().delete("tfc", &DeleteParams::default()).await.expect("the config can be deleted");
    config_goes(&stage).await;
}

#[tokio::test]
async fn a_finalizer_stripped_all_the_time_lets_no_config_go_before_the_roles_token() {
    let stage = tenanted(&[], anybody()).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("shop").await;
    let value = stage.token("shop").await;
    let roles = stage.roles();
    let stripping = tokio::spawn(async move {
        let nothing = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        loop {
            roles.patch("shop", &Default::default(), &nothing).await.expect("a patch");
        }
    });
    stage.configs().delete("tfc", &DeleteParams::default()).await.expect("the config can be deleted");
    // Each time that the operator puts its finalizer back the config is looked at once more.
    let operator = stage.operator.as_ref().expect("an operator runs");
    wait_until("the finalizer to be put back some times", SOON, async || {
        let log = operator.logs().map_err(|error| error.to_string())?;
        let times = log.lines().filter(|line| line.contains("\"step\":\"Finalize\"")).count();
        if times > 20 { Ok(()) } else { Err(times.to_string()) }
    })
    .await;
    assert!(stage.configs().get_opt("tfc").await.expect("configs can be read").is_some(), "it went first");
    stripping.abort();
    let _ = stripping.await;
    let is_back = |role: &TerraformCloudRole| role.metadata.finalizers.as_ref().is_some_and(|all| !all.is_empty());
    stage.role_until("shop", "our finalizer to be back", is_back).await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    config_goes(&stage).await;
    let admin: Api<Secret> = Api::namespaced(stage.client.clone(), &stage.namespace);
    assert_eq!(admin.get("tfc-admin").await.expect("the admin Secret stays").metadata.finalizers, None);
    assert_eq!((stage.use_token(&value).await, stage.alive()), (401, Vec::new()));
}
