//! An operator that may not do all that it has to: said with verb, resource, namespace and the chart's value that grants it.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tfc_harness::{Operator, wait_until};
use tfc_token_operator::api::Condition;

use crate::bed::bed;
use crate::stage::{SOON, Stage, condition};

/// What the chart grants in each namespace, but for these verbs on this resource.
fn rules(without: (&str, &[&str])) -> Value {
    let all = |verbs: &[&str], resource: &str| -> Vec<String> {
        let lacks = |verb: &&&str| without.0 == resource && without.1.contains(*verb);
        verbs.iter().filter(|verb| !lacks(verb)).map(|verb| (*verb).to_owned()).collect()
    };
    let rule = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": all(verbs, resource)});
    let ours = "terraformcloud.dev";
    json!([
        rule(ours, "terraformcloudroles", &["get", "list", "watch", "patch"]),
        rule(ours, "terraformcloudconfigs", &["get", "list", "watch", "patch"]),
        rule(ours, "terraformcloudroles/status", &["get", "patch"]),
        rule(ours, "terraformcloudconfigs/status", &["get", "patch"]),
        rule("", "secrets", &["get", "list", "watch", "create", "patch", "delete"]),
        rule("", "configmaps", &["get", "list", "watch"]),
        rule("events.k8s.io", "events", &["create", "patch"]),
        rule("coordination.k8s.io", "leases", &["get", "create", "update", "delete"]),
    ])
}

async fn grant(stage: &Stage, rules: Value) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "operator"}, "rules": rules,
    });
    let roles: Api<Role> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let apply = PatchParams::apply("test").force();
    roles.patch("operator", &apply, &Patch::Apply(role)).await.expect("a Role");
}

/// A stage whose operator is a ServiceAccount with all that it needs, but for that. Not started.
async fn without(missing: (&str, &[&str])) -> Stage {
    let mut stage = Stage::bare(&[]).await;
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "operator"}})).expect("an object");
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), &stage.namespace);
    accounts.create(&PostParams::default(), &account).await.expect("a ServiceAccount");
    grant(&stage, rules(missing)).await;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": stage.namespace}],
    }))
    .expect("an object");
    let bindings: Api<RoleBinding> = Api::namespaced(stage.client.clone(), &stage.namespace);
    bindings.create(&PostParams::default(), &binding).await.expect("a RoleBinding");
    let control_plane = &bed().control_plane;
    let kubeconfig = control_plane.kubeconfig_for_service_account(&stage.namespace, "operator").await;
    stage.act_as(kubeconfig.expect("a token for it"));
    stage
}

#[tokio::test]
async fn a_role_says_which_permission_its_operator_lacks_and_is_served_once_it_is_granted() {
    let mut stage = without(("secrets", &["create"])).await;
    stage.start().await;
    stage.config("tfc", json!({})).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    let role = stage.role_becomes("shop", "False", "MissingPermission").await;
    let stalled = condition(&role, "Stalled").expect("somebody has to act");
    let words = format!("may not create secrets in namespace {}: ", stage.namespace);
    assert!(stalled.message.contains(&words) && stalled.message.contains("rbac.create"), "{}", stalled.message);
    assert!(stalled.message.contains("watchNamespaces"), "{}", stalled.message);
    stage.told("shop", "MissingPermission").await;
    stage.alive_become(0).await;
    let minted = stage.tfc.minted().len();
    assert!(minted <= 1, "once it is known, a dry run comes before the next mint: {minted}");

    grant(&stage, rules(("", &[]))).await;
    // Its retry would come by itself, later.
    stage.annotate("shop", "rotate", "now").await;
    stage.issued("shop").await;
    stage.alive_become(1).await;
}

#[tokio::test]
async fn a_role_whose_secret_can_not_be_read_keeps_what_was_said_of_its_token() {
    let mut stage = without(("", &[])).await;
    stage.start().await;
    stage.config("tfc", json!({})).await;
    stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
    stage.issued("shop").await;
    grant(&stage, rules(("secrets", &["get"]))).await;
    stage.annotate("shop", "rotate", "1").await;
    let role = stage.role_until("shop", "to say that it stalls", |role| condition(role, "Stalled").is_some()).await;
    let stalled = condition(&role, "Stalled").expect("it was there");
    assert_eq!(stalled.reason, "MissingPermission");
    assert!(stalled.message.contains(&format!("may not get secrets in namespace {}", stage.namespace)), "{stalled:?}");
    assert_eq!(condition(&role, "Ready").map(|c| (c.status, c.reason)), Some(("True".into(), "Issued".into())));
    grant(&stage, rules(("", &[]))).await;
    stage.role_until("shop", "to be well again", |role| condition(role, "Stalled").is_none()).await;
    stage.alive_become(2).await;
}

#[tokio::test]
async fn a_config_says_which_permission_its_operator_lacks() {
    let mut stage = without(("secrets", &["patch"])).await;
    stage.start().await;
    stage.secret("tfc-admin", "token", stage.ids.ci_token.expose()).await;
    let spec = json!({"address": stage.tfc.address(), "tokenSecretRef": {"name": "tfc-admin"}});
    stage.create_config("tfc", spec).await.expect("the config is admitted");
    let config = stage.config_becomes("tfc", "MissingPermission").await;
    let conditions = config.status.unwrap_or_default().conditions;
    let ready = Condition::find(&conditions, "Ready").expect("Ready is always there");
    assert!(ready.message.contains(&format!("may not patch secrets in namespace {}", stage.namespace)), "{ready:?}");
    stage.told("tfc", "MissingPermission").await;
    grant(&stage, rules(("", &[]))).await;
    stage.config_becomes("tfc", "Authenticated").await;
}

#[tokio::test]
async fn a_watch_that_is_not_allowed_is_said_in_the_log_and_by_the_probe_in_the_same_words_until_it_is() {
    let stage = without(("terraformcloudroles", &["watch"])).await;
    let operator = stage.armed("");
    let words =
        format!("the operator may not watch terraformcloudroles.terraformcloud.dev in namespace {}", stage.namespace);
    probe_says(&operator, &format!("not ready: {words}")).await;
    let log = operator.logs().expect("the log is readable");
    assert!(log.contains(&words) && log.contains("MissingPermission"), "{log}");
    grant(&stage, rules(("", &[]))).await;
    probe_says(&operator, "ok: leading").await;
}

async fn probe_says(operator: &Operator, words: &str) {
    wait_until(&format!("/readyz to say {words}"), SOON, async || {
        let said = operator.readyz().await.map_err(|error| error.to_string())?;
        if said.starts_with(words) { Ok(()) } else { Err(said) }
    })
    .await;
}
