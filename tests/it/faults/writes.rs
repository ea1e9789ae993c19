//! Writes to the API server that are refused, get no answer, or land when their writer is long dead.

use std::path::Path;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tfc_harness::proxy::Proxy;
use tfc_harness::simulator::Gate;
use tfc_harness::wait_until;
use tfc_harness::webhook::Webhook;

use super::order::is_in_order;
use crate::bed::bed;
use crate::stage::{SOON, Setting, Stage, ready, token_id};

/// In the tests in which no write outlives its writer.
const SHORT: &str = "--settling-time=2s";

fn spec() -> Value {
    json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s"})
}

/// A stage whose operator reaches the API server by a wire, and whose namespace's writes of a resource a webhook is asked about.
struct Watched {
    stage: Stage,
    proxy: Proxy,
    webhook: Webhook,
    configuration: String,
}

impl Watched {
    async fn over(group: &str, resource: &str, settling: &str) -> Self {
        let proxy = Proxy::start(bed().control_plane.address()).await.expect("the proxy starts");
        let kubeconfig = bed().control_plane.kubeconfig_through(&proxy.address()).expect("a kubeconfig");
        let stage = staged(&kubeconfig, settling).await;
        let webhook = Webhook::start().await.expect("the webhook starts");
        let whole = webhook.configuration(&stage.namespace, group, resource);
        let whole: ValidatingWebhookConfiguration = serde_json::from_value(whole).expect("an object of the API");
        let all: Api<ValidatingWebhookConfiguration> = Api::all(stage.client.clone());
        all.create(&PostParams::default(), &whole).await.expect("a webhook");
        Self { stage, proxy, webhook, configuration: whole.name_any() }
    }

    /// Waits until the API server asks the webhook about Secrets.
    async fn is_asked(&self) {
        let probe = Secret {
            metadata: ObjectMeta { name: Some("probe".into()), ..ObjectMeta::default() },
            ..Secret::default()
        };
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        wait_until("the API server to ask", SOON, async || {
            let _ = self.stage.secrets().create(&dry, &probe).await;
            (self.webhook.asked() > 0).then_some(())
        })
        .await;
    }

    /// Waits until a write stands before the gate.
    async fn holds_more_than(&self, asked: u64) {
        wait_until("a write to be held", SOON, async || (self.webhook.asked() > asked).then_some(())).await;
    }

    async fn ends(self) {
        let all: Api<ValidatingWebhookConfiguration> = Api::all(self.stage.client.clone());
        all.delete(&self.configuration, &DeleteParams::default()).await.expect("the webhook can go");
    }
}

async fn staged(kubeconfig: &Path, settling: &str) -> Stage {
    let setting = Setting { flags: &[settling], kubeconfig: Some(kubeconfig), ..Setting::default() };
    Stage::set(setting, json!({})).await
}

#[tokio::test]
async fn a_webhook_that_refuses_the_secret_keeps_the_role_waiting_and_no_token_alive() {
    let watched = Watched::over("", "secrets", SHORT).await;
    watched.is_asked().await;
    watched.webhook.deny("no Secrets today");
    let stage = &watched.stage;
    stage.role("shop", spec()).await;
    let role = stage.role_becomes("shop", "False", "SecretRefused").await;
    assert!(ready(&role).expect("Ready").message.contains("no Secrets today"));
    stage.alive_become(0).await;
    watched.webhook.allow();
    is_in_order(stage).await;
    watched.ends().await;
}

