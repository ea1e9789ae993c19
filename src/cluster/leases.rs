//! The Lease that says which role holds a slot: named after host and subject, held by a role's UID, never renewed.

use data_encoding::BASE32_NOPAD;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::call::Call;
use super::roles::FIELD_MANAGER;
use super::{Cluster, ClusterError};
use crate::api::names::{ANNOTATION_HOLDER, LABEL_MANAGED_BY, OPERATOR};

/// The holder of a slot's Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotHolder {
    /// UID of the role.
    pub uid: String,
    /// Its namespace and name.
    pub role: String,
}

impl Cluster {
    /// Takes the slot's Lease for a role, or says who holds it.
    pub async fn take_slot(
        &self,
        namespace: &str,
        (host, subject): (&str, &str),
        holder: &SlotHolder,
    ) -> Result<SlotHolder, ClusterError> {
        let name = lease_name(host, subject);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {
                "name": name,
                "labels": {LABEL_MANAGED_BY: OPERATOR},
                "annotations": {ANNOTATION_HOLDER: holder.role},
            },
            "spec": {"holderIdentity": holder.uid},
        });
        let create = Call::new(Method::POST, leases(namespace)).body(lease).query(FIELD_MANAGER);
        match self.call::<Value>(create).await {
            Ok(_) => return Ok(holder.clone()),
            Err(ClusterError::Conflict) => {}
            Err(error) => return Err(error),
        }
        let lease: Value = self.call(Call::new(Method::GET, format!("{}/{name}", leases(namespace)))).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let role = text(&lease["metadata"]["annotations"][ANNOTATION_HOLDER]);
        Ok(SlotHolder { uid: text(&lease["spec"]["holderIdentity"]), role })
    }

    /// Gives the slot's Lease back, if this role holds it.
    pub async fn release_slot(
        &self,
        namespace: &str,
        (host, subject): (&str, &str),
        uid: &str,
    ) -> Result<(), ClusterError> {
        let path = format!("{}/{}", leases(namespace), lease_name(host, subject));
        let lease: Value = match self.call(Call::new(Method::GET, path.clone())).await {
            Ok(lease) => lease,
            Err(ClusterError::NotFound) => return Ok(()),
            Err(error) => return Err(error),
        };
        if lease["spec"]["holderIdentity"].as_str() != Some(uid) {
            return Ok(());
        }
        let options = json!({"preconditions": {"resourceVersion": lease["metadata"]["resourceVersion"]}});
        match self.call::<Value>(Call::new(Method::DELETE, path).body(options)).await {
            Ok(_) | Err(ClusterError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn leases(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
}

fn lease_name(host: &str, subject: &str) -> String {
    let hash = BASE32_NOPAD.encode(&Sha256::digest(format!("{host}\0{subject}").as_bytes()));
    format!("{OPERATOR}-slot-{}", hash[..20].to_ascii_lowercase())
}
