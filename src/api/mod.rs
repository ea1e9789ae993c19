//! The types of the custom resources.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

/// The operator's CustomResourceDefinitions.
pub fn crds() -> Vec<CustomResourceDefinition> {
    Vec::new()
}
