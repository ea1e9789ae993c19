//! Where this process stands: which cluster, in whose name, in which namespace.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;

use crate::accounts::Accounts;
use crate::act::World;
use crate::args::Scope;
use crate::cluster::{Cluster, ClusterError};
use crate::leader::{self, Candidate, Leadership, Purpose, Standing, Timing};
use crate::marker::{Installation, attempt};
use crate::metrics::Metrics;

/// Why a process has no place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// No cluster is configured.
    #[error("no cluster to talk to: {0}; set KUBECONFIG, or run in a pod with a ServiceAccount")]
    NoCluster(String),
    /// The machine's source of randomness failed.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
}

/// Where this process stands.
pub struct Place {
    /// The API server.
    pub cluster: Cluster,
    /// The operator's own namespace.
    pub namespace: String,
    /// This process among its like.
    pub identity: String,
    /// Salt of the digests by which a changed admin token is noticed.
    pub salt: String,
}

impl Place {
    /// Finds it out from the flags and what the kubeconfig or the ServiceAccount says. The cluster is not asked yet.
    ///
    /// # Errors
    /// Where no cluster is configured, or the machine has no randomness.
    pub async fn find(scope: &Scope) -> Result<Place, PlaceError> {
        let mut config = kube::Config::infer().await.map_err(|error| PlaceError::NoCluster(error.to_string()))?;
        // A create that kube repeats by itself could report a conflict with its own first try.
        config.default_retry = false;
        let namespace = scope.pod_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = kube::Client::try_from(config).map_err(|error| PlaceError::NoCluster(error.to_string()))?;
        let identity = leader::identity(scope.pod_name.as_deref())?;
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let cluster = Cluster::new(client, &identity);
        Ok(Place { cluster, namespace, identity, salt: attempt(random) })
    }

    /// Who we are: as told, else the cluster's oldest UID with the operator's own place in it.
    ///
    /// # Errors
    /// Where that UID can't be read.
    pub async fn installation(&self, scope: &Scope) -> Result<Installation, ClusterError> {
        if let Some(id) = &scope.installation_id {
            return Ok(Installation::new(id));
        }
        let namespace: Value = self.cluster.get_path("/api/v1/namespaces/kube-system").await?;
        let uid = namespace["metadata"]["uid"].as_str().ok_or(ClusterError::NotFound)?;
        Ok(Installation::new(&format!("{uid}/{}/{}", self.namespace, crate::api::names::OPERATOR)))
    }

    /// A candidate for the Lease.
    pub fn candidate(
        &self,
        timing: Timing,
        purpose: Purpose,
        heard: impl Fn(Standing) + Send + Sync + 'static,
    ) -> Candidate {
        Candidate {
            client: self.cluster.client(),
            namespace: self.namespace.clone(),
            identity: self.identity.clone(),
            timing,
            purpose,
            heard: Arc::new(heard),
        }
    }

    /// All that steps need, for as long as this process leads.
    pub fn world(
        &self,
        leadership: Leadership,
        installation: Installation,
        metrics: Metrics,
        settling_time: Duration,
        rollout_restart: bool,
    ) -> World {
        let leader = leadership.clone();
        World {
            cluster: self.cluster.with_gate(Arc::new(move || leader.is_leader())),
            accounts: Accounts::default(),
            leadership,
            metrics,
            installation,
            own_namespace: self.namespace.clone(),
            settling_time: SignedDuration::try_from(settling_time).unwrap_or(SignedDuration::from_mins(2)),
            rollout_restart,
            random: |bytes| getrandom::fill(bytes).is_ok(),
        }
    }
}
