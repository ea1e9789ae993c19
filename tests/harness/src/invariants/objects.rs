//! From an object of the API server to what the checker needs of it. A Secret's value goes no further than here.

use data_encoding::BASE64;
use serde_json::Value;

use super::history::{Role, Secret, What};
use crate::simulator::Ledger;

/// A kind that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Role,
    Config,
    Secret,
    Lease,
    Event,
}

impl Kind {
    pub const ALL: [Kind; 5] = [Kind::Role, Kind::Config, Kind::Secret, Kind::Lease, Kind::Event];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Role => "TerraformCloudRole",
            Kind::Config => "TerraformCloudConfig",
            Kind::Secret => "Secret",
            Kind::Lease => "Lease",
            Kind::Event => "Event",
        }
    }

    /// Group, version and plural name.
    pub fn path(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Kind::Role => ("terraformcloud.dev", "v1alpha1", "terraformcloudroles"),
            Kind::Config => ("terraformcloud.dev", "v1alpha1", "terraformcloudconfigs"),
            Kind::Secret => ("", "v1", "secrets"),
            Kind::Lease => ("coordination.k8s.io", "v1", "leases"),
            Kind::Event => ("", "v1", "events"),
        }
    }
}

/// `NAMESPACE/NAME`.
pub(super) fn name(object: &Value) -> String {
    format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

/// What the object's new version says.
pub(super) fn written(kind: Kind, object: &Value, ledger: &Ledger) -> What {
    match kind {
        Kind::Role => What::Role(Box::new(role(object))),
        Kind::Secret => What::Secret(Secret { name: name(object), holds: held(object, ledger) }),
        Kind::Config | Kind::Lease | Kind::Event => What::Other(kind.name(), name(object)),
    }
}

/// What it means that the object is gone.
pub(super) fn gone(kind: Kind, object: &Value) -> What {
    match kind {
        Kind::Role => What::RoleGone(text(object, "/metadata/uid").to_owned()),
        Kind::Secret => What::SecretGone(name(object)),
        Kind::Config | Kind::Lease | Kind::Event => What::Other(kind.name(), name(object)),
    }
}

/// All of the object in which no value may stand: everything but a Secret's data.
pub(super) fn public_text(kind: Kind, object: &Value) -> String {
    match kind {
        Kind::Secret => object["metadata"].to_string(),
        _ => object.to_string(),
    }
}

fn role(object: &Value) -> Role {
    let list = |pointer: &str| object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let own_name = text(object, "/metadata/name");
    let secret = object.pointer("/spec/secret/name").and_then(Value::as_str).unwrap_or(own_name);
    Role {
        name: name(object),
        uid: text(object, "/metadata/uid").to_owned(),
        finalizer: list("/metadata/finalizers").any(|finalizer| finalizer == "terraformcloud.dev/revoke"),
        retain: text(object, "/spec/deletionPolicy") == "Retain",
        replace: text(object, "/spec/slot/ifOccupied") == "Replace",
        secret: format!("{}/{secret}", text(object, "/metadata/namespace")),
        says: list("/status/conditions").map(|condition| text(condition, "/reason").to_owned()).collect(),
        // A status that this can't read is none: its tokens then count as leaked.
        status: object.get("status").and_then(|status| serde_json::from_value(status.clone()).ok()).unwrap_or_default(),
    }
}

fn held(object: &Value, ledger: &Ledger) -> Option<String> {
    let bytes = BASE64.decode(object.pointer("/data/token")?.as_str()?.as_bytes()).ok()?;
    ledger.token_id_of_value(&String::from_utf8(bytes).ok()?)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
