//! The operator runs under exactly the chart's rules: it uses each of them, asks for nothing else, and misses each that is gone.

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tfc_harness::wait_until;
use tfc_token_operator::api::Condition;

use super::granted::{Asked, Right, all_used, rights_of, rules};
use super::helm::{Helm, Rendered, args};
use crate::bed::Bed;
use crate::e2e::leader::leads;
use crate::objects::apply;
use crate::stage::{SOON, Setting, Stage};

/// Of no pods, and to be restarted with each token of the role `shop`.
fn workload(kind: &str, namespace: &str) -> Value {
    let pod = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}});
    let mut workload = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": "reads", "namespace": namespace, "annotations": {"terraformcloud.dev/restart-for": "shop"}},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": pod},
    });
    match kind {
        "Deployment" => workload["spec"]["replicas"] = json!(0),
        "StatefulSet" => (workload["spec"]["replicas"], workload["spec"]["serviceName"]) = (json!(0), json!("reads")),
        _ => {}
    }
    workload
}

/// What the operator serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// All namespaces.
    All,
    /// Its own alone, by `watchNamespaces`.
    One,
}

/// The stage's operator as the chart deploys it: as its ServiceAccount, with its arguments. `change` edits what is rendered.
struct Deployed<'a> {
    bed: &'a Bed,
    stage: Stage,
    rendered: Rendered,
    user: String,
}

impl<'a> Deployed<'a> {
    async fn new(bed: &'a Bed, scope: Scope, change: impl Fn(&mut Rendered)) -> Deployed<'a> {
        Deployed::with(bed, scope, json!({}), change).await
    }

    /// The same with further values.
    async fn with(bed: &'a Bed, scope: Scope, further: Value, change: impl Fn(&mut Rendered)) -> Deployed<'a> {
        let tenant = scope == Scope::All;
        let mut stage =
            Stage::bare_with(Setting { bed: Some(bed), everywhere: true, tenant, ..Setting::default() }).await;
        let mut values = json!({
            "crds": {"enabled": false},
            "rbac": {"aggregateClusterRoles": false},
            "rolloutRestart": {"enabled": true},
        });
        for (key, value) in further.as_object().into_iter().flatten() {
            values[key] = value.clone();
        }
        if scope == Scope::One {
            values["watchNamespaces"] = json!([stage.namespace]);
        }
        let text = Helm::new().template(&["--namespace", &stage.namespace, "--no-hooks"], &values);
        let mut rendered = Rendered::parse(&text.unwrap_or_else(|error| panic!("{error}")));
        change(&mut rendered);
        let kinds = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
        for object in rendered.0.iter().filter(|object| kinds.iter().any(|kind| object["kind"] == *kind)) {
            let applied = apply(&stage.client, object, false).await;
            assert!(applied.is_ok(), "{object}: {applied:?}");
        }
        let account = rendered.one("ServiceAccount")["metadata"]["name"].as_str().expect("a name");
        let kubeconfig = bed.control_plane.kubeconfig_for_service_account(&stage.namespace, account).await;
        let user = format!("system:serviceaccount:{}:{account}", stage.namespace);
        // The harness has its own ports; the simulator speaks http, and nothing here waits for an hour.
        let replaced = ["run", "--log-format=", "--metrics-", "--health-", "--sweep-", "--leader-elect-"];
        let mut flags = args(rendered.operator());
        flags.retain(|flag| !replaced.iter().any(|start| flag.starts_with(start)));
        flags.extend(["--insecure-allow-http", "--settling-time=2s", "--sweep-interval=2s"].map(str::to_owned));
        stage.deployed(kubeconfig.expect("a token for it"), flags);
        Deployed { bed, stage, rendered, user }
    }

    /// What the operator asked for so far.
    fn asked(&self) -> Asked {
        Asked::by(self.bed, &self.user)
    }

    /// Everything that people ask of the operator, without a look at what comes of it.
    async fn story_begins(&self) {
        let stage = &self.stage;
        let labels = json!({"team": "apps"});
        stage.label_tenant(labels.clone()).await;
        let ca = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": "none"},
            "metadata": {"name": "ca", "namespace": stage.namespace}});
        apply(&stage.client, &ca, false).await.expect("a ConfigMap");
        stage.secret("tfc-admin", "token", stage.ids.ci_token.expose()).await;
        let spec = json!({"address": stage.tfc.address(), "tokenSecretRef": {"name": "tfc-admin"}});
        let mut own = spec.clone();
        own["allow"] = json!([{"namespaces": {"from": "Selector", "selector": {"matchLabels": labels}},
            "users": ["me"], "organizations": ["acme"]}]);
        stage.create_config("tfc", own).await.expect("a config");
        let mut trusting = spec;
        trusting["caBundleRef"] = json!({"kind": "ConfigMap", "name": "ca"});
        stage.create_config("ca", trusting).await.expect("a config");
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            apply(&stage.client, &workload(kind, &stage.tenant), false).await.expect("a workload");
        }
        stage.role("shop", json!({"user": {"me": true}, "ttl": "1h"})).await;
        stage.role("org", json!({"organization": {"name": "acme"}})).await;
    }

    /// The rest of it.
    async fn story_ends(&self) {
        let stage = &self.stage;
        stage.config_becomes("ca", "InvalidCABundle").await;
        let first = crate::stage::token_id(&stage.issued("shop").await);
        stage.issued("org").await;
        stage.annotate("shop", "rotate", "1").await;
        stage.succeeded("shop", &first).await;
        for role in ["shop", "org"] {
            stage.delete_role(role).await;
            stage.role_goes(role).await;
        }
    }

    /// Every right was used, and nothing else was asked for. Ends the operator: a watch is told of when it is over.
    async fn used_what_it_has(&mut self) {
        self.stage.stop().await;
        let granted = rules(&self.rendered).into_iter().flat_map(rights_of).collect();
        all_used(self.bed, &[&self.user], &granted).await;
    }
}

