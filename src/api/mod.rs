//! The Kubernetes API of the operator: group `terraformcloud.dev`, version `v1alpha1`.
//!
//! Types and names only: nothing here knows TFC, the cluster or the clock. The Rust types are laxer than the schema that
//! the API server enforces (unknown fields and values are read, not refused), so that one odd object in storage
//! never stops the controller.

pub mod condition;
pub mod config;
pub mod names;
pub mod record;
pub mod role;
pub mod secret_record;

pub use condition::{Condition, ConfigReason, RoleReason};
pub use config::{TerraformCloudConfig, TerraformCloudConfigSpec, TerraformCloudConfigStatus};
pub use record::{Answers, Intent, Record, Source};
pub use role::{TerraformCloudRole, TerraformCloudRoleSpec, TerraformCloudRoleStatus};
pub use secret_record::{Held, Pending, SecretRecord};
