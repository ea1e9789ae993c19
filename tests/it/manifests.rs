//! The manifests in `deploy/` are taken by the API server as they are.

use std::fs;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery;
use serde::Deserialize;

use crate::bed::{bed, root};

#[tokio::test]
async fn the_operators_manifest_and_its_pods_are_accepted() {
    apply("deploy/operator.yaml").await;
    let deployments = Api::<Deployment>::namespaced(bed().client(), "tfc-token-operator");
    let deployment = deployments.get("tfc-token-operator").await.expect("it was applied");
    let template = deployment.spec.template;
    let metadata = ObjectMeta { name: Some("pod".into()), ..template.metadata.unwrap_or_default() };
    let pod = Pod { metadata, spec: template.spec, status: None };
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let pods = Api::<Pod>::namespaced(bed().client(), "tfc-token-operator");
    pods.create(&dry_run, &pod).await.expect("the namespace enforces `restricted`, and the pod keeps to it");
}

#[tokio::test]
async fn every_sample_is_accepted() {
    for namespace in ["tfc-platform", "shop"] {
        bed().create_namespace(namespace).await;
    }
    let samples = ["config", "role-user", "role-team", "role-team-legacy", "role-organization", "pod"];
    for sample in samples {
        apply(&format!("deploy/samples/{sample}.yaml")).await;
    }
    let there = fs::read_dir(root().join("deploy/samples")).expect("the folder of the samples").count();
    assert_eq!(there, samples.len(), "a sample is not tried here");
}

async fn apply(path: &str) {
    let text = fs::read_to_string(root().join(path)).expect(path);
    for document in serde_yaml::Deserializer::from_str(&text) {
        // A document of comments alone is null.
        let Some(object) = Option::<DynamicObject>::deserialize(document).expect(path) else { continue };
        let types = object.types.clone().expect("apiVersion and kind");
        let kind = GroupVersionKind::try_from(&types).expect("a kind");
        let (resource, _) =
            discovery::pinned_kind(&bed().client(), &kind).await.expect("the API server knows the kind");
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(bed().client(), namespace, &resource),
            None => Api::all_with(bed().client(), &resource),
        };
        let name = object.metadata.name.clone().expect("a name");
        let strict = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply("test")
        };
        let applied = api.patch(&name, &strict, &Patch::Apply(&object)).await;
        assert!(applied.is_ok(), "{path}, {name}: {applied:?}");
    }
}
