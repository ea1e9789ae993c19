//! Bounds of what the operator writes itself: generous, so that a status is never refused for its length.

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::Strict;

/// Bound of a string in a status.
const STRING: u64 = 1024;
/// Bound of a list in a status; predecessors and unsettled attempts have their own, which the operator keeps.
const LIST: u64 = 1024;
/// The value of an annotation can be this long.
const ANNOTATION: u64 = 262_144;

/// `.status` of either kind: no defaults (the API server would write them), and a bound on all that has none.
pub(in crate::api) fn status(schema: &mut Schema) {
    let strict = Strict::new(schema).keywords(
        "conditions",
        &[
            ("x-kubernetes-list-type", json!("map")),
            ("x-kubernetes-list-map-keys", json!(["type"])),
            ("maxItems", json!(16)),
        ],
    );
    strict.0.ensure_object().values_mut().for_each(finish);
}

/// An entry of `.status.conditions`.
pub(in crate::api) fn condition(schema: &mut Schema) {
    Strict::new(schema)
        .required(&["type", "status", "reason", "message"])
        .string("type", 1, 316)
        .keywords("status", &[("enum", json!(["True", "False", "Unknown"]))])
        .string("reason", 1, 1024)
        .keywords("reason", &[("pattern", json!("^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"))])
        .string("message", 0, 32_768);
}

/// `.status.handled`, and what an intent answers: values of annotations, of any length that one can have.
pub(in crate::api) fn answers(schema: &mut Schema) {
    let strict = Strict::new(schema);
    ["rotate", "renew", "revoke", "configRevoke"]
        .iter()
        .fold(strict, |strict, field| strict.keywords(field, &[("maxLength", json!(ANNOTATION))]));
}

fn finish(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove("default");
            bound(object);
            object.values_mut().for_each(finish);
        }
        Value::Array(array) => array.iter_mut().for_each(finish),
        _ => {}
    }
}

fn bound(object: &mut Map<String, Value>) {
    let bounded = ["maxLength", "format", "enum", "const"].iter().any(|keyword| object.contains_key(*keyword));
    match object.get("type").and_then(Value::as_str) {
        Some("string") if !bounded => {
            object.insert("maxLength".into(), json!(STRING));
        }
        Some("array") => {
            object.entry("maxItems").or_insert(json!(LIST));
        }
        _ => {}
    }
}
