//! The manifests in `deploy/` are taken by the API server as they are.

use std::fs;
use std::process::Command;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bed::{bed, programs, root};
use crate::objects::apply;

#[tokio::test]
async fn the_operators_manifest_and_its_pods_are_accepted() {
    let client = bed().client();
    let objects = documents("deploy/operator.yaml");
    for object in &objects {
        let applied = apply(&client, object, false).await;
        assert!(applied.is_ok(), "{} {}: {applied:?}", object["kind"], object["metadata"]["name"]);
    }
    let template = objects.iter().find_map(|object| object.pointer("/spec/template")).expect("a Deployment");
    let mut pod = json!({"metadata": {"name": "pod"}, "spec": template["spec"]});
    pod["metadata"]["labels"] = template["metadata"]["labels"].clone();
    let pod: Pod = serde_json::from_value(pod).expect("a Pod");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let pods = Api::<Pod>::namespaced(client, "tfc-token-operator");
    pods.create(&dry_run, &pod).await.expect("the namespace enforces `restricted`, and the pod keeps to it");
}

#[tokio::test]
async fn every_sample_is_accepted() {
    let client = bed().client();
    for namespace in ["tfc-platform", "shop"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        apply(&client, &namespace, false).await.expect("a namespace");
    }
    let samples = ["config", "role-user", "role-team", "role-team-legacy", "role-organization", "pod"];
    for sample in samples {
        for object in documents(&format!("deploy/samples/{sample}.yaml")) {
            let applied = apply(&client, &object, false).await;
            assert!(applied.is_ok(), "{sample}: {applied:?}");
        }
    }
    let there = fs::read_dir(root().join("deploy/samples")).expect("the folder of the samples").count();
    assert_eq!(there, samples.len(), "a sample is not tried here");
}

#[test]
fn kustomize_builds_both_folders_with_the_same_image() {
    let built = programs().expect("a test bed").join("kubectl");
    let kubectl = if built.is_file() { built } else { "kubectl".into() };
    let images = |folder: &str| -> Vec<String> {
        let output = Command::new(&kubectl).arg("kustomize").arg(root().join(folder)).output().expect("kubectl runs");
        assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines().filter_map(|line| line.trim().strip_prefix("image: ")).map(str::to_owned).collect()
    };
    let image = format!("tfc-token-operator:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(images("deploy"), [image.as_str()]);
    assert_eq!(images("deploy/uninstall"), [image.as_str()]);
}

fn documents(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(root().join(path)).expect(path);
    let documents = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).expect(path));
    // A document of comments alone is null.
    documents.filter(|document| !document.is_null()).collect()
}
