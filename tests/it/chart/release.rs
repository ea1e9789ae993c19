//! A release's life in a real cluster: install, upgrade, uninstall, and again.

use std::fs;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::Api;
use serde_json::{Value, json};
use tempfile::TempDir;
use tfc_harness::{ControlPlane, wait_until};
use tfc_token_operator::api::{self, TerraformCloudConfig};

use super::helm::{Helm, chart};
use crate::bed::programs;
use crate::objects::apply;
use crate::stage::SOON;

/// helm against one cluster.
struct Cluster {
    plane: ControlPlane,
    client: Client,
    helm: Helm,
}

impl Cluster {
    async fn new() -> Cluster {
        let plane = ControlPlane::start(&programs().expect("a test bed")).await.expect("the control plane starts");
        let client = plane.client();
        Cluster { plane, client, helm: Helm::new() }
    }

    fn helm(&self, args: &[&str]) -> Result<String, String> {
        let kubeconfig = self.plane.kubeconfig_path();
        let here = ["--kubeconfig", kubeconfig.to_str().expect("text"), "--namespace", "tfc-system"];
        self.helm.run("helm", &[args, &here].concat(), None)
    }

    fn must(&self, args: &[&str]) -> String {
        self.helm(args).unwrap_or_else(|error| panic!("helm {args:?}: {error}"))
    }

    /// The installed CRD's text of one field, by which versions are told apart.
    async fn described(&self) -> Vec<Value> {
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let mut found = Vec::new();
        for crd in api::crds() {
            let name = crd.metadata.name.expect("a name");
            let crd = crds.get(&name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            let crd = serde_json::to_value(crd).expect("JSON");
            found.push(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"].clone());
        }
        found
    }
}

/// The chart as a version before might have been: the kinds' descriptions are others.
fn before(folder: &TempDir) -> &Path {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            let target = to.join(entry.file_name().expect("a name"));
            if entry.is_dir() {
                copy(&entry, &target);
            } else {
                fs::copy(&entry, &target).expect("a copy");
            }
        }
    }
    copy(&chart(), folder.path());
    for crd in
        fs::read_dir(folder.path().join("files/crds")).expect("CRDs").map(|entry| entry.expect("an entry").path())
    {
        let mut crd_of_old: Value = serde_yaml::from_str(&fs::read_to_string(&crd).expect("text")).expect("YAML");
        crd_of_old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = json!("as it was");
        fs::write(&crd, serde_yaml::to_string(&crd_of_old).expect("YAML")).expect("it is written");
    }
    folder.path()
}

#[tokio::test]
async fn a_release_brings_its_crds_upgrades_them_and_leaves_them_with_what_people_wrote() {
    let cluster = Cluster::new().await;
    let folder = TempDir::with_prefix("tfc-chart-").expect("a folder");
    let (old, new) = (before(&folder).to_str().expect("text").to_owned(), chart().to_str().expect("text").to_owned());

    let notes = cluster.must(&["install", "tokens", &old, "--create-namespace"]);
    for step in ["kubectl -n tfc-system rollout status", "kind: TerraformCloudConfig", "kind: TerraformCloudRole"] {
        assert!(notes.contains(step), "{notes}");
    }
    assert_eq!(cluster.described().await, ["as it was", "as it was"]);
    let config: Value = json!({"apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudConfig",
        "metadata": {"name": "tfc", "namespace": "tfc-system"}, "spec": {"tokenSecretRef": {"name": "admin"}}});
    wait_until("the kind to be served", SOON, async || {
        apply(&cluster.client, &config, true).await.map_err(|error| error.to_string())
    })
    .await;
    apply(&cluster.client, &config, false).await.expect("a config");

    cluster.must(&["upgrade", "tokens", &new]);
    let now: Vec<Value> = api::crds()
        .into_iter()
        .map(|crd| {
            serde_json::to_value(crd).expect("JSON")["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"]
                .clone()
        })
        .collect();
    assert_eq!(cluster.described().await, now, "the CRDs follow the release");

    cluster.must(&["uninstall", "tokens", "--no-hooks"]);
    assert_eq!(cluster.described().await, now, "the CRDs are kept");
    let configs: Api<TerraformCloudConfig> = Api::namespaced(cluster.client.clone(), "tfc-system");
    configs.get("tfc").await.expect("and so is what people wrote");

    // Under the same name the release takes them over again; under another one, or after `kubectl apply`, it has to be told.
    cluster.must(&["install", "tokens", &new]);
    cluster.must(&["uninstall", "tokens", "--no-hooks"]);
    let refused = cluster.helm(&["install", "others", &new]).expect_err("the CRDs are of the former release");
    assert!(refused.contains("ownership"), "{refused}");
    cluster.must(&["install", "others", &new, "--take-ownership"]);
}
