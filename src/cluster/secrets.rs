//! Secrets. A value leaves the API server only where the operator has to have it, and never comes back from a write.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use http::Method;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::call::Call;
use super::meta::lean;
use super::roles::FIELD_MANAGER;
use super::{Cluster, ClusterError};

/// A Secret without its values.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SecretMeta {
    /// Its metadata.
    #[serde(default, deserialize_with = "lean")]
    pub metadata: ObjectMeta,
}

/// A Secret with its values, wiped when dropped. Not `Debug`.
#[derive(Deserialize)]
pub struct SecretValue {
    /// Its metadata.
    #[serde(default, deserialize_with = "lean")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    data: BTreeMap<String, Zeroizing<String>>,
}

impl SecretValue {
    /// Names of its keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.data.keys().map(String::as_str)
    }

    /// The bytes of one key; `None` where it is missing.
    pub fn get(&self, key: &str) -> Option<Zeroizing<Vec<u8>>> {
        BASE64.decode(self.data.get(key)?.as_bytes()).ok().map(Zeroizing::new)
    }
}

fn path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/{name}")
}

impl Cluster {
    /// A Secret's metadata, from a consistent read; `None` where there is none.
    pub async fn secret(&self, namespace: &str, name: &str) -> Result<Option<SecretMeta>, ClusterError> {
        absent_as_none(self.call(Call::new(Method::GET, path(namespace, name)).metadata_only()).await)
    }

    /// A Secret with its values.
    pub async fn secret_value(&self, namespace: &str, name: &str) -> Result<Option<SecretValue>, ClusterError> {
        absent_as_none(self.call(Call::new(Method::GET, path(namespace, name))).await)
    }

    /// One key of a ConfigMap; `Ok(None)` where the object or the key is missing.
    pub async fn config_map_key(&self, namespace: &str, name: &str, key: &str) -> Result<Option<String>, ClusterError> {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
        let map: Option<Value> = absent_as_none(self.call(Call::new(Method::GET, path)).await)?;
        let text = map.as_ref().and_then(|map| map.get("data")).and_then(|data| data.get(key)).and_then(Value::as_str);
        Ok(text.map(str::to_owned))
    }

    /// Creates a Secret; `Conflict` where one of that name exists.
    pub async fn create_secret(
        &self,
        namespace: &str,
        secret: Value,
        dry_run: bool,
    ) -> Result<SecretMeta, ClusterError> {
        let path = format!("/api/v1/namespaces/{namespace}/secrets");
        self.call(Call::new(Method::POST, path).body(secret).query(query(dry_run)).metadata_only()).await
    }

    /// Changes a Secret on the resourceVersion that the patch names.
    pub async fn patch_secret(
        &self,
        namespace: &str,
        name: &str,
        patch: Value,
        dry_run: bool,
    ) -> Result<SecretMeta, ClusterError> {
        self.call(Call::new(Method::PATCH, path(namespace, name)).body(patch).query(query(dry_run)).metadata_only())
            .await
    }

    /// Deletes a Secret, if it is still the one observed; with a resourceVersion, as it was observed.
    pub async fn delete_secret(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        resource_version: Option<&str>,
    ) -> Result<(), ClusterError> {
        let options = json!({"preconditions": {"uid": uid, "resourceVersion": resource_version}});
        match self.call::<Value>(Call::new(Method::DELETE, path(namespace, name)).body(options).metadata_only()).await {
            Ok(_) | Err(ClusterError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn query(dry_run: bool) -> &'static str {
    if dry_run { "fieldManager=tfc-token-operator&dryRun=All" } else { FIELD_MANAGER }
}

fn absent_as_none<T>(result: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(ClusterError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
