//! What the chart renders is taken by helm's linter, by kube-score, and by the real API server with its Pod Security admission.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tfc_harness::wait_until;

use super::helm::{Helm, NAMESPACE, chart, render};
use super::trial;
use crate::bed::{bed, programs};
use crate::objects::{apply, install_crd};
use crate::stage::SOON;

/// Checks of kube-score that are not taken, each with its reason.
const NOT_TAKEN: [&str; 4] = [
    // A tag is never moved, and a digest can be given: a registry that is down must not stop a restart.
    "container-image-pull-policy",
    // A CPU limit makes the operator late for no gain; the request is its share.
    "container-resources",
    // Nothing is written: the root is read-only and there is no volume of its own.
    "container-ephemeral-storage-request-and-limit",
    // The topology spread does the same, and by zone too.
    "deployment-has-host-podantiaffinity",
];

#[test]
fn helm_lints_it_strictly_with_all_values() {
    let helm = Helm::new();
    for (what, values) in trial::sets() {
        let values = helm.values(&values);
        let linted =
            helm.run("helm", &["lint", "--strict", chart().to_str().expect("text"), "--values", &values], None);
        assert!(linted.is_ok(), "{what}: {linted:?}");
    }
}

#[test]
fn kube_score_finds_nothing_but_what_is_meant() {
    let helm = Helm::new();
    let ignored: Vec<&str> = NOT_TAKEN.iter().flat_map(|check| ["--ignore-test", check]).collect();
    for (what, mut values) in trial::sets() {
        if what == "everything off" {
            // It asks for what is switched off there.
            values = json!({});
        }
        let text = helm.template(&[], &values).unwrap_or_else(|error| panic!("{what}: {error}"));
        let args = [&["score", "--output-format", "ci", "--exit-one-on-warning"], ignored.as_slice(), &["-"]].concat();
        let scored = helm.run("kube-score", &args, Some(&text));
        let faults = |words: &str| -> Vec<String> {
            words
                .lines()
                .filter(|line| !line.starts_with("[OK]") && !line.starts_with("[SKIPPED]"))
                .map(str::to_owned)
                .collect()
        };
        assert!(scored.is_ok(), "{what}: {:#?}", faults(&scored.unwrap_err()));
    }
}

/// Namespaces for the renderings, the release's own enforcing `restricted`, and the kinds of the Prometheus operator.
async fn prepare() {
    let client = bed().client();
    for name in [NAMESPACE, "tfc-platform", "shop"] {
        let mut namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        if name == NAMESPACE {
            namespace["metadata"]["labels"] = json!({
                "app.kubernetes.io/name": "tfc-token-operator",
                "pod-security.kubernetes.io/enforce": "restricted",
                "pod-security.kubernetes.io/enforce-version": "latest",
            });
        }
        apply(&client, &namespace, false).await.expect("a namespace");
    }
    let folder = programs().expect("a test bed").join("prometheus-operator-crds");
    for kind in ["servicemonitors", "podmonitors", "prometheusrules"] {
        install_crd(&client, &folder.join(format!("monitoring.coreos.com_{kind}.yaml"))).await;
    }
}

#[tokio::test]
async fn the_api_server_takes_every_object_by_its_own_schemas() {
    prepare().await;
    let client = bed().client();
    for (what, values) in trial::sets() {
        for object in render(&values).0 {
            let taken = apply(&client, &object, true).await;
            assert!(taken.is_ok(), "{what}: {} {}: {taken:?}", object["kind"], object["metadata"]["name"]);
        }
    }
}

/// Whether the API server would run this pod in the release's namespace, which enforces `restricted`.
async fn run(template: &Value) -> kube::Result<Pod> {
    let mut pod = json!({"metadata": {"name": "pod"}, "spec": template["spec"]});
    pod["metadata"]["labels"] = template["metadata"]["labels"].clone();
    // The accounts are not there: a dry run creates none.
    pod["spec"]["serviceAccountName"] = json!("default");
    let pod: Pod = serde_json::from_value(pod).expect("a Pod");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    Api::<Pod>::namespaced(bed().client(), NAMESPACE).create(&dry_run, &pod).await
}

#[tokio::test]
async fn every_pod_passes_the_restricted_standard() {
    prepare().await;
    wait_until("the namespace's default ServiceAccount", SOON, async || {
        let accounts = Api::<k8s_openapi::api::core::v1::ServiceAccount>::namespaced(bed().client(), NAMESPACE);
        accounts.get("default").await.map_err(|error| error.to_string())
    })
    .await;
    for (what, values) in trial::sets() {
        for template in render(&values).pods() {
            let taken = run(&template).await;
            assert!(taken.is_ok(), "{what}: {}: {taken:?}", template["spec"]["containers"][0]["name"]);
        }
    }
    // The namespace does enforce it.
    let hosts = render(&json!({"hostNetwork": true})).pods();
    let refused = run(&hosts[0]).await.expect_err("the host's network is not restricted");
    assert!(refused.to_string().contains("restricted"), "{refused}");
}
