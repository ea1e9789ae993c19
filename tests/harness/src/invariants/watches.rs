//! Watches that miss no version: each goes on from the revision that it saw last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use serde_json::Value;

use super::history::{Lapse, Person, Spill};
use super::merge::{Mark, Write};
use super::objects::{self, Kind};
use crate::simulator::Ledger;

/// Between two tries while the API server is away.
const RETRY: Duration = Duration::from_millis(100);

/// All that was seen so far.
#[derive(Default)]
pub(super) struct Seen {
    pub writes: Vec<Write>,
    pub marks: Vec<Mark>,
    pub spills: Vec<Spill>,
    pub people: Vec<Person>,
    pub gaps: Vec<Lapse>,
}

/// What the watches and the recorder share.
pub(super) struct Tape {
    pub ledger: Ledger,
    seen: Mutex<Seen>,
}

impl Tape {
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, seen: Mutex::default() }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes which tokens' values stand in a text.
    pub fn search(&self, place: &str, text: &str) {
        let at = self.ledger.now();
        let found = self.ledger.traced_in(text);
        self.seen().spills.extend(found.into_iter().map(|token| Spill { token, place: place.to_owned(), at }));
    }
}

/// One kind in one namespace.
pub(super) struct Watch {
    tape: Arc<Tape>,
    kind: Kind,
    namespace: String,
    api: Api<DynamicObject>,
    /// The objects there are, by UID: as they were seen last.
    objects: Mutex<BTreeMap<String, Value>>,
}

impl Watch {
    pub fn new(tape: Arc<Tape>, client: Client, kind: Kind, namespace: &str) -> Self {
        let (group, version, plural) = kind.path();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version,
            kind: kind.name().into(),
            plural: plural.into(),
        };
        let api = Api::namespaced_with(client, namespace, &resource);
        Self { tape, kind, namespace: namespace.to_owned(), api, objects: Mutex::default() }
    }

    /// Notes what there is; the revision from which to watch.
    pub async fn list(&self) -> kube::Result<String> {
        let list = self.api.list(&ListParams::default()).await?;
        let revision = list.metadata.resource_version.clone().unwrap_or_default();
        let mut gone = self.objects().clone();
        for object in list.items {
            gone.remove(&object.uid().unwrap_or_default());
            self.note(object, false);
        }
        for (uid, mut object) in gone {
            object["metadata"]["resourceVersion"] = Value::from(revision.clone());
            self.objects().remove(&uid);
            self.write(&object, objects::gone(self.kind, &object));
        }
        Ok(revision)
    }

    /// Notes each version from this revision on, for ever.
    pub async fn follow(&self, mut revision: String) {
        loop {
            if let Err(lost) = self.stream(&mut revision).await {
                if lost {
                    let what = format!("{} of {}", self.kind.name(), self.namespace);
                    let at = self.tape.ledger.now();
                    self.tape.seen().gaps.push(Lapse { what, at });
                    while match self.list().await {
                        Ok(now) => {
                            revision = now;
                            false
                        }
                        Err(_) => true,
                    } {
                        tokio::time::sleep(RETRY).await;
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Until the connection ends; as an error where it broke: true if the revision is no longer to be had.
    async fn stream(&self, revision: &mut String) -> Result<(), bool> {
        let events = self.api.watch(&WatchParams::default().timeout(290), revision).await.map_err(is_expired)?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let (object, gone) = match event.map_err(is_expired)? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(bookmark) => {
                    revision.clone_from(&bookmark.metadata.resource_version);
                    continue;
                }
                WatchEvent::Error(status) => return Err(status.code == 410),
            };
            *revision = object.resource_version().unwrap_or_default();
            self.note(object, gone);
        }
        Ok(())
    }

    fn note(&self, object: DynamicObject, gone: bool) {
        let uid = object.uid().unwrap_or_default();
        let mut object = serde_json::to_value(&object).unwrap_or_default();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let known = self.objects().get(&uid).map(revision_of);
        if known == Some(revision_of(&object)) {
            return;
        }
        let what = match gone {
            true => objects::gone(self.kind, &object),
            false => objects::written(self.kind, &object, &self.tape.ledger),
        };
        let place = format!("{} {}", self.kind.name(), objects::name(&object));
        self.tape.search(&place, &objects::public_text(self.kind, &object));
        self.write(&object, what);
        if let Some(object) = object.as_object_mut() {
            object.retain(|key, _| key == "metadata");
        }
        match gone {
            true => self.objects().remove(&uid),
            false => self.objects().insert(uid, object),
        };
    }

    fn write(&self, object: &Value, what: super::What) {
        let (revision, at) = (revision_of(object), self.tape.ledger.now());
        self.tape.seen().writes.push(Write { revision, at, what });
    }

    /// Whether all that stands at the API server now has been seen.
    pub async fn is_up_to_date(&self) -> kube::Result<bool> {
        let list = self.api.list_metadata(&ListParams::default()).await?;
        let objects = self.objects();
        let seen = |uid: Option<String>, version: Option<String>| {
            let object = uid.and_then(|uid| objects.get(&uid));
            object.is_some_and(|object| revision_of(object) >= number(version.as_deref()))
        };
        let all_there = list.items.iter().all(|item| seen(item.uid(), item.resource_version()));
        let none_gone = objects.keys().all(|uid| list.items.iter().any(|item| item.uid().as_deref() == Some(uid)));
        Ok(all_there && none_gone)
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_expired(error: kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

fn revision_of(object: &Value) -> u64 {
    number(object.pointer("/metadata/resourceVersion").and_then(Value::as_str))
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}
