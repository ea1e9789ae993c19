//! What the watches and the Lease need: asked for at the start, and again when a watch is refused. What is missing stands in the log and
//! in `/readyz`, in the same words. The process works on all the same: what it may see is served.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::watcher;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::api::names::GROUP;
use crate::args::Settings;
use crate::cluster::{Cluster, Permission};
use crate::http::Readiness;

/// How often what is missing is asked for again.
const PAUSE: Duration = Duration::from_secs(5);
/// Questions asked at a time.
const AT_A_TIME: usize = 8;

/// What is needed, and who is told of what is missing.
#[derive(Clone)]
pub struct Permissions {
    cluster: Cluster,
    readiness: Readiness,
    needed: Vec<Permission>,
    doubted: Arc<Notify>,
}

impl Permissions {
    /// What a process with these settings needs, whose Lease stands in that namespace.
    pub fn new(cluster: Cluster, readiness: Readiness, settings: &Settings, own_namespace: &str) -> Self {
        let needed = needed(settings, own_namespace);
        Self { cluster, readiness, needed, doubted: Arc::default() }
    }

    /// Asks for all, and tells of what is missing; says whether nothing is.
    pub async fn check(&self, told: &mut BTreeSet<Permission>) -> bool {
        let questions: Vec<_> = self.needed.iter().map(|needed| self.cluster.lacks(needed)).collect();
        let answers: Vec<bool> = futures::stream::iter(questions).buffered(AT_A_TIME).collect().await;
        let lacking = self.needed.iter().zip(answers).filter(|(_, lacks)| *lacks);
        let missing: BTreeSet<Permission> = lacking.map(|(needed, _)| needed.clone()).collect();
        for permission in missing.difference(told) {
            warn!(reason = "MissingPermission", "{permission}");
        }
        if missing.is_empty() && !told.is_empty() {
            info!("all permissions that were missing are granted");
        }
        self.readiness.lack(missing.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        *told = missing;
        told.is_empty()
    }

    /// Asks again for what is missing; once nothing is, whenever a watch is refused.
    pub async fn keep_asking(self, mut told: BTreeSet<Permission>) {
        loop {
            if told.is_empty() {
                self.doubted.notified().await;
            } else {
                tokio::time::sleep(PAUSE).await;
            }
            self.check(&mut told).await;
        }
    }

    /// A watch said this: where it is a refusal, all is asked for again.
    pub fn hear<T>(&self, event: &watcher::Result<T>) {
        if event.as_ref().err().is_some_and(is_forbidden) {
            self.doubted.notify_one();
        }
    }
}

fn needed(settings: &Settings, own_namespace: &str) -> Vec<Permission> {
    let mut needed = Vec::new();
    for namespace in settings.scope.watched() {
        for resource in [(GROUP, "terraformcloudroles"), (GROUP, "terraformcloudconfigs"), ("", "secrets")] {
            needed.extend(["list", "watch"].map(|verb| Permission::new(verb, resource, namespace.as_deref())));
        }
    }
    if settings.leader_election.is_some() {
        let leases = ("coordination.k8s.io", "leases");
        needed.extend(["get", "create", "update"].map(|verb| Permission::new(verb, leases, Some(own_namespace))));
    }
    needed
}

/// The API server does not allow a watch.
pub fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.is_forbidden(),
        watcher::Error::WatchError(status) => status.is_forbidden(),
        _ => false,
    }
}
