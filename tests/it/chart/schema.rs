//! `values.schema.json` refuses what the chart does not know, and names it.

use std::fs;

use serde_json::{Map, Value, json};

use super::helm::{chart, refusal, render};

fn defaults() -> Value {
    let text = fs::read_to_string(chart().join("values.yaml")).expect("values.yaml");
    serde_yaml::from_str(&text).expect("YAML")
}

fn schema() -> Value {
    let text = fs::read_to_string(chart().join("values.schema.json")).expect("values.schema.json");
    serde_json::from_str(&text).expect("JSON")
}

/// The schema at a path of keys.
fn at<'a>(schema: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(schema, |schema, key| &schema["properties"][key])
}

/// Paths of all objects of the values that the schema closes, the whole of them first.
fn closed<'a>(values: &'a Value, schema: &Value, path: Vec<&'a str>, found: &mut Vec<Vec<&'a str>>) {
    let Value::Object(object) = values else { return };
    if at(schema, &path)["additionalProperties"] == json!(false) {
        found.push(path.clone());
        for (key, value) in object {
            closed(value, schema, [path.clone(), vec![key.as_str()]].concat(), found);
        }
    }
}

fn nested(path: &[&str], value: Value) -> Value {
    path.iter().rev().fold(value, |value, key| json!({*key: value}))
}

fn merged(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merged(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[test]
fn a_typo_is_refused_by_its_name_wherever_it_stands() {
    let (values, schema) = (defaults(), schema());
    let mut places = Vec::new();
    closed(&values, &schema, Vec::new(), &mut places);
    assert!(places.len() > 20, "few closed objects: {places:?}");
    // One run tells all: each typo has a name of its own.
    let mut typos = json!({});
    for (number, place) in places.iter().enumerate() {
        merged(&mut typos, nested(place, json!({format!("typo{number}"): true})));
    }
    let words = refusal(&typos);
    for (number, place) in places.iter().enumerate() {
        let said = words.lines().any(|line| {
            line.contains(&format!("'typo{number}'")) && line.contains(&format!("'/{}'", place.join("/")))
                || place.is_empty() && line.contains(&format!("'typo{number}'"))
        });
        assert!(said, "nothing of typo{number} in {place:?}: {words}");
    }
}

#[test]
fn every_value_is_in_the_schema_and_every_property_has_a_default() {
    fn differences(values: &Map<String, Value>, schema: &Value, path: &str, found: &mut Vec<String>) {
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        for (key, value) in values {
            let Some(property) = properties.get(key) else {
                found.push(format!("{path}{key} has no schema"));
                continue;
            };
            if let (Value::Object(value), true) = (value, property["additionalProperties"] == json!(false)) {
                differences(value, property, &format!("{path}{key}."), found);
            }
        }
        // What Kubernetes defines is taken whole, without defaults of each field; the rest is the chart's own.
        let kubernetes =
            ["podSecurityContext.", "securityContext.", "strategy.", "affinity.", "resources.", "uninstall.resources."];
        let for_parents = ["global", "enabled"];
        for key in properties.keys().filter(|key| !values.contains_key(*key)) {
            let is_for_parents = path.is_empty() && for_parents.contains(&key.as_str());
            if !is_for_parents && !kubernetes.iter().any(|whole| path.starts_with(whole)) {
                found.push(format!("{path}{key} has no default"));
            }
        }
    }
    let (values, schema) = (defaults(), schema());
    let mut found = Vec::new();
    differences(values.as_object().expect("an object"), &schema, "", &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn values_of_a_parent_chart_are_let_through() {
    render(&json!({"global": {"anything": [1]}, "enabled": true}));
}

#[test]
fn a_bad_value_is_refused_with_the_words_of_the_mend() {
    let cases = [
        (json!({"replicaCount": "two"}), "/replicaCount"),
        (json!({"replicaCount": 0}), "/replicaCount"),
        (json!({"image": {"digest": "latest"}}), "/image/digest"),
        (json!({"image": {"pullPolicy": "Sometimes"}}), "/image/pullPolicy"),
        (json!({"crds": {"keep": "yes"}}), "/crds/keep"),
        (json!({"watchNamespaces": "shop"}), "/watchNamespaces"),
        (json!({"watchNamespaces": ["Shop"]}), "/watchNamespaces/0"),
        (json!({"watchNamespaces": ["shop", "shop"]}), "/watchNamespaces"),
        (json!({"installationID": "-prod"}), "/installationID"),
        (json!({"allowedAddresses": ["https://app.terraform.io"]}), "/allowedAddresses/0"),
        (json!({"uninstall": {"policy": "Keep"}}), "/uninstall/policy"),
        (json!({"uninstall": {"timeout": "5 minutes"}}), "/uninstall/timeout"),
        (json!({"sweepInterval": "1d"}), "/sweepInterval"),
        (json!({"logFormat": "xml"}), "/logFormat"),
        (json!({"podSecurityContext": {"runAsNonRot": true}}), "runAsNonRot"),
        (json!({"securityContext": {"capabilities": {"dropp": []}}}), "dropp"),
        (json!({"extraEnv": [{"name": "A", "vale": "b"}]}), "vale"),
        (json!({"networkPolicy": {"egress": [{"port": 443}]}}), "/networkPolicy/egress/0"),
        (json!({"podDisruptionBudget": {"minAvailable": "half"}}), "/podDisruptionBudget/minAvailable"),
        (json!({"leaderElection": {"enabled": false}}), "leaderElection.enabled is false"),
        (json!({"namespaceLabels": false}), "set installationID"),
        (json!({"namespaceLabels": false, "watchNamespaces": ["shop"]}), "set installationID"),
        (json!({"caBundle": {"configMapName": "a", "secretName": "b"}}), "give one of them"),
        (json!({"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}), "takes one of them"),
        (
            json!({"prometheus": {"servicemonitor": {"enabled": true}, "podmonitor": {"enabled": true}}}),
            "enable one of them",
        ),
        (json!({"prometheus": {"enabled": false, "prometheusrule": {"enabled": true}}}), "nothing to scrape"),
        (
            json!({"prometheus": {"servicemonitor": {"enabled": true}}, "service": {"enabled": false}}),
            "needs the Service",
        ),
        (json!({"prometheus": {"port": 8081}}), "give each its own"),
    ];
    for (values, words) in cases {
        let said = refusal(&values);
        assert!(said.contains(words), "{values}: {said}");
    }
}
