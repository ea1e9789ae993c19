//! The slim projection of a role that the watch keeps: what says whether there is work, and what the metrics show. The whole role is
//! read when there is work to do. Ten thousand whole roles would be 158 MB, these are a sixth of it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::Deserialize;

use crate::accounts::ConfigKey;
use crate::api::names::FINALIZER_REVOKE;
use crate::api::{Condition, TerraformCloudRole};

/// A role as the watch keeps it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire")]
pub struct Slim {
    /// Name, namespace, UID, resourceVersion and deletionTimestamp; nothing else.
    pub metadata: ObjectMeta,
    /// The config that it names.
    pub config: ConfigKey,
    /// Our finalizer is on it: its tokens may have to be revoked.
    pub held: bool,
    /// Status and reason of `Ready`; empty before the first.
    pub ready: (Cow<'static, str>, Cow<'static, str>),
    /// When its token expires, in seconds since 1970.
    pub expires_at: Option<i64>,
}

/// As much of a role as the projection needs, read without demands on the rest.
#[derive(Deserialize)]
struct Wire {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: Option<WireStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    config_ref: crate::api::role::ConfigRef,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    conditions: Vec<Condition>,
    current: Option<WireRecord>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireRecord {
    expires_at: Option<Time>,
}

impl From<Wire> for Slim {
    fn from(wire: Wire) -> Self {
        let namespace = wire.metadata.namespace.clone().unwrap_or_default();
        let reference = wire.spec.config_ref;
        let status = wire.status.unwrap_or_default();
        let ready = status.conditions.into_iter().find(|c| c.type_ == "Ready");
        Slim {
            config: (reference.namespace.unwrap_or(namespace), reference.name),
            held: wire.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER_REVOKE),
            ready: ready.map_or_else(Default::default, |c| (short(c.status), short(c.reason))),
            expires_at: status.current.and_then(|c| c.expires_at).map(|t| t.0.as_second()),
            metadata: ObjectMeta {
                name: wire.metadata.name,
                namespace: wire.metadata.namespace,
                uid: wire.metadata.uid,
                resource_version: wire.metadata.resource_version,
                deletion_timestamp: wire.metadata.deletion_timestamp,
                ..ObjectMeta::default()
            },
        }
    }
}

/// The words that nearly all roles share are not stored ten thousand times.
fn short(word: String) -> Cow<'static, str> {
    let known = ["True", "False"].into_iter().chain(crate::api::RoleReason::ALL.iter().map(|r| r.as_str()));
    known.into_iter().find(|k| *k == word).map_or(Cow::Owned(word), Cow::Borrowed)
}

impl Resource for Slim {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind(dt: &()) -> Cow<'_, str> {
        TerraformCloudRole::kind(dt)
    }
    fn group(dt: &()) -> Cow<'_, str> {
        TerraformCloudRole::group(dt)
    }
    fn version(dt: &()) -> Cow<'_, str> {
        TerraformCloudRole::version(dt)
    }
    fn plural(dt: &()) -> Cow<'_, str> {
        TerraformCloudRole::plural(dt)
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