#[tokio::test]
async fn an_operator_that_may_not_create_secrets_leaves_no_token_alive_and_goes_on_once_it_may() {
    let kubeconfig = bed().control_plane.tenant_kubeconfig_path();
    let mut stage =
        Stage::bare_with(Setting { flags: &[SHORT], kubeconfig: Some(&kubeconfig), ..Setting::default() }).await;
    let rules = |secrets: Value| {
        json!([
            {"apiGroups": ["terraformcloud.dev"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": ["", "events.k8s.io"], "resources": ["namespaces", "configmaps", "events"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": secrets},
        ])
    };
    let role =
        json!({"metadata": {"name": "operator"}, "rules": rules(json!(["get", "list", "watch", "patch", "delete"]))});
    let binding = json!({
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tenant"}],
    });
    let roles: Api<Role> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let bindings: Api<RoleBinding> = Api::namespaced(stage.client.clone(), &stage.namespace);
    let role = serde_json::from_value(role).expect("a Role");
    roles.create(&PostParams::default(), &role).await.expect("a Role");
    let binding = serde_json::from_value(binding).expect("a RoleBinding");
    bindings.create(&PostParams::default(), &binding).await.expect("a RoleBinding");
    stage.start().await;
    stage.config("tfc", json!({})).await;

    stage.role("shop", spec()).await;
    let refused = stage.role_becomes("shop", "False", "MissingPermission").await;
    assert!(ready(&refused).expect("Ready").message.contains("may not create secrets"));
    stage.alive_become(0).await;
    let more = Patch::Merge(json!({"rules": rules(json!(["*"]))}));
    roles.patch("operator", &PatchParams::default(), &more).await.expect("the Role can be changed");
    is_in_order(&stage).await;
}

#[tokio::test]
async fn a_secrets_write_without_an_answer_costs_no_token() {
    let watched = Watched::over("", "secrets", SHORT).await;
    watched.is_asked().await;
    let stage = &watched.stage;
    for (name, rotates) in [("first", false), ("again", true)] {
        if rotates {
            stage.role(name, spec()).await;
            stage.issued(name).await;
        }
        let (gate, asked) = (Gate::new(), watched.webhook.asked());
        watched.webhook.hold_next(&gate);
        match rotates {
            true => stage.annotate(name, "rotate", "1").await,
            false => drop(stage.role(name, spec()).await),
        }
        watched.holds_more_than(asked).await;
        // The operator hears nothing of what the API server makes of it.
        watched.proxy.close();
        gate.open();
        is_in_order(stage).await;
    }
    watched.ends().await;
}

/// The API server does not hear that the writer is dead, and writes.
#[tokio::test]
async fn a_secret_that_lands_when_its_writer_is_dead_has_won() {
    let mut watched = Watched::over("", "secrets", "--settling-time=20s").await;
    watched.is_asked().await;
    let (gate, asked) = (Gate::new(), watched.webhook.asked());
    watched.webhook.hold_next(&gate);
    watched.stage.role("shop", spec()).await;
    watched.holds_more_than(asked).await;
    watched.proxy.deafen();
    watched.stage.kill();
    let first = watched.stage.alive().remove(0).id;
    // Another operator mints, and may not write.
    watched.webhook.deny("not now");
    watched.stage.start().await;
    let stage = &watched.stage;
    stage.role_becomes("shop", "False", "SecretRefused").await;
    gate.open();
    stage.role_until("shop", "the first to have won", |role| crate::stage::current(role) == Some(first.clone())).await;
    watched.webhook.allow();
    is_in_order(stage).await;
    assert_eq!(token_id(&stage.issued("shop").await), first);
    watched.ends().await;
}

#[tokio::test]
async fn a_status_that_is_refused_or_gets_no_answer_costs_no_token() {
    let watched = Watched::over("terraformcloud.dev", "terraformcloudroles/status", SHORT).await;
    let stage = &watched.stage;
    stage.role("probe", spec()).await;
    stage.issued("probe").await;
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    wait_until("the API server to ask", SOON, async || {
        let nothing = Patch::Merge(json!({"status": {"renewAt": null}}));
        stage.roles().patch_status("probe", &dry, &nothing).await.expect("a dry run");
        (watched.webhook.asked() > 0).then_some(())
    })
    .await;
    // One write after the other of a first issuance and of the rotation after it.
    for write in 0..4 {
        for denied in [true, false] {
            let name = format!("shop-{write}-{denied}");
            let (gate, asked) = (Gate::new(), watched.webhook.asked());
            stage.role(&name, spec()).await;
            watched.holds_more_than(asked + write.min(1)).await;
            stage.annotate(&name, "rotate", "1").await;
            watched.holds_more_than(asked + write).await;
            if denied {
                watched.webhook.deny("not this one");
                stage.annotate(&name, "rotate", "2").await;
                watched.holds_more_than(asked + write + 1).await;
                watched.webhook.allow();
            } else {
                watched.webhook.hold_next(&gate);
                stage.annotate(&name, "rotate", "2").await;
                watched.holds_more_than(asked + write + 1).await;
                watched.proxy.close();
                gate.open();
            }
            is_in_order(stage).await;
        }
    }
    watched.ends().await;
}