#[tokio::test]
async fn the_operator_uses_every_right_of_the_chart_and_needs_no_other() {
    let bed = Bed::of_its_own().await;
    for scope in [Scope::All, Scope::One] {
        let mut deployed = Deployed::new(&bed, scope, |_| {}).await;
        deployed.stage.start().await;
        leads(deployed.stage.operator.as_ref().expect("it runs")).await;
        let standby = deployed.stage.replica().await;
        deployed.story_begins().await;
        deployed.story_ends().await;
        drop(standby);
        deployed.used_what_it_has().await;
    }
}

#[tokio::test]
async fn without_labels_of_namespaces_entries_for_others_admit_nobody_and_the_config_says_why() {
    let bed = Bed::of_its_own().await;
    for from in ["All", "Selector"] {
        let mut deployed =
            Deployed::with(&bed, Scope::One, json!({"namespaceLabels": false, "installationID": "ours"}), |_| {}).await;
        deployed.stage.start().await;
        let stage = &deployed.stage;
        let mut namespaces = json!({"from": from});
        if from == "Selector" {
            namespaces["selector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}});
        }
        stage.config("tfc", json!({"allow": [{"namespaces": namespaces, "users": ["me"]}]})).await;
        stage.role("shop", json!({"user": {"me": true}})).await;
        stage.role_becomes("shop", "False", "ConfigNotAvailable").await;
        let conditions = stage.configs().get("tfc").await.expect("it").status.unwrap_or_default().conditions;
        let stalled = Condition::find(&conditions, "Stalled").expect("it says so");
        assert_eq!(stalled.reason, "MissingPermission");
        assert!(stalled.message.contains("namespaceLabels"), "{}", stalled.message);
        stage.told("tfc", "MissingPermission").await;
        assert!(stage.tfc.minted().is_empty());
    }
}

#[tokio::test]
async fn every_rule_that_is_taken_away_is_missed() {
    let bed = Bed::of_its_own().await;
    let count = rules(&Deployed::new(&bed, Scope::One, |_| {}).await.rendered).len();
    assert!(count > 7, "few rules: {count}");
    let missed = stream::iter(0..count).map(|number| misses(&bed, number)).buffer_unordered(3);
    missed.collect::<Vec<()>>().await;
}

/// Without the rule of this number the API server refuses something that the rule would have granted.
async fn misses(bed: &Bed, number: usize) {
    let gone = std::sync::Mutex::new(Value::Null);
    let deployed = Deployed::new(bed, Scope::One, |rendered| {
        let is_role = |object: &&mut Value| object["kind"] == "ClusterRole" || object["kind"] == "Role";
        // In the order of `rules`.
        let mut roles: Vec<&mut Value> = rendered.0.iter_mut().filter(is_role).collect();
        roles.sort_by_key(|role| role["kind"] != "ClusterRole");
        let mut before = 0;
        for role in roles {
            let rules = role["rules"].as_array_mut().expect("rules");
            if number < before + rules.len() {
                *gone.lock().expect("no panic") = rules.remove(number - before);
                return;
            }
            before += rules.len();
        }
    })
    .await;
    let gone = gone.into_inner().expect("no panic");
    let lost = rights_of(&gone);
    // Two, so that one waits for the Lease.
    let replicas = [deployed.stage.launched(), deployed.stage.launched()];
    deployed.story_begins().await;
    wait_until(&format!("something to be refused without {gone}"), SOON, async || {
        let refused = deployed.asked().refused;
        let is_lost = |right: &Right| {
            lost.iter()
                .any(|lost| (&right.group, &right.resource, &right.verb) == (&lost.group, &lost.resource, &lost.verb))
        };
        if refused.iter().any(is_lost) { Ok(()) } else { Err(format!("refused: {refused:?}")) }
    })
    .await;
    drop(replicas);
}
