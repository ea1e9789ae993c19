//! Watches of the Secrets and ConfigMaps that configs refer to: metadata only, one watch for each object, so that a changed admin
//! token or CA is picked up at once and no other Secret is seen.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use tokio::task::AbortHandle;
use tracing::debug;

use crate::accounts::ConfigKey;
use crate::api::TerraformCloudConfig;
use crate::api::config::CABundleKind;
use crate::controller::wakes::Wakes;
use crate::controller::watches::watching;

/// An object that configs refer to: kind, namespace, name.
type Reference = (CABundleKind, String, String);

/// The watches, and which configs each is for.
pub struct References {
    client: kube::Client,
    wake: Wakes<TerraformCloudConfig>,
    watched: Mutex<HashMap<Reference, Watched>>,
}

struct Watched {
    configs: Arc<Mutex<HashSet<ConfigKey>>>,
    task: AbortHandle,
}

impl References {
    /// Changes are sent to `wake`.
    pub fn new(client: kube::Client, wake: Wakes<TerraformCloudConfig>) -> Self {
        Self { client, wake, watched: Mutex::default() }
    }

    /// Watches what the config refers to now, and no longer what it referred to before.
    pub fn follow(&self, key: &ConfigKey, config: &TerraformCloudConfig) {
        let mut wanted = vec![(CABundleKind::Secret, key.0.clone(), config.spec.token_secret_ref.name.clone())];
        if let Some(ca) = &config.spec.ca_bundle_ref {
            wanted.push((ca.kind, key.0.clone(), ca.name.clone()));
        }
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        drop_interest(&mut watched, key, &wanted);
        for reference in wanted {
            let entry = watched.entry(reference.clone()).or_insert_with(|| self.start(reference));
            entry.configs.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        }
    }

    /// The config is gone.
    pub fn forget(&self, key: &ConfigKey) {
        drop_interest(&mut self.watched.lock().unwrap_or_else(PoisonError::into_inner), key, &[]);
    }

    fn start(&self, (kind, namespace, name): Reference) -> Watched {
        let configs: Arc<Mutex<HashSet<ConfigKey>>> = Arc::default();
        let (client, wake, interested) = (self.client.clone(), self.wake.clone(), configs.clone());
        let tell = move || {
            for key in interested.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                wake.send(&key.0, &key.1);
            }
        };
        let task = match kind {
            CABundleKind::Secret => tokio::spawn(watch::<Secret>(client, namespace, name, tell)),
            CABundleKind::ConfigMap | CABundleKind::Unknown => {
                tokio::spawn(watch::<ConfigMap>(client, namespace, name, tell))
            }
        };
        Watched { configs, task: task.abort_handle() }
    }
}

fn drop_interest(watched: &mut HashMap<Reference, Watched>, key: &ConfigKey, wanted: &[Reference]) {
    watched.retain(|reference, entry| {
        let mut configs = entry.configs.lock().unwrap_or_else(PoisonError::into_inner);
        if !wanted.contains(reference) {
            configs.remove(key);
        }
        let keep = !configs.is_empty();
        if !keep {
            entry.task.abort();
        }
        keep
    });
}

async fn watch<K>(client: kube::Client, namespace: String, name: String, tell: impl Fn())
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::namespaced(client, &namespace);
    let only = watching().fields(&format!("metadata.name={name}"));
    let mut events = watcher(api, only).default_backoff().boxed();
    let mut last: Option<Option<String>> = None;
    let mut listed = None;
    while let Some(event) = events.next().await {
        let seen = match event {
            Ok(watcher::Event::Init) => {
                listed = None;
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                listed = object.resource_version();
                continue;
            }
            Ok(watcher::Event::InitDone) => listed.take(),
            Ok(watcher::Event::Apply(object)) => object.resource_version(),
            Ok(watcher::Event::Delete(_)) => None,
            Err(error) => {
                debug!(namespace, name, %error, "watch of a config's reference");
                continue;
            }
        };
        // The first sight counts too: it may be later than what the config was checked with.
        if last.replace(seen.clone()).is_none_or(|last| last != seen) {
            tell();
        }
    }
}
