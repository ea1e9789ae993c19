//! Events in the namespace of the object they speak of. Losing one loses nothing: a failure is logged, and that is all.

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::debug;

use super::Cluster;
use super::call::Call;
use crate::api::names::OPERATOR;

/// How an event is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something happened as it should.
    Normal,
    /// Somebody may have to act.
    Warning,
}

/// The object that an event speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regarding {
    /// Kind, of our own group.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl Cluster {
    /// Publishes an event (events.k8s.io/v1).
    pub async fn event(&self, regarding: &Regarding, severity: Severity, reason: &str, action: &str, note: &str) {
        let at = Timestamp::now();
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": format!("{}.{:x}", regarding.name, at.as_nanosecond()), "namespace": regarding.namespace},
            "eventTime": format!("{at:.6}"),
            "reportingController": OPERATOR,
            "reportingInstance": &*self.instance,
            "action": action,
            "reason": reason,
            "type": if severity == Severity::Normal { "Normal" } else { "Warning" },
            "note": note.chars().take(1000).collect::<String>(),
            "regarding": {
                "apiVersion": "terraformcloud.dev/v1alpha1", "kind": regarding.kind,
                "namespace": regarding.namespace, "name": regarding.name, "uid": regarding.uid,
            },
        });
        let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", regarding.namespace);
        if let Err(error) = self.call::<Value>(Call::new(Method::POST, path).body(event)).await {
            debug!(namespace = regarding.namespace, name = regarding.name, reason, %error, "event not published");
        }
    }
}
