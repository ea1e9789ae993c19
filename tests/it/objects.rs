//! Any object, given to the API server as `kubectl apply --server-side` gives it.

use std::fs;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::runtime::{conditions, wait::Condition};
use kube::{Client, discovery};
use serde_json::Value;
use tfc_harness::wait_until;

use crate::stage::SOON;

/// Applies an object: fields that its kind does not know are refused.
///
/// # Panics
/// When the object has no kind that the API server knows, or no name.
pub async fn apply(client: &Client, object: &Value, dry_run: bool) -> kube::Result<DynamicObject> {
    let strict = PatchParams {
        dry_run,
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::apply("test").force()
    };
    let (api, name) = addressed(client, object).await;
    api.patch(&name, &strict, &Patch::Apply(object)).await
}

/// The API of an object's kind, in its namespace, and its name.
async fn addressed(client: &Client, object: &Value) -> (Api<DynamicObject>, String) {
    let types: TypeMeta = serde_json::from_value(object.clone()).expect("apiVersion and kind");
    let kind = GroupVersionKind::try_from(&types).expect("a kind");
    let (resource, _) = discovery::pinned_kind(client, &kind).await.expect("the API server knows the kind");
    let api = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    (api, object["metadata"]["name"].as_str().expect("a name").to_owned())
}

/// Installs the CRD of a file, and waits until its kind is served.
///
/// # Panics
/// When the file holds none, or it is refused.
pub async fn install_crd(client: &Client, path: &Path) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let crd: Value = serde_yaml::from_str(&text).expect("YAML");
    let name = apply(client, &crd, false).await.expect("the CRD is taken").metadata.name.expect("a name");
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    wait_until("the CRD to be established", SOON, async || {
        let crd = crds.get(&name).await.map_err(|error| error.to_string())?;
        let established = conditions::is_crd_established().matches_object(Some(&crd));
        established.then_some(()).ok_or_else(|| format!("{:?}", crd.status))
    })
    .await;
}
