//! The reference of all fields, made from the CRDs.

use std::fmt::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

/// The fields of both kinds, in Markdown: what `docs/api.md` holds.
pub fn api_reference() -> String {
    let mut page = String::from(
        "# API reference\n\n\
         Group `terraformcloud.dev`, version `v1alpha1`. The same text stands in `kubectl explain tfcrole.spec` and `kubectl explain \
         tfcconfig.spec`. Durations are strings of hours, minutes and seconds, e.g. `1h30m`. Fields marked * are required. Made from the CRDs \
         by `make generate`.\n",
    );
    for crd in super::crds() {
        section(&mut page, &crd);
    }
    page
}

/// A field with its path, e.g. `spec.allow[].teams`.
pub(super) struct Field<'a> {
    /// Where it stands.
    pub(super) path: String,
    /// Its parent demands it.
    pub(super) required: bool,
    /// What it is.
    pub(super) schema: &'a JSONSchemaProps,
}

/// Every field of a CRD's schema, parents before their children.
pub(super) fn fields(crd: &CustomResourceDefinition) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    for version in &crd.spec.versions {
        if let Some(schema) = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()) {
            walk(schema, "", &mut fields);
        }
    }
    fields
}

fn walk<'a>(schema: &'a JSONSchemaProps, path: &str, fields: &mut Vec<Field<'a>>) {
    let required = schema.required.as_deref().unwrap_or_default();
    for (name, property) in schema.properties.iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        fields.push(Field { path: path.clone(), required: required.contains(name), schema: property });
        walk(property, &path, fields);
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &property.items {
            walk(items, &format!("{path}[]"), fields);
        }
    }
}

fn section(page: &mut String, crd: &CustomResourceDefinition) {
    let names = &crd.spec.names;
    let short = names.short_names.iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let about = crd
        .spec
        .versions
        .first()
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref()?.description.as_ref());
    // Writing to a String never fails.
    let _ = writeln!(page, "\n## {}\n\nShort name {short}. {}\n", names.kind, about.map_or("", String::as_str));
    page.push_str("| Field | Type | Default | What it does |\n| --- | --- | --- | --- |\n");
    for field in fields(crd) {
        let default =
            field.schema.default.as_ref().map_or_else(String::new, |default| format!("`{}`", text(&default.0)));
        let about = field.schema.description.as_deref().unwrap_or_default();
        let required = if field.required { " *" } else { "" };
        let _ = writeln!(
            page,
            "| `{}`{required} | {} | {default} | {} |",
            field.path,
            type_of(field.schema),
            about.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
        );
    }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn type_of(schema: &JSONSchemaProps) -> String {
    if let Some(values) = &schema.enum_ {
        return values.iter().map(|value| format!("`{}`", text(&value.0))).collect::<Vec<_>>().join(", ");
    }
    let type_ = schema.type_.as_deref().unwrap_or_default();
    match (type_, &schema.items, &schema.additional_properties) {
        ("array", Some(JSONSchemaPropsOrArray::Schema(items)), _) => format!("list of {}", type_of(items)),
        ("object", _, Some(JSONSchemaPropsOrBool::Schema(values))) => format!("map of {}", type_of(values)),
        ("string", ..) if schema.format.as_deref() == Some("date-time") => "time".into(),
        _ => type_.into(),
    }
}
