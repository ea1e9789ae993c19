//! From flags to a process that leads: probes, the API server, who we are, the Lease.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::Value;
use tracing::{info, warn};

use super::Error;
use crate::accounts::Accounts;
use crate::act::World;
use crate::args::Settings;
use crate::cluster::{Cluster, ClusterError};
use crate::http::{self, Readiness, ReadyState};
use crate::leader::{self, Candidate, Leadership};
use crate::marker::{Installation, attempt};
use crate::metrics::Metrics;
use crate::signals::Shutdown;

/// Pause between two tries to reach the API server.
const PAUSE: Duration = Duration::from_secs(1);

/// What runs whether this process leads or not.
pub struct Process {
    /// What `/readyz` says.
    pub readiness: Readiness,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    cluster: Cluster,
    identity: String,
    salt: String,
    own_namespace: String,
}

/// A process that leads.
pub struct Leading {
    /// What the steps need.
    pub world: World,
    /// Salt of the digests by which a changed admin token is noticed.
    pub salt: String,
}

impl Process {
    /// Starts the probes and makes the client. The cluster is not asked yet.
    pub async fn start(settings: &Settings, shutdown: &Shutdown) -> Result<Process, Error> {
        let mut config = kube::Config::infer().await.map_err(|error| Error::NoCluster(error.to_string()))?;
        // A create that kube repeats by itself could report a conflict with its own first try.
        config.default_retry = false;
        let own_namespace = settings.pod_namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = kube::Client::try_from(config).map_err(|error| Error::NoCluster(error.to_string()))?;
        let identity = leader::identity(settings.pod_name.as_deref())?;
        let readiness = Readiness::starting("the API server has not been reached yet");
        let metrics = Metrics::new();
        metrics.leading(false);
        let probes = http::bind("--health-probe-bind-address", &settings.health_probe_bind_address).await?;
        let scrapes = http::bind("--metrics-bind-address", &settings.metrics_bind_address).await?;
        let routers = [http::health_router(readiness.clone()), http::metrics_router(metrics.clone())];
        for (listener, router) in [probes, scrapes].into_iter().zip(routers) {
            let stop = shutdown.clone();
            if let Some(listener) = listener {
                tokio::spawn(http::serve(listener, router, async move { stop.requested().await }));
            }
        }
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let cluster = Cluster::new(client, &identity);
        Ok(Process { readiness, metrics, cluster, identity, salt: attempt(random), own_namespace })
    }

    /// Waits until this process leads; `None` where it was asked to stop before.
    pub async fn lead(&self, settings: &Settings, shutdown: &Shutdown) -> Result<Option<Leading>, Error> {
        let waiting = async {
            let installation = self.installation(settings).await;
            self.crds_are_served().await;
            self.readiness.set(ReadyState::Standby);
            let leadership = match settings.leader_election {
                None => Leadership::always(),
                Some(timing) => {
                    info!(identity = self.identity, namespace = self.own_namespace, "standing by for the Lease");
                    let candidate = Candidate {
                        client: self.cluster.client(),
                        namespace: self.own_namespace.clone(),
                        identity: self.identity.clone(),
                        timing,
                    };
                    Leadership::acquire(candidate).await
                }
            };
            let leader = leadership.clone();
            let world = World {
                cluster: self.cluster.with_gate(Arc::new(move || leader.is_leader())),
                accounts: Accounts::default(),
                leadership,
                metrics: self.metrics.clone(),
                installation,
                own_namespace: self.own_namespace.clone(),
                settling_time: SignedDuration::try_from(settings.settling_time).unwrap_or(SignedDuration::from_mins(2)),
                random: |bytes| getrandom::fill(bytes).is_ok(),
            };
            Leading { world, salt: self.salt.clone() }
        };
        tokio::select! {
            leading = waiting => Ok(Some(leading)),
            () = shutdown.requested() => Ok(None),
        }
    }

    /// Who we are: as told, else the cluster's oldest UID with the operator's own place in it.
    async fn installation(&self, settings: &Settings) -> Installation {
        if let Some(id) = &settings.installation_id {
            return Installation::new(id);
        }
        let uid = self
            .until(
                "the namespace kube-system can't be read (needs get on namespaces, or --installation-id)",
                || async {
                    let namespace: Value = self.cluster.get_path("/api/v1/namespaces/kube-system").await?;
                    namespace["metadata"]["uid"].as_str().map(str::to_owned).ok_or(ClusterError::NotFound)
                },
            )
            .await;
        Installation::new(&format!("{uid}/{}/{}", self.own_namespace, crate::api::names::OPERATOR))
    }

    async fn crds_are_served(&self) {
        let path = "/apis/terraformcloud.dev/v1alpha1";
        self.until(
            "terraformcloud.dev/v1alpha1 is not served: install the CRDs with kubectl apply -f crds/",
            || async {
                let resources: Value = self.cluster.get_path(path).await?;
                let served = resources["resources"].as_array().into_iter().flatten().filter_map(|r| r["name"].as_str());
                let both =
                    served.filter(|name| ["terraformcloudroles", "terraformcloudconfigs"].contains(name)).count() == 2;
                both.then_some(()).ok_or(ClusterError::NotFound)
            },
        )
        .await;
    }

    async fn until<T, F: Future<Output = Result<T, ClusterError>>>(&self, waiting_for: &str, ask: impl Fn() -> F) -> T {
        let mut last = None;
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => {
                    self.readiness.set(ReadyState::Starting(format!("{waiting_for}: {error}")));
                    if last.as_ref() != Some(&error) {
                        warn!(%error, "{waiting_for}");
                    }
                    last = Some(error);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
