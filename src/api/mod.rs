//! The Kubernetes API of the operator: group `terraformcloud.dev`, version `v1alpha1`.
//!
//! Types and names only: nothing here knows TFC, the cluster or the clock. The Rust types are laxer than the schema that
//! the API server enforces (unknown fields and values are read, not refused), so that one odd object in storage
//! never stops the controller.

pub mod condition;
pub mod config;
pub mod names;
pub mod reasons;
pub mod record;
pub mod reference;
pub mod role;
mod role_impl;
mod schema;
pub mod secret_record;
#[cfg(test)]
mod tests;
pub mod workload;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use condition::{Condition, merge_conditions};
pub use config::{TerraformCloudConfig, TerraformCloudConfigSpec, TerraformCloudConfigStatus};
pub use reasons::{ConfigReason, RoleReason, reasons_table};
pub use record::{Answers, Intent, Record, Source};
pub use reference::api_reference;
pub use role::{TerraformCloudRole, TerraformCloudRoleSpec, TerraformCloudRoleStatus};
pub use role_impl::Kind;
pub use secret_record::{Held, Pending, SecretRecord};
pub use workload::{Workload, WorkloadKind};

/// Both kinds, as they are installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![TerraformCloudConfig::crd(), TerraformCloudRole::crd()];
    for crd in &mut crds {
        // Labels in the derive would land on every object made from the types as well.
        let labels = crd.metadata.labels.get_or_insert_default();
        labels.insert("app.kubernetes.io/name".into(), names::OPERATOR.into());
    }
    crds
}

/// Name of the file that holds a CRD, e.g. `terraformcloudroles.yaml`.
pub fn crd_file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}.yaml", crd.spec.names.plural)
}
