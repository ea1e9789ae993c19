//! What a tenant may try who writes roles and Secrets in a namespace, but neither configs nor statuses. Each comes to nothing: no token
//! is revoked that is not the role's own, none outlives its due, no power is gained, and the victim's Secret stays live.
//!
//! The tenant is a user of its own, with the rights that `kubectl`'s role `edit` gives with our manifest.

mod configs;
mod forged;
mod identity;
mod kept;
mod secrets;
mod wishes;

use std::fs;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};
use tfc_harness::wait_until;
use tfc_token_operator::api::{Intent, TerraformCloudRole};

use crate::bed::{bed, root};
use crate::stage::{SOON, Setting, Stage};

/// A stage whose roles and Secrets are a tenant's, in a namespace of their own; `config` is merged over the config's spec.
pub async fn tenanted(flags: &[&str], config: Value) -> Stage {
    let mut stage = Stage::set(Setting { tenant: true, flags, ..Setting::default() }, config).await;
    stage.user = bed().tenant_client().await;
    let namespace = stage.tenant.as_str();
    let role: Role =
        serde_json::from_value(json!({"metadata": {"name": "tenant"}, "rules": editors_rules()})).expect("a Role");
    Api::namespaced(stage.client.clone(), namespace).create(&PostParams::default(), &role).await.expect("a Role");
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}],
    }))
    .expect("a RoleBinding");
    Api::namespaced(stage.client.clone(), namespace).create(&PostParams::default(), &binding).await.expect("a binding");
    let roles = stage.roles();
    wait_until("the tenant's rights", SOON, async || roles.list(&Default::default()).await).await;
    stage
}

/// Anybody's roles may mint for the config's own user, an hour at most.
pub fn anybody() -> Value {
    json!({"allow": [{"namespaces": {"from": "All"}, "users": ["me"]}], "defaultTTL": "1h", "maxTTL": "1h"})
}

/// What our manifest adds to `view` and `edit`, and the right to Secrets that those have.
fn editors_rules() -> Vec<PolicyRule> {
    let text = fs::read_to_string(root().join("deploy/operator.yaml")).expect("the manifest");
    let secrets = json!({
        "apiGroups": [""], "resources": ["secrets"],
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"],
    });
    let mut rules = vec![serde_json::from_value(secrets).expect("a rule")];
    for document in serde_yaml::Deserializer::from_str(&text) {
        let Some(object) = Option::<DynamicObject>::deserialize(document).expect("YAML") else { continue };
        let labels = object.labels();
        let aggregated = ["view", "edit"].iter().any(|to| {
            labels.get(&format!("rbac.authorization.k8s.io/aggregate-to-{to}")).is_some_and(|yes| yes == "true")
        });
        if aggregated {
            let role: ClusterRole = object.try_parse().expect("a ClusterRole");
            rules.extend(role.rules.unwrap_or_default());
        }
    }
    assert_eq!(rules.len(), 3, "Secrets, to read both kinds, to write roles");
    rules
}

/// The attempt that a role has open.
pub fn intent(role: &TerraformCloudRole) -> Option<Intent> {
    role.status.as_ref()?.intent.clone()
}

/// Has the operator look at a role once more, and waits until it has.
pub async fn looked_at(stage: &Stage, name: &str) {
    let before = stage.roles().get(name).await.expect("the role").metadata.generation;
    stage
        .patch_role(name, json!({"spec": {"secret": {"labels": {"look": before.unwrap_or_default().to_string()}}}}))
        .await;
    let role = stage.seen(name).await;
    assert_ne!(role.metadata.generation, before, "a change");
}

/// The record in a Secret's annotation.
pub async fn record(stage: &Stage, secret: &str) -> Value {
    let secret = stage.secrets().get(secret).await.expect("the Secret");
    serde_json::from_str(&secret.annotations()["terraformcloud.dev/record"]).expect("JSON")
}

/// A patch of a Secret's metadata that puts a record there.
pub fn annotated(record: &Value) -> Value {
    json!({"metadata": {"annotations": {"terraformcloud.dev/record": record.to_string()}}})
}

#[tokio::test]
async fn a_tenant_writes_neither_configs_nor_statuses_nor_what_is_anothers() {
    let stage = tenanted(&[], anybody()).await;
    stage.role("shop", json!({"user": {"me": true}})).await;
    stage.issued("shop").await;
    let refused = |result: kube::Result<()>, what: &str| match result {
        Err(kube::Error::Api(status)) if status.code == 403 => {}
        other => panic!("{what}: {other:?}"),
    };
    let (params, nothing) = (PatchParams::default(), Patch::Merge(json!({"status": {"current": null}})));
    refused(stage.roles().patch_status("shop", &params, &nothing).await.map(drop), "a status");
    let configs = |namespace: &str| {
        Api::<tfc_token_operator::api::TerraformCloudConfig>::namespaced(stage.user.clone(), namespace)
    };
    let abandon = Patch::Merge(json!({"metadata": {"annotations": {"terraformcloud.dev/abandon-unproven": "yes"}}}));
    refused(configs(&stage.namespace).patch("tfc", &params, &abandon).await.map(drop), "the config");
    let own = stage.configs().get("tfc").await.expect("the config");
    let own = serde_json::from_value(json!({
        "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudConfig",
        "metadata": {"name": "own"}, "spec": own.spec,
    }))
    .expect("a config");
    refused(configs(&stage.tenant).create(&PostParams::default(), &own).await.map(drop), "a config of one's own");
    let platforms: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(stage.user.clone(), &stage.namespace);
    refused(platforms.get("tfc-admin").await.map(drop), "the admin Secret");
}
