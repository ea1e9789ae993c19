//! Roles and configs: reads, status and finalizers. Each write names the resourceVersion it was decided on.

use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::call::Call;
use super::meta::lean;
use super::secrets::SecretMeta;
use super::{Cluster, ClusterError};
use crate::api::config::TerraformCloudConfigStatus;
use crate::api::{
    TerraformCloudConfig, TerraformCloudConfigSpec, TerraformCloudRole, TerraformCloudRoleSpec,
    TerraformCloudRoleStatus,
};

/// Where the objects of a kind stand, and what they are made of.
pub trait Kind: Sized {
    /// Part of the path: group, version and plural are fixed, the kind is not.
    const PLURAL: &'static str;
    /// `spec`.
    type Spec: DeserializeOwned;
    /// `status`.
    type Status: DeserializeOwned;

    /// The object of its parts.
    fn of(metadata: ObjectMeta, spec: Self::Spec, status: Option<Self::Status>) -> Self;
}

impl Kind for TerraformCloudRole {
    const PLURAL: &'static str = "terraformcloudroles";
    type Spec = TerraformCloudRoleSpec;
    type Status = TerraformCloudRoleStatus;

    fn of(metadata: ObjectMeta, spec: Self::Spec, status: Option<Self::Status>) -> Self {
        Self { metadata, spec, status }
    }
}

impl Kind for TerraformCloudConfig {
    const PLURAL: &'static str = "terraformcloudconfigs";
    type Spec = TerraformCloudConfigSpec;
    type Status = TerraformCloudConfigStatus;

    fn of(metadata: ObjectMeta, spec: Self::Spec, status: Option<Self::Status>) -> Self {
        Self { metadata, spec, status }
    }
}

/// An object as it comes.
#[derive(Deserialize)]
pub(super) struct Parts<Spec, Status> {
    #[serde(deserialize_with = "lean")]
    metadata: ObjectMeta,
    spec: Spec,
    #[serde(default = "none")]
    status: Option<Status>,
}

fn none<T>() -> Option<T> {
    None
}

impl<Spec, Status> Parts<Spec, Status> {
    /// The object of a kind.
    pub fn whole<K: Kind<Spec = Spec, Status = Status>>(self) -> K {
        K::of(self.metadata, self.spec, self.status)
    }
}

fn path<K: Kind>(namespace: &str, name: &str) -> String {
    format!("/apis/terraformcloud.dev/v1alpha1/namespaces/{namespace}/{}/{name}", K::PLURAL)
}

impl Cluster {
    /// Whatever stands at a path of the API.
    pub async fn get_path<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClusterError> {
        self.call(Call::new(Method::GET, path.to_owned())).await
    }

    /// A namespace's metadata.
    ///
    /// # Errors
    /// Where the API server could not be asked, or refuses.
    pub async fn namespace(&self, name: &str) -> Result<ObjectMeta, ClusterError> {
        let path = format!("/api/v1/namespaces/{name}");
        Ok(self.call::<SecretMeta>(Call::new(Method::GET, path).metadata_only()).await?.metadata)
    }

    /// The object as the API server holds it, from a consistent read; `None` where there is none.
    pub async fn get<K: Kind>(&self, namespace: &str, name: &str) -> Result<Option<K>, ClusterError> {
        match self.object(Call::new(Method::GET, path::<K>(namespace, name))).await {
            Ok(object) => Ok(Some(object)),
            Err(ClusterError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the difference between two statuses, on the resourceVersion observed. Fields that this version does not know stay.
    pub async fn patch_status<K: Kind, S: Serialize>(
        &self,
        (namespace, name, resource_version): (&str, &str, &str),
        old: &S,
        new: &S,
    ) -> Result<K, ClusterError> {
        let (old, new) = (serde_json::to_value(old), serde_json::to_value(new));
        let (Ok(old), Ok(new)) = (old, new) else {
            return Err(ClusterError::Unknown("the status could not be written as JSON".into()));
        };
        let body = json!({"metadata": {"resourceVersion": resource_version}, "status": difference(&old, &new)});
        let path = format!("{}/status", path::<K>(namespace, name));
        self.object(Call::new(Method::PATCH, path).body(body).query(FIELD_MANAGER)).await
    }

    /// Writes the finalizers, on the resourceVersion observed.
    pub async fn patch_finalizers<K: Kind>(
        &self,
        (namespace, name, resource_version): (&str, &str, &str),
        finalizers: &[String],
    ) -> Result<K, ClusterError> {
        let body = json!({"metadata": {"resourceVersion": resource_version, "finalizers": finalizers}});
        self.object(Call::new(Method::PATCH, path::<K>(namespace, name)).body(body).query(FIELD_MANAGER)).await
    }

    async fn object<K: Kind>(&self, call: Call<'_>) -> Result<K, ClusterError> {
        self.call::<Parts<K::Spec, K::Status>>(call).await.map(Parts::whole)
    }
}

pub(super) const FIELD_MANAGER: &str = "fieldManager=tfc-token-operator";

/// The JSON merge patch (RFC 7386) that leads from `old` to `new`. Lists are replaced whole.
fn difference(old: &Value, new: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (old, new) else { return new.clone() };
    let mut patch = Map::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in after {
        match before.get(key) {
            Some(same) if same == value => {}
            Some(other) => {
                patch.insert(key.clone(), difference(other, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_names_what_changed_and_nothing_else() {
        let old = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1, 2], "gone": true});
        let new = json!({"a": 1, "b": {"c": 4}, "e": [2], "come": {"x": 1}});
        let patch = json!({"b": {"c": 4, "d": null}, "e": [2], "come": {"x": 1}, "gone": null});
        assert_eq!(difference(&old, &new), patch);
        assert_eq!(difference(&new, &new), json!({}));
    }
}
