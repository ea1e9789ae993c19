//! Any object, given to the API server as `kubectl apply --server-side` gives it.

use kube::api::{Api, DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::{Client, discovery};
use serde_json::Value;

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
