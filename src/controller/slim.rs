//! The slim projection of a role that the watch keeps: what says whether there is work, and what the metrics show. The whole role is
//! read when there is work to do. Ten thousand whole roles would be 158 MB, these are a sixth of it.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::Deserialize;

use crate::accounts::ConfigKey;
use crate::api::names::FINALIZER_REVOKE;
use crate::api::{Condition, Kind, RoleReason, Source, TerraformCloudRole};
use crate::cluster::meta::lean;

/// A role as the watch keeps it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Wire")]
pub struct Slim {
    /// Name, namespace, UID, resourceVersion and deletionTimestamp; nothing else.
    pub metadata: ObjectMeta,
    /// The config that it names.
    pub config: ConfigKey,
    /// Its tokens may have to be revoked: some are recorded, or our finalizer is on it and its config may be in use. Tenants can write
    /// the finalizer, so it says nothing of a role that was told that it may not use the config.
    pub held: bool,
    /// Status and reason of `Ready`; empty before the first.
    pub ready: (Cow<'static, str>, Cow<'static, str>),
    /// When its token expires, in seconds since 1970.
    pub expires_at: Option<i64>,
    /// Since when it is there, in seconds since 1970.
    pub created_at: i64,
    /// Of a role on a single slot: which, in the role's own words.
    pub slot: Option<Box<str>>,
    /// What is recorded of its tokens; `None` where nothing is.
    pub tokens: Option<Box<Tokens>>,
}

impl Slim {
    /// It has no token and is not on its way out: what there is to do for it can wait for what is more urgent.
    pub fn is_unserved(&self) -> bool {
        self.tokens.is_none() && self.metadata.deletion_timestamp.is_none()
    }

    /// It waits for a slot that another role holds.
    pub fn waits(&self) -> bool {
        self.ready.1 == RoleReason::Conflict.as_str()
    }
}

/// What is recorded of a role's tokens, by hashes: enough to tell a token that no record knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Whom they act for, as records hold it.
    pub subject: Box<str>,
    /// The one in the Secret, by its id, whoever says so.
    pub current: Option<u64>,
    /// All, the current one among them: by their id where it can be trusted, else by their attempt.
    known: Box<[u64]>,
}

impl Tokens {
    /// Whether a record explains this token.
    pub fn explain(&self, id: &str, attempt: &str) -> bool {
        self.known.contains(&hash(id)) || self.known.contains(&hash(attempt))
    }

    /// Whether this is the token in the Secret.
    pub fn is_current(&self, id: &str) -> bool {
        self.current == Some(hash(id))
    }
}

/// Not kept anywhere: the same within a process is enough.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// As much of a role as the projection needs, read without demands on the rest.
#[derive(Deserialize)]
struct Wire {
    #[serde(deserialize_with = "lean")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: WireSpec,
    #[serde(default)]
    status: Option<WireStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSpec {
    config_ref: crate::api::role::ConfigRef,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    conditions: Vec<Condition>,
    kind: String,
    subject: String,
    current: Option<WireRecord>,
    intent: Option<WireRecord>,
    predecessors: Vec<WireRecord>,
    unsettled: Vec<WireRecord>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireRecord {
    attempt: String,
    #[serde(rename = "tokenID")]
    token_id: Option<String>,
    subject: String,
    source: Source,
    expires_at: Option<Time>,
}

impl WireRecord {
    fn hash(&self) -> u64 {
        match &self.token_id {
            Some(id) if self.source == Source::Reply => hash(id),
            _ => hash(&self.attempt),
        }
    }
}

impl WireStatus {
    fn tokens(&self) -> Option<Box<Tokens>> {
        let rest = self.intent.iter().chain(&self.predecessors).chain(&self.unsettled);
        let all: Vec<&WireRecord> = self.current.iter().chain(rest).collect();
        let subject = all.first()?.subject.as_str().into();
        let known = all.iter().map(|record| record.hash()).collect();
        let current = self.current.as_ref().and_then(|record| record.token_id.as_deref()).map(hash);
        Some(Box::new(Tokens { subject, current, known }))
    }
}

impl From<Wire> for Slim {
    fn from(wire: Wire) -> Self {
        let namespace = wire.metadata.namespace.clone().unwrap_or_default();
        let reference = wire.spec.config_ref;
        let status = wire.status.unwrap_or_default();
        let tokens = status.tokens();
        let created = wire.metadata.creation_timestamp.as_ref();
        let ready = status.conditions.iter().find(|c| c.type_ == "Ready");
        let finalized = wire.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER_REVOKE);
        let refused = ready.is_some_and(|c| c.reason == RoleReason::ConfigNotAvailable.as_str());
        Slim {
            config: (reference.namespace.unwrap_or(namespace), reference.name),
            held: tokens.is_some() || finalized && !refused,
            ready: ready.map_or_else(Default::default, |c| (short(&c.status), short(&c.reason))),
            expires_at: status.current.and_then(|c| c.expires_at).map(|t| t.0.as_second()),
            slot: slot(&status.kind, &status.subject),
            created_at: created.map_or(0, |t| t.0.as_second()),
            tokens,
            metadata: ObjectMeta {
                name: wire.metadata.name,
                namespace: wire.metadata.namespace,
                uid: wire.metadata.uid,
                resource_version: wire.metadata.resource_version,
                deletion_timestamp: wire.metadata.deletion_timestamp,
                ..ObjectMeta::default()
            },
        }
    }
}

fn slot(kind: &str, subject: &str) -> Option<Box<str>> {
    let is_slot = [Kind::Organization, Kind::TeamLegacy].iter().any(|slot| slot.as_str() == kind);
    is_slot.then(|| format!("{kind}/{subject}").into())
}

/// The words that nearly all roles share are not stored ten thousand times.
fn short(word: &str) -> Cow<'static, str> {
    let known = ["True", "False"].into_iter().chain(RoleReason::ALL.iter().map(|r| r.as_str()));
    known.into_iter().find(|k| *k == word).map_or_else(|| Cow::Owned(word.to_owned()), Cow::Borrowed)
}

impl Resource for Slim {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind(dt: &()) -> Cow<'_, str> {
        TerraformCloudRole::kind(dt)
    }
    fn group(dt: &()) -> Cow<'_, str> {
        TerraformCloudRole::group(dt)
    }
    fn version(dt: &()) -> Cow<'_, str> {
        TerraformCloudRole::version(dt)
    }
    fn plural(dt: &()) -> Cow<'_, str> {
        TerraformCloudRole::plural(dt)
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
