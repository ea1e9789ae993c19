//! The API server: every read and write that the operator makes outside its watches.
//!
//! All goes through one door, `Cluster::call`, with a deadline on each call and no retry by itself: kube's own client would
//! repeat a create, and log the whole body of a reply that it can't parse, which for a Secret holds the token.

mod call;
pub mod events;
pub mod leases;
pub mod lists;
pub mod meta;
pub mod permission;
pub mod roles;
pub mod secrets;
pub mod workloads;

use std::sync::Arc;

use jiff::Timestamp;

pub use self::call::{ClusterError, Refusal};
pub use self::events::Severity;
pub use self::permission::Permission;
pub use self::roles::Kind;
pub use self::secrets::{SecretMeta, SecretValue};
use crate::clock::ServerClock;

/// A handle on the API server; clones share it.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    clock: Arc<ServerClock>,
    instance: Arc<str>,
    gate: Option<Gate>,
}

/// Asked right before each write is sent; `false`: nothing may be sent any more (a lost Lease).
pub type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

impl Cluster {
    /// Takes kube's client; `instance` names this process in events.
    pub fn new(client: kube::Client, instance: &str) -> Self {
        Self { client, clock: Arc::new(ServerClock::new()), instance: instance.into(), gate: None }
    }

    /// The same API server behind a gate that is asked right before each write.
    pub fn with_gate(&self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self.clone() }
    }

    /// kube's client, for the watches.
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The API server's time by its last `Date`; `None` before the first reply.
    pub fn now(&self) -> Option<Timestamp> {
        self.clock.now()
    }
}
