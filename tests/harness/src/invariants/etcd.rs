//! The store behind the API server, by the JSON gateway that it serves: what stands, what is written, and its revision.
//!
//! It is asked rather than the API server, whose watches don't survive its own restart, and which is killed in tests.

use std::time::Duration;

use data_encoding::BASE64;
use reqwest::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;

/// For an answer; a watch has none.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A client of the store.
#[derive(Clone)]
pub(super) struct Etcd {
    http: reqwest::Client,
    url: String,
}

/// Why a watch ended.
pub(super) enum Ended {
    /// The connection did.
    Broken,
    /// Revisions up to this one have been forgotten.
    Forgotten,
}

/// A key and what it holds; nothing where it was asked for without, or is gone.
pub(super) struct Entry {
    pub key: String,
    pub value: Vec<u8>,
    pub revision: u64,
}

/// A change: to what stands now, or from what stood before.
pub(super) enum Change {
    Put(Entry),
    /// With the last value, and the revision of its end.
    Delete(Entry),
}

/// A watch of a prefix.
pub(super) struct Stream {
    response: Response,
    buffer: Vec<u8>,
}

impl Etcd {
    pub fn new(url: &str) -> Result<Self, Error> {
        let http = reqwest::Client::builder().no_proxy().build();
        let http = http.map_err(Error::while_trying("could not make an HTTP client"))?;
        Ok(Self { http, url: url.to_owned() })
    }

    /// The revision of the last write: what the API server's resourceVersions count.
    pub async fn revision(&self) -> Option<u64> {
        // A key that does not exist: the answer's head says it all.
        let (_, revision) = self.range(json!({"key": BASE64.encode(b"\0"), "count_only": true})).await.ok()?;
        Some(revision)
    }

    /// All entries of a prefix, and the revision at which they stand.
    pub async fn list(&self, prefix: &str, keys_only: bool) -> Result<(Vec<Entry>, u64), Error> {
        let (key, end) = bounds(prefix);
        self.range(json!({"key": key, "range_end": end, "keys_only": keys_only})).await
    }

    async fn range(&self, request: Value) -> Result<(Vec<Entry>, u64), Error> {
        let failed = || Error::while_trying::<reqwest::Error>("the store did not answer");
        let send = self.http.post(format!("{}/v3/kv/range", self.url)).timeout(TIMEOUT).json(&request).send();
        let reply: Range = send.await.map_err(failed())?.json().await.map_err(failed())?;
        let entries = reply.kvs.into_iter().map(|stored| stored.entry()).collect::<Option<_>>();
        let entries = entries.ok_or_else(|| Error::new("the store's answer makes no sense"))?;
        Ok((entries, number(&reply.header.revision)))
    }

    /// Watches a prefix from this revision on.
    pub async fn watch(&self, prefix: &str, from: u64) -> Result<Stream, Ended> {
        let (key, end) = bounds(prefix);
        let create = json!({"key": key, "range_end": end, "start_revision": from, "prev_kv": true});
        let request = self.http.post(format!("{}/v3/watch", self.url)).json(&json!({"create_request": create}));
        let response = request.send().await.map_err(|_| Ended::Broken)?;
        Ok(Stream { response, buffer: Vec::new() })
    }
}

impl Stream {
    /// The next changes, in order.
    pub async fn next(&mut self) -> Result<Vec<Change>, Ended> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return changes(&line);
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return Err(Ended::Broken),
            }
        }
    }
}

fn changes(line: &[u8]) -> Result<Vec<Change>, Ended> {
    let message: Message = serde_json::from_slice(line).map_err(|_| Ended::Broken)?;
    let result = message.result.ok_or(Ended::Broken)?;
    if result.compact_revision.is_some() {
        return Err(Ended::Forgotten);
    }
    if result.canceled {
        return Err(Ended::Broken);
    }
    let change = |event: Event| {
        let revision = number(&event.kv.mod_revision);
        if event.kind.as_deref() != Some("DELETE") {
            return event.kv.entry().map(Change::Put);
        }
        event.prev_kv?.entry().map(|entry| Change::Delete(Entry { revision, ..entry }))
    };
    result.events.into_iter().map(change).collect::<Option<_>>().ok_or(Ended::Broken)
}

/// First key, and the one after the last.
fn bounds(prefix: &str) -> (String, String) {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (BASE64.encode(prefix.as_bytes()), BASE64.encode(&end))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

/// The gateway writes numbers as texts, and leaves out what is empty.
#[derive(Deserialize)]
struct Range {
    header: Header,
    #[serde(default)]
    kvs: Vec<Stored>,
}

#[derive(Deserialize)]
struct Header {
    revision: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Stored {
    key: String,
    value: String,
    mod_revision: String,
}

impl Stored {
    fn entry(self) -> Option<Entry> {
        let key = String::from_utf8(BASE64.decode(self.key.as_bytes()).ok()?).ok()?;
        let value = BASE64.decode(self.value.as_bytes()).ok()?;
        Some(Entry { key, value, revision: number(&self.mod_revision) })
    }
}

#[derive(Deserialize)]
struct Message {
    result: Option<Changes>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Changes {
    events: Vec<Event>,
    canceled: bool,
    compact_revision: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Event {
    #[serde(rename = "type")]
    kind: Option<String>,
    kv: Stored,
    prev_kv: Option<Stored>,
}
