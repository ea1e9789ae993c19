//! Labels of namespaces, and which of them are being deleted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::Notify;
use tracing::warn;

use super::permissions::is_forbidden;
use super::watches::watching;
use crate::observe;

/// What is known of the namespaces.
#[derive(Clone, Default)]
pub struct Namespaces {
    known: Arc<RwLock<HashMap<String, observe::Namespace>>>,
    hidden: Arc<AtomicBool>,
    ready: Arc<Notify>,
}

impl Namespaces {
    /// What is known of a namespace; nothing where the operator may not read it.
    pub fn get(&self, name: &str) -> observe::Namespace {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| observe::Namespace { hidden: self.are_hidden(), ..observe::Namespace::default() })
    }

    /// The operator may not read them.
    pub fn are_hidden(&self) -> bool {
        self.hidden.load(Ordering::Relaxed)
    }

    /// Resolves once all are known, or it turned out that they can't be.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Keeps up with the namespaces, and tells `changed` of each that has other labels or goes, and `shown` when they may be read
    /// after all. With `only`, of those alone.
    pub async fn watch(self, client: kube::Client, only: Vec<String>, changed: impl Fn(&str), shown: impl Fn()) {
        let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
        let selectors: Vec<watcher::Config> = if only.is_empty() {
            vec![watching()]
        } else {
            only.iter().map(|name| watching().fields(&format!("metadata.name={name}"))).collect()
        };
        let mut waiting = selectors.len();
        let streams = selectors.into_iter().map(|config| watcher(api.clone(), config).default_backoff().boxed());
        let mut events = futures::stream::select_all(streams);
        let mut warned = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => self.learn(object, &changed),
                Ok(watcher::Event::Delete(object)) => {
                    let name = object.metadata.name.unwrap_or_default();
                    self.known.write().unwrap_or_else(PoisonError::into_inner).remove(&name);
                }
                Ok(watcher::Event::Init) => {}
                Ok(watcher::Event::InitDone) => {
                    if self.hidden.swap(false, Ordering::Relaxed) {
                        shown();
                    }
                    waiting = waiting.saturating_sub(1);
                    if waiting == 0 {
                        self.ready.notify_one();
                    }
                }
                Err(error) => {
                    // Anything else than a refusal passes; until then nothing is decided on labels that are not known.
                    if is_forbidden(&error) {
                        self.hidden.store(true, Ordering::Relaxed);
                        self.ready.notify_one();
                    }
                    if !std::mem::replace(&mut warned, true) {
                        warn!(%error, "namespaces can't be read: entries of spec.allow with from: Selector or All admit nobody (the chart grants list and watch on namespaces by namespaceLabels)");
                    }
                }
            }
        }
    }

    fn learn(&self, object: PartialObjectMeta<Namespace>, changed: &impl Fn(&str)) {
        let name = object.metadata.name.unwrap_or_default();
        let new = observe::Namespace {
            going: object.metadata.deletion_timestamp.is_some(),
            labels: Some(object.metadata.labels.unwrap_or_default()),
            hidden: false,
        };
        let old = self.known.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), new.clone());
        if old.as_ref() != Some(&new) {
            changed(&name);
        }
    }
}
