//! Watches that miss no version: each goes on from the revision that it saw last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::etcd::{Change, Ended, Entry, Etcd};
use super::history::{Person, Spill, What};
use super::merge::{Mark, Write};
use super::objects::{self, Kind};
use crate::Error;
use crate::simulator::Ledger;

/// Between two tries while the store is away.
const RETRY: Duration = Duration::from_millis(50);

/// All that was seen so far.
#[derive(Default)]
pub(super) struct Seen {
    pub ledgers: Vec<Ledger>,
    pub writes: Vec<Write>,
    pub marks: Vec<Mark>,
    pub spills: Vec<Spill>,
    pub people: Vec<Person>,
}

/// What the watches and the recorder share.
pub(super) struct Tape {
    /// Of the first simulator: whose clock counts.
    pub ledger: Ledger,
    seen: Mutex<Seen>,
}

impl Tape {
    pub fn new(ledger: Ledger) -> Self {
        let seen = Seen { ledgers: vec![ledger.clone()], ..Seen::default() };
        Self { ledger, seen: Mutex::new(seen) }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every simulator's.
    pub fn ledgers(&self) -> Vec<Ledger> {
        self.seen().ledgers.clone()
    }

    /// Notes which tokens' values stand in a text.
    pub fn search(&self, place: &str, text: &str) {
        let at = self.ledger.now();
        let found: Vec<String> = self.ledgers().iter().flat_map(|ledger| ledger.traced_in(text)).collect();
        self.seen().spills.extend(found.into_iter().map(|token| Spill { token, place: place.to_owned(), at }));
    }
}

/// One kind in one namespace.
pub(super) struct Watch {
    tape: Arc<Tape>,
    etcd: Etcd,
    kind: Kind,
    prefix: String,
    /// Each object as it was seen last, by key: its revision and value.
    objects: Mutex<BTreeMap<String, (u64, Vec<u8>)>>,
}

impl Watch {
    pub fn new(tape: Arc<Tape>, etcd: Etcd, kind: Kind, namespace: &str) -> Self {
        Self { tape, etcd, kind, prefix: kind.prefix(namespace), objects: Mutex::default() }
    }

    /// Notes what there is; the revision after which to watch. What a restored store has from before `since` is news of then.
    pub async fn list(&self, since: u64) -> Result<u64, Error> {
        let (entries, revision) = self.etcd.list(&self.prefix, false).await?;
        let mut gone = self.objects().clone();
        for entry in entries {
            gone.remove(&entry.key);
            self.put(entry, since);
        }
        for (key, (_, value)) in gone {
            self.delete(Entry { key, value, revision });
        }
        Ok(revision)
    }

    /// Notes each version after this revision, for ever.
    pub async fn follow(&self, mut revision: u64) {
        loop {
            if let Ended::Forgotten = self.stream(&mut revision).await {
                let since = revision + 1;
                self.note(since, What::Lapse(self.prefix.clone()));
                if let Ok(now) = self.list(since).await {
                    revision = now;
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn stream(&self, revision: &mut u64) -> Ended {
        let mut stream = match self.etcd.watch(&self.prefix, *revision + 1).await {
            Ok(stream) => stream,
            Err(ended) => return ended,
        };
        loop {
            let changes = match stream.next().await {
                Ok(changes) => changes,
                Err(ended) => return ended,
            };
            for change in changes {
                match change {
                    Change::Put(entry) => {
                        *revision = entry.revision;
                        self.put(entry, 0);
                    }
                    Change::Delete(entry) => {
                        *revision = entry.revision;
                        self.delete(entry);
                    }
                }
            }
        }
    }

    fn put(&self, entry: Entry, since: u64) {
        let Entry { key, value, revision } = entry;
        if self.objects().get(&key).is_some_and(|(seen, _)| *seen == revision) {
            return;
        }
        let name = name(&key);
        self.tape.search(&format!("{} {name}", self.kind.name()), &objects::public_text(self.kind, &value));
        self.note(revision.max(since), objects::written(self.kind, name, &value, &self.tape.ledgers()));
        // Only a role's last version is of use when it is gone. No value is kept.
        let value = if self.kind == Kind::Role { value } else { Vec::new() };
        self.objects().insert(key, (revision, value));
    }

    fn delete(&self, entry: Entry) {
        self.objects().remove(&entry.key);
        self.note(entry.revision, objects::gone(self.kind, name(&entry.key), &entry.value));
    }

    fn note(&self, revision: u64, what: What) {
        let at = self.tape.ledger.now();
        self.tape.seen().writes.push(Write { revision, at, what });
    }

    /// Whether all that stands in the store now has been seen.
    pub async fn is_up_to_date(&self) -> Result<bool, Error> {
        let (entries, _) = self.etcd.list(&self.prefix, true).await?;
        let objects = self.objects();
        let seen = |entry: &Entry| objects.get(&entry.key).is_some_and(|(revision, _)| *revision >= entry.revision);
        let none_gone = objects.keys().all(|key| entries.iter().any(|entry| entry.key == *key));
        Ok(entries.iter().all(seen) && none_gone)
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, (u64, Vec<u8>)>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `NAMESPACE/NAME` out of a key.
fn name(key: &str) -> &str {
    let mut slashes = key.rmatch_indices('/').skip(1);
    slashes.next().map_or(key, |(at, _)| &key[at + 1..])
}
