//! What the API server refuses: bounds, required fields and CEL rules, each with a message that says the mend.
//!
//! `schemars` derives the shape from the Rust types, which are lax; the transforms here make it strict. Each is named in
//! the derive of its type (`#[schemars(transform = ...)]`), so that `crd()` gives the whole.

pub(super) mod cel;
pub(super) mod config;
pub(super) mod role;
pub(super) mod status;

use kube::core::{Message, Rule, validate};
use schemars::Schema;
use serde_json::{Map, Value, json};

/// Longest duration in characters: `99999h999999m9999999s` with room to spare.
pub(super) const DURATION: u64 = 32;
/// Longest name of a Kubernetes object (a DNS subdomain).
pub(super) const OBJECT_NAME: u64 = 253;
/// Longest name of a namespace (a DNS label), and longest value of a label.
pub(super) const LABEL: u64 = 63;
/// Longest id or name of TFC that is taken.
pub(super) const TFC_NAME: u64 = 128;

/// The schema of an object, being made strict.
pub(super) struct Strict<'a>(&'a mut Schema);

impl<'a> Strict<'a> {
    /// Starts from what `schemars` derived: null means absent (the API server drops it), so no field is nullable.
    pub(super) fn new(schema: &'a mut Schema) -> Self {
        if let Some(object) = schema.as_object_mut() {
            object.values_mut().for_each(clean);
        }
        Self(schema)
    }

    /// Fields that must be given: their derived default goes, or the API server would fill it in.
    pub(super) fn required(mut self, fields: &[&str]) -> Self {
        for field in fields {
            self.property(field, |schema| {
                schema.remove("default");
            });
        }
        self.set("required", json!(fields))
    }

    /// A keyword on the object itself.
    pub(super) fn set(self, keyword: &str, value: Value) -> Self {
        self.0.ensure_object().insert(keyword.into(), value);
        self
    }

    /// A rule over the object: refused unless `rule` holds.
    pub(super) fn rule(self, rule: impl Into<String>, message: impl Into<String>) -> Self {
        add_rule(self.0, Rule::new(rule).message(Message::Message(message.into())));
        self
    }

    /// The same, and the refusal names `field` of the object.
    pub(super) fn rule_at(self, field: &str, rule: impl Into<String>, message: impl Into<String>) -> Self {
        add_rule(self.0, Rule::new(rule).message(Message::Message(message.into())).field_path(format!(".{field}")));
        self
    }

    /// A rule over one field, for when it is there.
    pub(super) fn field_rule(mut self, field: &str, rule: impl Into<String>, message: impl Into<String>) -> Self {
        let rule = Rule::new(rule).message(Message::Message(message.into()));
        self.property(field, |schema| {
            let mut property = Schema::from(std::mem::take(schema));
            add_rule(&mut property, rule);
            *schema = std::mem::take(property.ensure_object());
        });
        self
    }

    /// Bounds of a string, in characters.
    pub(super) fn string(self, field: &str, min: u64, max: u64) -> Self {
        self.keywords(field, &[("minLength", json!(min)), ("maxLength", json!(max))])
    }

    /// Bounds of an integer.
    pub(super) fn integer(self, field: &str, min: i64, max: i64) -> Self {
        self.keywords(field, &[("minimum", json!(min)), ("maximum", json!(max))])
    }

    /// Bounds of a list of strings.
    pub(super) fn strings(self, field: &str, max_items: u64, max_length: u64) -> Self {
        self.inner(field, "items", max_length).keywords(field, &[("maxItems", json!(max_items))])
    }

    /// Bounds of a map of strings.
    pub(super) fn map(self, field: &str, max_properties: u64, max_length: u64) -> Self {
        self.inner(field, "additionalProperties", max_length)
            .keywords(field, &[("maxProperties", json!(max_properties))])
    }

    /// Keywords on one field.
    pub(super) fn keywords(mut self, field: &str, keywords: &[(&str, Value)]) -> Self {
        self.property(field, |schema| {
            schema.extend(keywords.iter().map(|(keyword, value)| ((*keyword).to_owned(), value.clone())));
        });
        self
    }

    fn inner(mut self, field: &str, keyword: &str, max_length: u64) -> Self {
        self.property(field, |schema| {
            if let Some(inner) = schema.get_mut(keyword).and_then(Value::as_object_mut) {
                inner.insert("maxLength".into(), json!(max_length));
            }
        });
        self
    }

    /// A field that does not exist is left alone; the unit tests notice what has no bound.
    fn property(&mut self, field: &str, edit: impl FnOnce(&mut Map<String, Value>)) {
        let properties = self.0.get_mut("properties").and_then(Value::as_object_mut);
        if let Some(property) = properties.and_then(|p| p.get_mut(field)).and_then(Value::as_object_mut) {
            edit(property);
        }
    }
}

/// A rule is plain strings: it always serialises.
fn add_rule(schema: &mut Schema, rule: Rule) {
    let _ = validate(schema, rule);
}

/// Each schema below: not nullable, its description without the source's line breaks (`kubectl explain` breaks lines
/// itself).
fn clean(schema: &mut Value) {
    drop_null(schema);
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    match schema {
        Value::Object(object) => object.values_mut().for_each(clean),
        Value::Array(array) => array.iter_mut().for_each(clean),
        _ => {}
    }
}

/// `type: [T, null]` and `anyOf: [T, null]`, as `schemars` writes an `Option`, become T.
fn drop_null(schema: &mut Value) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|t| t != "null");
        if let [one] = types.as_slice() {
            schema["type"] = one.clone();
        }
    }
    if let Some(Value::Array(any)) = schema.get_mut("anyOf") {
        any.retain(|s| s["type"] != "null");
        if let [one] = any.as_mut_slice() {
            let mut one = one.take();
            if let (Some(into), Some(from)) = (schema.as_object_mut(), one.as_object_mut()) {
                into.remove("anyOf");
                for (keyword, value) in std::mem::take(from) {
                    into.entry(keyword).or_insert(value);
                }
            }
        }
    }
}
