//! Files that are made from the chart: its README's table of values, and the manifests without Helm. `make generate` writes them.

use std::fs;

use serde_json::{Value, json};

use super::helm::{Helm, chart};
use crate::bed::root;

/// `make generate` sets it: the files are written instead of compared.
const UPDATE: &str = "UPDATE_GENERATED";

const VALUES_BEGIN: &str = "<!-- From values.yaml, by `make generate`. -->\n";
const VALUES_END: &str = "<!-- The end of what is generated. -->\n";

const OPERATOR_HEAD: &str = "\
# The operator without Helm, from the chart by `make generate`; see kustomization.yaml.
---
apiVersion: v1
kind: Namespace
metadata:
  name: tfc-token-operator
  labels:
    app.kubernetes.io/name: tfc-token-operator
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/enforce-version: latest
";

const UNINSTALL_HEAD: &str =
    "# What the chart runs before it is uninstalled, from the chart by `make generate`; see kustomization.yaml.\n";

#[test]
fn the_charts_readme_has_every_value_as_values_yaml_says() {
    let path = "charts/tfc-token-operator/README.md";
    let readme = fs::read_to_string(root().join(path)).expect("a README");
    let (before, rest) = readme.split_once(VALUES_BEGIN).expect("where the values begin");
    let (_, after) = rest.split_once(VALUES_END).expect("where they end");
    let values = fs::read_to_string(chart().join("values.yaml")).expect("values.yaml");
    committed(path, &format!("{before}{VALUES_BEGIN}{}{VALUES_END}{after}", table(&values)));
}

#[test]
fn the_manifests_without_helm_are_those_of_the_chart() {
    let values = json!({"crds": {"enabled": false}});
    let all = Helm::new().template(&[], &values).expect("it renders");
    let documents: Vec<(Value, &str)> = all
        .split("\n---\n")
        .map(|text| (serde_yaml::from_str(text).expect("YAML"), text))
        .filter(|(object, _): &(Value, _)| !object.is_null())
        .collect();
    let hook = |object: &Value| object["metadata"]["annotations"]["helm.sh/hook"].as_str().map(str::to_owned);
    let of = |wanted: Option<&str>| -> String {
        let chosen = documents.iter().filter(|(object, _)| hook(object).as_deref() == wanted);
        chosen.map(|(_, text)| format!("---\n{}", without_helm(text))).collect()
    };
    committed("deploy/operator.yaml", &format!("{OPERATOR_HEAD}{}", of(None)));
    committed("deploy/uninstall/uninstall.yaml", &format!("{UNINSTALL_HEAD}{}", of(Some("pre-delete"))));
}

/// A document without what only Helm reads.
fn without_helm(text: &str) -> String {
    let helms = |line: &str| {
        let line = line.trim_start();
        ["---", "# Source: ", "helm.sh/", "app.kubernetes.io/managed-by: Helm", "# One that failed stays"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let kept: Vec<&str> = text.lines().filter(|line| !helms(line) && !line.trim().is_empty()).collect();
    // Annotations that were all Helm's.
    let empty = |at: usize| {
        kept[at].trim() == "annotations:" && kept.get(at + 1).is_none_or(|next| indent(next) <= indent(kept[at]))
    };
    (0..kept.len()).filter(|at| !empty(*at)).map(|at| format!("{}\n", kept[at])).collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// One row for each commented value: a comment that starts with `# --` speaks of the key below it.
fn table(values: &str) -> String {
    let whole: Value = serde_yaml::from_str(values).expect("YAML");
    let mut rows = String::from("| Value | Default | What it does |\n| --- | --- | --- |\n");
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut comment: Option<String> = None;
    for line in values.lines() {
        let trimmed = line.trim();
        if let Some(text) = trimmed.strip_prefix("# -- ") {
            comment = Some(text.to_owned());
        } else if let (Some(text), Some(words)) = (trimmed.strip_prefix("# "), comment.as_mut()) {
            words.push(' ');
            words.push_str(text);
        } else if let Some((key, _)) = trimmed.split_once(':').filter(|(key, _)| is_key(key)) {
            path.retain(|(depth, _)| *depth < indent(line));
            path.push((indent(line), key));
            let Some(words) = comment.take() else { continue };
            let keys: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
            let default = keys.iter().fold(&whole, |value, key| &value[key]);
            rows.push_str(&format!("| `{}` | `{default}` | {words} |\n", keys.join(".")));
        }
    }
    rows
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
}

#[test]
fn every_value_has_a_comment() {
    let values = fs::read_to_string(chart().join("values.yaml")).expect("values.yaml");
    let table = table(&values);
    fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
        // What Kubernetes defines is one value of the chart.
        let whole = ["podSecurityContext", "securityContext", "resources", "uninstall.resources", "nodeSelector"];
        match value {
            Value::Object(object) if !object.is_empty() && !whole.contains(&path) => {
                for (key, value) in object {
                    leaves(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
                }
            }
            _ => found.push(path.to_owned()),
        }
    }
    let mut all = Vec::new();
    leaves(&serde_yaml::from_str(&values).expect("YAML"), "", &mut all);
    let missing: Vec<&String> = all.iter().filter(|path| !table.contains(&format!("| `{path}` |"))).collect();
    assert!(all.len() > 70 && missing.is_empty(), "{missing:?}");
}

fn committed(path: &str, content: &str) {
    let file = root().join(path);
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("the folder can be made");
        fs::write(&file, content).expect("the file can be written");
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == content, "{path} is out of date: run `make generate`");
}
