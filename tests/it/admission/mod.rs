//! What the API server refuses, rule by rule: each case is an object that passes and, next to it, one that does not, with
//! the words that say the mend.

mod config;
mod role;
mod update;

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};
use tfc_token_operator::api;

use crate::bed::bed;

/// A rule, by example. The specs are YAML, merged into the kind's smallest spec (null takes a field away).
pub struct Case {
    pub accepted: &'static str,
    pub refused: &'static str,
    pub says: &'static str,
}

/// Shorthand for the tables.
pub const fn case(accepted: &'static str, refused: &'static str, says: &'static str) -> Case {
    Case { accepted, refused, says }
}

/// A kind with its smallest spec.
pub struct Subject {
    pub kind: &'static str,
    pub plural: &'static str,
    pub spec: &'static str,
}

pub const ROLE: Subject = Subject {
    kind: "TerraformCloudRole",
    plural: "terraformcloudroles",
    spec: "{configRef: {name: tfc}, team: {organization: acme, name: apps}}",
};

pub const CONFIG: Subject = Subject {
    kind: "TerraformCloudConfig",
    plural: "terraformcloudconfigs",
    spec: "{tokenSecretRef: {name: tfc-admin}}",
};

impl Subject {
    pub fn api(&self, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource {
            group: "terraformcloud.dev".into(),
            version: "v1alpha1".into(),
            api_version: "terraformcloud.dev/v1alpha1".into(),
            kind: self.kind.into(),
            plural: self.plural.into(),
        };
        Api::namespaced_with(bed().client(), namespace, &resource)
    }

    /// The smallest object, with `patch` merged into its spec.
    pub fn object(&self, name: &str, patch: &str) -> DynamicObject {
        let mut spec = yaml(self.spec);
        merge(&mut spec, yaml(patch));
        let object = json!({
            "apiVersion": "terraformcloud.dev/v1alpha1", "kind": self.kind, "metadata": {"name": name}, "spec": spec,
        });
        serde_json::from_value(object).expect("an object")
    }

    /// Asks the API server about every case, by dry run, and reports all that went wrong at once.
    pub async fn check(&self, cases: &[Case]) {
        let api = self.api("default");
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let mut faults = Vec::new();
        for Case { accepted, refused, says } in cases {
            if let Err(error) = api.create(&dry_run, &self.object("a", accepted)).await {
                faults.push(format!("{accepted}\n    should be accepted: {error}"));
            }
            match api.create(&dry_run, &self.object("a", refused)).await.map_err(|error| error.to_string()) {
                Err(message) if message.contains(says) => {}
                Err(message) => faults.push(format!("{refused}\n    should say {says:?}: {message}")),
                Ok(_) => faults.push(format!("{refused}\n    should be refused: {says}")),
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

/// A rule that no case names would be one that nobody has seen refuse anything.
#[test]
fn every_rule_is_tried() {
    let mut tried: Vec<&str> = Vec::new();
    tried.extend(role::CASES.iter().chain(config::CASES).flat_map(|cases| cases.iter()).map(|case| case.says));
    tried.extend(update::ROLE_CHANGES.iter().chain(update::CONFIG_CHANGES).map(|change| change.says));
    tried.extend([role::LONG_NAME, role::LONG_DESCRIPTION]);
    let mut messages = Vec::new();
    for crd in api::crds() {
        collect_messages(&serde_json::to_value(crd).expect("a CRD is JSON"), &mut messages);
    }
    messages.retain(|message| !tried.iter().any(|says| message.contains(says)));
    assert!(messages.is_empty(), "no case for {messages:#?}");
}

fn collect_messages(schema: &Value, messages: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        messages.push(rule["message"].as_str().expect("every rule has a message").to_owned());
    }
    match schema {
        Value::Object(object) => object.values().for_each(|value| collect_messages(value, messages)),
        Value::Array(array) => array.iter().for_each(|value| collect_messages(value, messages)),
        _ => {}
    }
}

pub fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).expect("YAML")
}

/// JSON merge patch (RFC 7386).
pub fn merge(into: &mut Value, patch: Value) {
    match patch {
        Value::Object(patch) => {
            if !into.is_object() {
                *into = json!({});
            }
            for (key, value) in patch {
                if value.is_null() {
                    into.as_object_mut().expect("an object").remove(&key);
                } else {
                    merge(&mut into[key.as_str()], value);
                }
            }
        }
        value => *into = value,
    }
}
