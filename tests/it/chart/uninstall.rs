//! `helm uninstall` with its hook. There is no node, so the test plays the kubelet for the hook's pod: it runs the real binary with the
//! pod's arguments, environment and ServiceAccount, and reports how it ended.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tfc_harness::invariants::Person;
use tfc_harness::wait_until;

use super::granted::{Right, all_used, rights_of, rules};
use super::helm::{Helm, Rendered, args, chart, env};
use crate::bed::Bed;
use crate::e2e::leader::leads;
use crate::objects::apply;
use crate::stage::{SOON, Setting, Stage};

/// A release in a stage's namespace, whose operator runs.
struct Release<'a> {
    bed: &'a Bed,
    stage: Stage,
    helm: Helm,
    values: String,
}

impl<'a> Release<'a> {
    async fn new(bed: &'a Bed, uninstall: Value) -> Release<'a> {
        let setting = Setting { bed: Some(bed), everywhere: true, ..Setting::default() };
        let mut stage = Stage::bare_with(setting).await;
        let helm = Helm::new();
        let values = helm.values(&json!({
            "crds": {"enabled": false},
            "watchNamespaces": [stage.namespace],
            "fullnameOverride": stage.namespace,
            "rbac": {"aggregateClusterRoles": false},
            "leaderElection": {"leaseDuration": "6s", "renewDeadline": "5s", "retryPeriod": "1s"},
            "extraEnv": [
                {"name": "TFC_TOKEN_OPERATOR_INSECURE_ALLOW_HTTP", "value": "true"},
                {"name": "TFC_TOKEN_OPERATOR_SETTLING_TIME", "value": "2s"},
            ],
            "uninstall": uninstall,
        }));
        let release = {
            let kubeconfig = bed.kubeconfig();
            let chart = chart();
            let words = ["install", "release", chart.to_str().expect("text"), "--values", &values];
            let here = ["--kubeconfig", kubeconfig.to_str().expect("text"), "--namespace", &stage.namespace];
            helm.run("helm", &[&words[..], &here[..]].concat(), None).expect("it is installed");
            let manifest = helm.run("helm", &[&["get", "manifest", "release"], &here[..]].concat(), None);
            Rendered::parse(&manifest.expect("its manifest"))
        };
        let kubeconfig = bed.control_plane.kubeconfig_for_service_account(&stage.namespace, &stage.namespace).await;
        let replaced = ["run", "--log-format=", "--metrics-", "--health-"];
        let mut flags = args(release.operator());
        flags.retain(|flag| !replaced.iter().any(|start| flag.starts_with(start)));
        flags.extend(["--insecure-allow-http", "--settling-time=2s"].map(str::to_owned));
        stage.deployed(kubeconfig.expect("a token for it"), flags);
        stage.start().await;
        leads(stage.operator.as_ref().expect("it runs")).await;
        stage.config("tfc", json!({"allow": [{"users": ["me"], "organizations": ["acme"]}]})).await;
        let ca = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": "none"},
            "metadata": {"name": "ca", "namespace": stage.namespace}});
        apply(&stage.client, &ca, false).await.expect("a ConfigMap");
        let trusting = json!({"address": stage.tfc.address(), "tokenSecretRef": {"name": "tfc-admin"}, "caBundleRef": {"kind": "ConfigMap", "name": "ca"}});
        stage.create_config("ca", trusting).await.expect("a config");
        stage.config_becomes("ca", "InvalidCABundle").await;
        for (name, spec) in
            [("shop", json!({"user": {"me": true}, "ttl": "1h"})), ("org", json!({"organization": {"name": "acme"}}))]
        {
            stage.role(name, spec).await;
            stage.issued(name).await;
        }
        Release { bed, stage, helm, values }
    }

    /// `helm uninstall`, with this test as the kubelet of its hook: helm's end, and what the hook said.
    async fn uninstall(&self) -> (Result<String, String>, String) {
        let kubeconfig = self.bed.kubeconfig();
        let words = ["uninstall", "release", "--timeout", "90s", "--kubeconfig", kubeconfig.to_str().expect("text")];
        let words = [&words[..], &["--namespace", &self.stage.namespace]].concat();
        let helm = || self.helm.run("helm", &words, None);
        std::thread::scope(|scope| {
            let helm = scope.spawn(helm);
            let kubelet =
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(self.run_the_hook()));
            (helm.join().expect("helm ends"), kubelet)
        })
    }

    async fn run_the_hook(&self) -> String {
        let namespace = &self.stage.namespace;
        let pods: Api<Pod> = Api::namespaced(self.stage.client.clone(), namespace);
        let of_hook = ListParams::default().labels("app.kubernetes.io/component=uninstall");
        let pod = wait_until("the hook's pod", SOON, async || {
            let found = pods.list(&of_hook).await.map_err(|error| error.to_string())?;
            let waits = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending");
            found.items.into_iter().find(waits).ok_or_else(|| "none that is pending".to_owned())
        })
        .await;
        let spec = serde_json::to_value(&pod.spec).expect("JSON");
        let account = spec["serviceAccountName"].as_str().expect("an account");
        let kubeconfig = self.bed.control_plane.kubeconfig_for_service_account(namespace, account).await;
        let container = &spec["containers"][0];
        let plain = env(container).into_iter().map(|(name, value)| (name, value.as_str().expect("text").to_owned()));
        let ended = tokio::process::Command::new(env!("CARGO_BIN_EXE_tfc-token-operator"))
            .env_clear()
            .envs(plain)
            .env("POD_NAMESPACE", namespace)
            .env("POD_NAME", pod.name_any())
            .env("KUBECONFIG", kubeconfig.expect("a token for it"))
            .args(args(container))
            .kill_on_drop(true)
            .output()
            .await
            .expect("it runs");
        let code = ended.status.code().unwrap_or(137);
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let state = json!({"terminated": {"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }}});
        let status = json!({"status": {"phase": phase, "containerStatuses": [{
            "name": container["name"], "image": container["image"], "imageID": "", "ready": false, "restartCount": 0, "state": state,
        }]}});
        pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await.expect("its status");
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr))
    }

    /// What the hook's roles grant.
    fn rights_of_the_hook(&self) -> BTreeSet<Right> {
        let chart = chart();
        let words = ["template", "release", chart.to_str().expect("text"), "--namespace", &self.stage.namespace];
        let text = self.helm.run("helm", &[&words[..], &["--values", &self.values]].concat(), None);
        let mut rendered = Rendered::parse(&text.expect("it renders"));
        rendered.0.retain(|object| object["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete");
        rules(&rendered).into_iter().flat_map(rights_of).collect()
    }

    async fn no_finalizer_is_left(&self) {
        for (name, finalizers) in [
            ("shop", self.stage.roles().get("shop").await.expect("the role").metadata.finalizers),
            ("org", self.stage.roles().get("org").await.expect("the role").metadata.finalizers),
            ("tfc", self.stage.configs().get("tfc").await.expect("the config").metadata.finalizers),
            ("tfc-admin", self.stage.secrets().get("tfc-admin").await.expect("the Secret").metadata.finalizers),
        ] {
            assert!(finalizers.unwrap_or_default().is_empty(), "{name}");
        }
    }

    /// The namespace with all that people wrote can be deleted though no operator is there.
    async fn namespace_goes(&self) {
        let namespaces: Api<Namespace> = Api::all(self.stage.client.clone());
        namespaces.delete(&self.stage.namespace, &DeleteParams::default()).await.expect("it can be deleted");
        wait_until("the namespace to go", SOON, async || match namespaces.get_opt(&self.stage.namespace).await {
            Ok(None) => Ok(()),
            Ok(Some(namespace)) => Err(format!("{:?}", namespace.status)),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uninstalling_does_with_the_tokens_as_the_policy_says_and_leaves_no_stuck_namespace() {
    let bed = Bed::of_its_own().await;
    let revoked = revokes(&bed).await;
    let released = releases(&bed).await;
    let account = |release: &Release<'_>| format!("system:serviceaccount:{0}:{0}-uninstall", release.stage.namespace);
    let rights = revoked.rights_of_the_hook().into_iter().chain(released.rights_of_the_hook()).collect();
    all_used(&bed, &[&account(&revoked), &account(&released)], &rights).await;
    for release in [revoked, released] {
        release.namespace_goes().await;
    }
}

async fn revokes(bed: &Bed) -> Release<'_> {
    let mut release = Release::new(bed, json!({"policy": "Revoke", "timeout": "60s"})).await;
    assert_eq!(release.stage.alive().len(), 2);
    let (helm, hook) = release.uninstall().await;
    assert!(helm.is_ok(), "{helm:?}: {hook}");
    release.stage.kill();
    assert!(release.stage.alive().is_empty(), "{hook}");
    release.no_finalizer_is_left().await;
    let jobs: Api<Job> = Api::namespaced(release.stage.client.clone(), &release.stage.namespace);
    wait_until("the hook's Job to go", SOON, async || match jobs.list(&ListParams::default()).await {
        Ok(left) if left.items.is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    release
}

/// The replicas have gone before, and their Lease with them.
async fn releases(bed: &Bed) -> Release<'_> {
    let mut release = Release::new(bed, json!({"policy": "Release", "timeout": "60s"})).await;
    let tokens = [release.stage.token("shop").await, release.stage.token("org").await];
    // That is what the policy is for: whoever deletes the role afterwards leaves its token alive.
    for role in ["shop", "org"] {
        release.stage.declare(Person::StrippedFinalizer, role);
    }
    release.stage.kill();
    let leases: Api<Lease> = Api::namespaced(release.stage.client.clone(), &release.stage.namespace);
    leases.delete("tfc-token-operator", &DeleteParams::default()).await.expect("the Lease");
    let (helm, hook) = release.uninstall().await;
    assert!(helm.is_ok(), "{helm:?}: {hook}");
    assert_eq!(release.stage.alive().len(), 2, "{hook}");
    for (name, token) in ["shop", "org"].iter().zip(tokens) {
        assert_eq!(release.stage.token(name).await, token);
        assert_eq!(release.stage.use_token(&token).await, 200);
    }
    release.no_finalizer_is_left().await;
    release
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uninstallation_that_fails_keeps_the_release_and_can_be_tried_again() {
    let bed = Bed::of_its_own().await;
    let mut release = Release::new(&bed, json!({"policy": "Revoke", "timeout": "8s"})).await;
    release.stage.tfc.down(tfc_harness::simulator::Outage::Refused).expect("it goes down");
    let (helm, hook) = release.uninstall().await;
    let words = helm.expect_err("TFC is out of reach");
    assert!(words.contains("uninstall"), "{words}: {hook}");
    let kept = release.stage.roles().get("shop").await.expect("the role").metadata.finalizers.unwrap_or_default();
    assert!(!kept.is_empty(), "its token lives: {hook}");
    release.stage.tfc.up().expect("it comes back");
    release.stage.issued("shop").await;
    let (helm, hook) = release.uninstall().await;
    assert!(helm.is_ok(), "{helm:?}: {hook}");
    release.stage.kill();
    assert!(release.stage.alive().is_empty(), "{hook}");
    release.no_finalizer_is_left().await;
}
