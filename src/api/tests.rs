//! The committed files that are made from this module, and what holds for every field.

use std::{fs, path::PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrBool,
};

use super::{ConfigReason, RoleReason, api_reference, crd_file_name, crds, reasons_table, reference::fields};

/// `make generate` sets it: the files are written instead of compared.
const UPDATE: &str = "UPDATE_GENERATED";

#[test]
fn committed_crds_are_what_the_types_give() {
    for crd in crds() {
        let yaml = serde_yaml::to_string(&crd).expect("a CRD is YAML");
        committed(&format!("crds/{}", crd_file_name(&crd)), &yaml);
    }
}

#[test]
fn committed_reference_is_what_the_types_give() {
    committed("docs/api.md", &api_reference());
}

#[test]
fn committed_reasons_are_the_closed_list() {
    committed("docs/reasons.md", &reasons_table());
}

fn committed(path: &str, content: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os(UPDATE).is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("the folder can be made");
        fs::write(&file, content).expect("the file can be written");
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == content, "{path} is out of date: run `make generate`");
}

#[test]
fn every_field_is_described_typed_and_bounded() {
    let mut faults = Vec::new();
    for crd in crds() {
        for field in fields(&crd) {
            let at = format!("{}.{}", crd.spec.names.kind, field.path);
            if field.schema.description.as_deref().unwrap_or_default().is_empty() {
                faults.push(format!("{at} has no description"));
            }
            if field.required && field.schema.default.is_some() {
                faults.push(format!("{at} is required and has a default"));
            }
            if field.path.starts_with("status.") && field.schema.default.is_some() {
                faults.push(format!("{at} has a default, which the API server would write"));
            }
            faults.extend(unbounded(field.schema).map(|what| format!("{at} {what}")));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

fn unbounded(schema: &JSONSchemaProps) -> Option<&'static str> {
    if schema.nullable == Some(true) && schema.properties.is_none() {
        return Some("is nullable");
    }
    match schema.type_.as_deref() {
        Some("string") => {
            let bounded = schema.max_length.is_some() || schema.enum_.is_some() || schema.format.is_some();
            (!bounded).then_some("has no maxLength")
        }
        Some("array") => schema.max_items.is_none().then_some("has no maxItems"),
        Some("object") => match &schema.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(values)) if schema.max_properties.is_some() => unbounded(values),
            Some(JSONSchemaPropsOrBool::Schema(_)) => Some("has no maxProperties"),
            _ => None,
        },
        Some(_) => None,
        None => Some("has no type"),
    }
}

#[test]
fn columns_and_short_names_are_the_documented_ones() {
    let [config, role]: [_; 2] = crds().try_into().expect("two kinds");
    let columns = |crd: &CustomResourceDefinition| -> Vec<String> {
        let columns = crd.spec.versions[0].additional_printer_columns.iter().flatten();
        columns.map(|column| column.name.clone()).collect()
    };
    assert_eq!(columns(&config), ["Address", "Account", "Ready", "Reason", "Age"]);
    assert_eq!(columns(&role), ["Type", "Subject", "Secret", "Ready", "Reason", "Expires", "Age"]);
    for (crd, short) in [(&config, "tfcconfig"), (&role, "tfcrole")] {
        assert_eq!(crd.spec.names.short_names, Some(vec![short.to_owned()]));
        assert_eq!(crd.spec.names.categories, Some(vec!["tfc".to_owned()]));
        let paths: Vec<_> = fields(crd).into_iter().map(|field| format!(".{}", field.path)).collect();
        for column in crd.spec.versions[0].additional_printer_columns.iter().flatten() {
            let path = &column.json_path;
            let known = path.starts_with(".metadata.") || path.contains("[?(") || paths.contains(path);
            assert!(known, "{path} is no field");
        }
    }
}

#[test]
fn every_rule_has_a_message() {
    let yaml: Vec<_> = crds().iter().map(|crd| serde_json::to_value(crd).expect("a CRD is JSON")).collect();
    let mut rules = 0;
    fn walk(value: &serde_json::Value, rules: &mut usize) {
        if let Some(list) = value.get("x-kubernetes-validations").and_then(|list| list.as_array()) {
            for rule in list {
                *rules += 1;
                let message = rule["message"].as_str().unwrap_or_default();
                assert!(message.len() > 20 && !message.contains('\n') && !message.contains("  "), "{rule}");
            }
        }
        match value {
            serde_json::Value::Object(object) => object.values().for_each(|value| walk(value, rules)),
            serde_json::Value::Array(array) => array.iter().for_each(|value| walk(value, rules)),
            _ => {}
        }
    }
    yaml.iter().for_each(|crd| walk(crd, &mut rules));
    assert!(rules > 60, "{rules} rules");
}

#[test]
fn reasons_are_words_and_each_stands_once() {
    let all: Vec<_> = RoleReason::ALL.iter().map(|reason| reason.as_str()).collect();
    let config: Vec<_> = ConfigReason::ALL.iter().map(|reason| reason.as_str()).collect();
    for list in [all, config] {
        let mut once = list.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), list.len());
        assert!(list.iter().all(|word| word.chars().all(char::is_alphanumeric)));
    }
}
