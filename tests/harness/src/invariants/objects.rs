//! From an object as the store holds it to what the checker needs of it. A Secret's value goes no further than here.
//!
//! Custom objects are stored as JSON, built-in ones as protobuf, of which two fields are of interest.

use serde_json::Value;

use super::history::{Role, Secret, What};
use crate::simulator::Ledger;

/// A kind that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Where the API server keeps those of a namespace.
    pub fn prefix(self, namespace: &str) -> String {
        let kind = match self {
            Kind::Role => "terraformcloud.dev/terraformcloudroles",
            Kind::Config => "terraformcloud.dev/terraformcloudconfigs",
            Kind::Secret => "secrets",
            Kind::Lease => "leases",
            Kind::Event => "events",
        };
        format!("/registry/{kind}/{namespace}/")
    }
}

/// What a new version says. `name` is `NAMESPACE/NAME`.
pub(super) fn written(kind: Kind, name: &str, object: &[u8], ledgers: &[Ledger]) -> What {
    match kind {
        Kind::Role => What::Role(Box::new(role(name, object))),
        Kind::Secret => What::Secret(Secret { name: name.to_owned(), holds: held(object, ledgers) }),
        Kind::Config | Kind::Lease | Kind::Event => What::Other(kind.name(), name.to_owned()),
    }
}

/// What it means that an object is gone; `object` is its last version.
pub(super) fn gone(kind: Kind, name: &str, object: &[u8]) -> What {
    match kind {
        Kind::Role => What::RoleGone(role(name, object).uid),
        Kind::Secret => What::SecretGone(name.to_owned()),
        Kind::Config | Kind::Lease | Kind::Event => What::Other(kind.name(), name.to_owned()),
    }
}

/// All of an object in which no value may stand: everything but a Secret's data.
pub(super) fn public_text(kind: Kind, object: &[u8]) -> String {
    let bytes = match kind {
        Kind::Secret => message(object).and_then(|secret| fields(secret).find(|(field, _)| *field == 1)),
        _ => Some((0, object)),
    };
    bytes.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

fn role(name: &str, object: &[u8]) -> Role {
    let object: Value = serde_json::from_slice(object).unwrap_or_default();
    let list = |pointer: &str| object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let (namespace, own_name) = name.split_once('/').unwrap_or_default();
    let secret = object.pointer("/spec/secret/name").and_then(Value::as_str).unwrap_or(own_name);
    Role {
        name: name.to_owned(),
        uid: text(&object, "/metadata/uid").to_owned(),
        finalizer: list("/metadata/finalizers").any(|finalizer| finalizer == "terraformcloud.dev/revoke"),
        retain: text(&object, "/spec/deletionPolicy") == "Retain",
        replace: text(&object, "/spec/slot/ifOccupied") == "Replace",
        secret: format!("{namespace}/{secret}"),
        says: list("/status/conditions").map(|condition| text(condition, "/reason").to_owned()).collect(),
        // A status that this can't read is none: its tokens then count as leaked.
        status: object.get("status").and_then(|status| serde_json::from_value(status.clone()).ok()).unwrap_or_default(),
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Id of the token under `token`, in `Secret.data` (field 2, a map from string to bytes).
fn held(object: &[u8], ledgers: &[Ledger]) -> Option<String> {
    let entries = fields(message(object)?).filter(|(field, _)| *field == 2);
    let mut entries = entries.map(|(_, entry)| {
        let part = |wanted: u64| fields(entry).find(|(field, _)| *field == wanted).map(|(_, bytes)| bytes);
        (part(1), part(2))
    });
    let value = entries.find(|(key, _)| *key == Some(b"token"))?.1?;
    let value = std::str::from_utf8(value).ok()?;
    ledgers.iter().find_map(|ledger| ledger.token_id_of_value(value))
}

/// The object within its envelope: `k8s`, a zero, and `runtime.Unknown`, whose field 2 it is.
fn message(stored: &[u8]) -> Option<&[u8]> {
    let unknown = stored.strip_prefix(b"k8s\0")?;
    fields(unknown).find(|(field, _)| *field == 2).map(|(_, raw)| raw)
}

/// The fields of a protobuf message that have a length: number and content.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let tag = varint(&mut rest)?;
            match tag & 7 {
                0 => {
                    varint(&mut rest)?;
                }
                1 => rest = rest.get(8..)?,
                2 => {
                    let length = usize::try_from(varint(&mut rest)?).ok()?;
                    let (content, after) = rest.split_at_checked(length)?;
                    rest = after;
                    return Some((tag >> 3, content));
                }
                5 => rest = rest.get(4..)?,
                _ => return None,
            }
        }
    })
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field with a length.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).expect("short")];
        bytes.extend(content);
        bytes
    }

    #[test]
    fn a_stored_secrets_metadata_is_told_from_its_data() {
        let entry = [field(1, b"token"), field(2, b"the value")].concat();
        let secret = [field(1, b"metadata"), field(2, &entry), field(3, b"Opaque")].concat();
        let stored = [b"k8s\0".to_vec(), field(1, b"type"), field(2, &secret)].concat();
        assert_eq!(public_text(Kind::Secret, &stored), "metadata");
        let data: Vec<&[u8]> = fields(message(&stored).expect("a message")).map(|(_, content)| content).collect();
        assert_eq!(data, [b"metadata".as_slice(), &entry, b"Opaque"]);
        assert_eq!(message(b"{}"), None);
    }

    #[test]
    fn numbers_between_the_fields_are_skipped() {
        let bytes = [vec![0x08, 0x96, 0x01, 0x11], vec![0; 8], vec![0x1d], vec![0; 4], field(2, b"x")].concat();
        assert_eq!(fields(&bytes).collect::<Vec<_>>(), [(2, b"x".as_slice())]);
    }
}
