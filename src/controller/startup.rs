//! From flags to a process that leads: probes, the API server, who we are, the Lease.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tracing::{info, warn};

use super::Error;
use super::permissions::Permissions;
use crate::act::World;
use crate::args::Settings;
use crate::cluster::ClusterError;
use crate::http::{self, Readiness, ReadyState};
use crate::leader::{Leadership, Purpose, Standing};
use crate::metrics::Metrics;
use crate::place::Place;
use crate::signals::Shutdown;

/// Pause between two tries to reach the API server.
const PAUSE: Duration = Duration::from_secs(1);

/// What runs whether this process leads or not.
pub struct Process {
    /// What `/readyz` says.
    pub readiness: Readiness,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    place: Place,
}

/// A process that leads.
pub struct Leading {
    /// What the steps need.
    pub world: World,
    /// What the watches need.
    pub permissions: Permissions,
    /// Salt of the digests by which a changed admin token is noticed.
    pub salt: String,
}

impl Process {
    /// Starts the probes and makes the client. The cluster is not asked yet.
    pub async fn start(settings: &Settings, shutdown: &Shutdown) -> Result<Process, Error> {
        let place = Place::find(&settings.scope).await?;
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
        Ok(Process { readiness, metrics, place })
    }

    /// Waits until this process leads; `None` where it was asked to stop before.
    pub async fn lead(&self, settings: &Settings, shutdown: &Shutdown) -> Result<Option<Leading>, Error> {
        let waiting = async {
            let installation = self
                .until(
                    "the namespace kube-system can't be read (needs get on namespaces, or --installation-id)",
                    || self.place.installation(&settings.scope),
                )
                .await;
            self.crds_are_served().await;
            let place = &self.place;
            let permissions =
                Permissions::new(place.cluster.clone(), self.readiness.clone(), settings, &place.namespace);
            let mut missing = BTreeSet::new();
            permissions.check(&mut missing).await;
            tokio::spawn(permissions.clone().keep_asking(missing));
            self.readiness.set(ReadyState::Standby);
            let leadership = match settings.leader_election {
                None => Leadership::always(),
                Some(timing) => {
                    info!(
                        identity = self.place.identity,
                        namespace = self.place.namespace,
                        "standing by for the Lease"
                    );
                    let readiness = self.readiness.clone();
                    let heard = move |standing| {
                        readiness.set(match standing {
                            Standing::By => ReadyState::Standby,
                            Standing::Back => ReadyState::StandingBack,
                        });
                    };
                    Leadership::acquire(self.place.candidate(timing, Purpose::Serve, heard)).await
                }
            };
            let metrics = self.metrics.clone();
            let (settling, restart) = (settings.scope.settling_time, settings.rollout_restart);
            let world = self.place.world(leadership, installation, metrics, settling, restart);
            Leading { world, permissions, salt: self.place.salt.clone() }
        };
        tokio::select! {
            leading = waiting => Ok(Some(leading)),
            () = shutdown.requested() => Ok(None),
        }
    }

    async fn crds_are_served(&self) {
        let path = "/apis/terraformcloud.dev/v1alpha1";
        self.until(
            "terraformcloud.dev/v1alpha1 is not served: install the CRDs with kubectl apply -f crds/",
            || async {
                let resources: Value = self.place.cluster.get_path(path).await?;
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
