//! What stands in a role's Secret, computed from the role, the record and the value. Pure: no IO.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::api::names::{ANNOTATION_PENDING, ANNOTATION_RECORD, LABEL_MANAGED_BY, LABEL_ROLE, OPERATOR};
use crate::api::secret_record::VERSION;
use crate::api::{Answers, Held, Pending, SecretRecord, TerraformCloudRole};
use crate::cluster::SecretValue;
use crate::marker::Installation;
use crate::plan::layout;
use crate::plan::observed::{OurSecret, Secret};
use crate::plan::subject::Subject;
use crate::tfc::TokenValue;

/// Key that holds the bare token.
pub const KEY_TOKEN: &str = "token";

/// A Secret as it should be.
pub struct Rendering {
    name: String,
    owner: Value,
    data: BTreeMap<String, Zeroizing<String>>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    record: SecretRecord,
}

/// What a Secret is rendered from, beside the token.
pub struct Frame<'a> {
    /// The role.
    pub role: &'a TerraformCloudRole,
    /// This installation.
    pub installation: &'a Installation,
    /// Wishes answered so far.
    pub answers: Answers,
}

impl Frame<'_> {
    /// The Secret that holds this token.
    pub fn render(&self, held: &Held, token: &TokenValue) -> Rendering {
        let data = data(self.role, held, token);
        self.finish(Some(held.clone()), data)
    }

    /// The Secret after its credential was withdrawn.
    pub fn emptied(&self) -> Rendering {
        self.finish(None, BTreeMap::new())
    }

    fn finish(&self, held: Option<Held>, data: BTreeMap<String, Zeroizing<String>>) -> Rendering {
        let role = self.role;
        let template = role.spec.secret.clone().unwrap_or_default();
        let uid = role.metadata.uid.clone().unwrap_or_default();
        let name = role.metadata.name.clone().unwrap_or_default();
        let mut labels = template.labels;
        labels.insert(LABEL_MANAGED_BY.into(), OPERATOR.into());
        labels.insert(LABEL_ROLE.into(), name.clone());
        let record = SecretRecord {
            v: VERSION,
            installation: self.installation.as_str().into(),
            role_uid: uid.clone(),
            held,
            answers: self.answers.clone(),
            layout: layout(&role.spec),
            keys: data.keys().cloned().collect(),
            labels: labels.keys().cloned().collect(),
            annotations: template.annotations.keys().cloned().collect(),
        };
        let owner = json!({
            "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole",
            "name": name, "uid": uid, "controller": true,
        });
        Rendering { name: role.secret_name(), owner, data, labels, annotations: template.annotations, record }
    }
}

impl Rendering {
    /// The whole object, for a create.
    pub fn create(&self) -> Value {
        let mut annotations = self.annotations.clone();
        annotations.insert(ANNOTATION_RECORD.into(), self.record_text());
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {
                "name": self.name, "labels": self.labels, "annotations": annotations, "ownerReferences": [self.owner],
            },
            "data": self.data_json(),
        })
    }

    /// The merge patch that leads there from a Secret of ours, on the resourceVersion given. Keys, labels and annotations that were
    /// ours and are no longer wanted go; those of others stay.
    pub fn patch(&self, uid: &str, resource_version: &str, former: Option<&SecretRecord>) -> Value {
        let none = BTreeSet::new();
        let was = |names: fn(&SecretRecord) -> &BTreeSet<String>| former.map_or(&none, names);
        let mut data = gone(was(|r| &r.keys), |key| self.data.contains_key(key));
        data.extend(self.data_json());
        let mut labels = gone(was(|r| &r.labels), |key| self.labels.contains_key(key));
        labels.extend(self.labels.iter().map(|(k, v)| (k.clone(), json!(v))));
        let mut annotations = gone(was(|r| &r.annotations), |key| self.annotations.contains_key(key));
        annotations.extend(self.annotations.iter().map(|(k, v)| (k.clone(), json!(v))));
        annotations.insert(ANNOTATION_RECORD.into(), self.record_text().into());
        annotations.insert(ANNOTATION_PENDING.into(), Value::Null);
        json!({
            "metadata": {
                "uid": uid, "resourceVersion": resource_version, "labels": labels, "annotations": annotations,
            },
            "data": data,
        })
    }

    /// The same, with the owner reference back where someone removed it; owners of others stay.
    pub fn repair(&self, actual: &SecretValue, former: Option<&SecretRecord>) -> Value {
        let meta = &actual.metadata;
        let (uid, version) =
            (meta.uid.as_deref().unwrap_or_default(), meta.resource_version.as_deref().unwrap_or_default());
        let mut patch = self.patch(uid, version, former);
        if !self.is_owned(meta) {
            let others = meta.owner_references.iter().flatten().map(|owner| json!(owner));
            patch["metadata"]["ownerReferences"] = others.chain([self.owner.clone()]).collect();
        }
        patch
    }

    fn is_owned(&self, meta: &ObjectMeta) -> bool {
        meta.owner_references.iter().flatten().any(|r| Some(r.uid.as_str()) == self.owner["uid"].as_str())
    }

    /// What it says that it holds.
    pub fn held(&self) -> Option<&Held> {
        self.record.held.as_ref()
    }

    /// Names of the data keys, for a Secret whose own record was removed.
    pub fn keys(&self) -> &BTreeSet<String> {
        &self.record.keys
    }

    /// Whether the Secret is just so, as far as it is ours.
    pub fn matches(&self, actual: &SecretValue) -> bool {
        let meta = &actual.metadata;
        let contains = |map: &Option<BTreeMap<String, String>>, key: &str, value: &str| {
            map.as_ref().and_then(|m| m.get(key)).is_some_and(|v| v == value)
        };
        let stale = record_of(meta).is_none_or(|record| record != self.record);
        let data =
            self.data.iter().all(|(key, value)| actual.get(key).is_some_and(|bytes| *BASE64.encode(&bytes) == **value));
        let labels = self.labels.iter().all(|(k, v)| contains(&meta.labels, k, v));
        let annotations = self.annotations.iter().all(|(k, v)| contains(&meta.annotations, k, v));
        self.is_owned(meta) && !stale && data && labels && annotations
    }

    fn data_json(&self) -> Map<String, Value> {
        self.data.iter().map(|(key, value)| (key.clone(), Value::String(value.to_string()))).collect()
    }

    fn record_text(&self) -> String {
        serde_json::to_string(&self.record).unwrap_or_default()
    }
}

/// What a Secret of the role's choice is to it.
pub fn view(
    meta: Option<&ObjectMeta>,
    role: &TerraformCloudRole,
    installation: &Installation,
    verified: bool,
) -> Secret {
    let Some(meta) = meta else { return Secret::Absent };
    // What somebody's finalizer keeps of a Secret that goes is not for its role to wait for, once that goes too. A role that
    // stays goes on to serve it: pods may mount it to the end.
    if meta.deletion_timestamp.is_some() && role.metadata.deletion_timestamp.is_some() {
        return Secret::Foreign;
    }
    let uid = role.metadata.uid.as_deref().unwrap_or_default();
    let owned = meta.owner_references.iter().flatten().any(|r| r.uid == uid && r.controller == Some(true));
    let record = record_of(meta).filter(|r| r.role_uid == uid && r.installation == installation.as_str());
    if !owned && record.is_none() {
        return Secret::Foreign;
    }
    let pending = annotation(meta, ANNOTATION_PENDING).and_then(|text| serde_json::from_str::<Pending>(text).ok());
    Secret::Ours(OurSecret {
        uid: meta.uid.clone().unwrap_or_default(),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        record,
        pending,
        verified,
    })
}

fn record_of(meta: &ObjectMeta) -> Option<SecretRecord> {
    let record: SecretRecord = serde_json::from_str(annotation(meta, ANNOTATION_RECORD)?).ok()?;
    (record.v == VERSION && record.fits_a_status()).then_some(record)
}

fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

fn gone(were: &BTreeSet<String>, wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    were.iter().filter(|name| !wanted(name)).map(|name| (name.clone(), Value::Null)).collect()
}

fn data(role: &TerraformCloudRole, held: &Held, token: &TokenValue) -> BTreeMap<String, Zeroizing<String>> {
    let encode = |text: &str| Zeroizing::new(BASE64.encode(text.as_bytes()));
    let variables = Variables::new(role, held, token);
    let mut data = BTreeMap::new();
    data.insert(KEY_TOKEN.to_owned(), encode(token.expose()));
    for key in ["token_id", "role", "organization", "team_id", "user_id", "expires_at"] {
        if let Some(value) = variables.get(key) {
            data.insert(key.to_owned(), encode(value));
        }
    }
    // A token holds no character that JSON would escape.
    let credentials =
        Zeroizing::new(format!("{{\"credentials\":{{\"{}\":{{\"token\":\"{}\"}}}}}}\n", held.host, token.expose()));
    data.insert("credentials.tfrc.json".to_owned(), encode(&credentials));
    if let Some(name) = environment_name(&held.host) {
        data.insert(name, encode(token.expose()));
    }
    let template = role.spec.secret.iter().flat_map(|secret| &secret.template);
    for (key, text) in template {
        data.entry(key.clone()).or_insert_with(|| encode(&variables.fill(text)));
    }
    data
}

/// Terraform's environment variable for a host; none for a host with a port, which no shell can export.
fn environment_name(host: &str) -> Option<String> {
    (!host.contains(':')).then(|| format!("TF_TOKEN_{}", host.replace('-', "__").replace('.', "_")))
}

struct Variables<'a> {
    token: &'a TokenValue,
    others: BTreeMap<&'static str, String>,
}

impl<'a> Variables<'a> {
    fn new(role: &TerraformCloudRole, held: &Held, token: &'a TokenValue) -> Self {
        let mut others = BTreeMap::from([
            ("token_id", held.token_id.clone()),
            ("host", held.host.clone()),
            ("role", role.metadata.name.clone().unwrap_or_default()),
        ]);
        if let Some(at) = &held.expires_at {
            others.insert("expires_at", at.0.to_string());
        }
        match Subject::parse(&held.subject) {
            Some(Subject::User(id)) => others.insert("user_id", id),
            Some(Subject::Team(id) | Subject::TeamLegacy(id)) => others.insert("team_id", id),
            Some(Subject::Organization(name)) => others.insert("organization", name),
            None => None,
        };
        if let Some(organization) = role.spec.team.as_ref().and_then(|team| team.organization.clone()) {
            others.insert("organization", organization);
        }
        Self { token, others }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.others.get(name).map(String::as_str)
    }

    /// Replaces each `${name}`; a name that does not apply to this kind of token becomes empty.
    fn fill(&self, text: &str) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(text.len() + self.token.expose().len()));
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let Some(end) = rest[start..].find('}').map(|end| start + end) else { break };
            out.push_str(&rest[..start]);
            match &rest[start + 2..end] {
                "token" => out.push_str(self.token.expose()),
                name => out.push_str(self.get(name).unwrap_or_default()),
            }
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::names::{SECRET_KEY_PREFIX, SECRET_KEYS, TEMPLATE_VARIABLES};

    const VALUE: &str = "abcdefghijklmn.atlasv1.0123456789";

    fn role(secret: Value) -> TerraformCloudRole {
        serde_json::from_value(json!({
            "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole",
            "metadata": {"name": "shop", "namespace": "apps", "uid": "uid-1"},
            "spec": {"configRef": {"name": "tfc"}, "team": {"organization": "acme", "name": "apps"}, "secret": secret},
        }))
        .expect("a role")
    }

    fn held(host: &str) -> Held {
        let (attempt, subject) = ("a1".into(), "teams/team-1".into());
        Held { attempt, subject, token_id: "at-1".into(), host: host.into(), ..Held::default() }
    }

    fn rendering(secret: Value, host: &str) -> Rendering {
        let (role, installation) = (role(secret), Installation::new("here"));
        let token = TokenValue::new(VALUE).expect("a token");
        Frame { role: &role, installation: &installation, answers: Answers::default() }.render(&held(host), &token)
    }

    fn text(rendering: &Rendering, key: &str) -> Option<String> {
        let bytes = BASE64.decode(rendering.data.get(key)?.as_bytes()).expect("base64");
        Some(String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn consumers_find_the_shapes_that_they_read() {
        let there = rendering(json!({}), "app.terra-form.io");
        assert_eq!(text(&there, "token").as_deref(), Some(VALUE));
        assert_eq!(text(&there, "TF_TOKEN_app_terra__form_io").as_deref(), Some(VALUE));
        assert_eq!(text(&there, "team_id").as_deref(), Some("team-1"));
        assert_eq!(text(&there, "organization").as_deref(), Some("acme"));
        assert_eq!(text(&there, "user_id"), None);
        let file: Value =
            serde_json::from_str(&text(&there, "credentials.tfrc.json").expect("the file")).expect("JSON");
        assert_eq!(file, json!({"credentials": {"app.terra-form.io": {"token": VALUE}}}));
        let port = rendering(json!({}), "tfe.example.com:8443");
        assert!(port.data.keys().all(|key| !key.starts_with(SECRET_KEY_PREFIX)), "no shell can export it");
    }

    #[test]
    fn admission_keeps_templates_from_every_key_that_is_rendered() {
        let rendered = rendering(json!({}), "app.terraform.io");
        let known = |key: &str| SECRET_KEYS.contains(&key) || key.starts_with(SECRET_KEY_PREFIX);
        assert!(rendered.data.keys().all(|key| known(key)), "{:?}", rendered.data.keys());
    }

    #[test]
    fn a_template_is_filled_in_and_can_shadow_nothing() {
        let all: String = TEMPLATE_VARIABLES.iter().map(|name| format!("{name}=${{{name}}};")).collect();
        let template =
            json!({"template": {"ALL": all, "token": "stolen", "PLAIN": "$ {x} ${", "TFE_TOKEN": "${token}"}});
        let rendered = rendering(template, "app.terraform.io");
        let expected = format!(
            "token={VALUE};token_id=at-1;host=app.terraform.io;organization=acme;team_id=team-1;user_id=;role=shop;expires_at=;"
        );
        assert_eq!(text(&rendered, "ALL"), Some(expected));
        assert_eq!(text(&rendered, "token").as_deref(), Some(VALUE));
        assert_eq!(text(&rendered, "PLAIN").as_deref(), Some("$ {x} ${"));
    }

    #[test]
    fn a_patch_takes_away_what_was_ours_and_leaves_the_rest() {
        let before = rendering(json!({"labels": {"a": "1"}, "template": {"OLD": "x"}}), "app.terraform.io");
        let after = rendering(json!({"labels": {"b": "1"}, "template": {"NEW": "x"}}), "app.terraform.io");
        let patch = after.patch("secret-uid", "7", Some(&before.record));
        assert_eq!(patch["data"]["OLD"], Value::Null);
        assert!(
            patch["data"].as_object().is_some_and(|data| data.contains_key("OLD") && !data.contains_key("foreign"))
        );
        assert_eq!(patch["metadata"]["labels"]["a"], Value::Null);
        assert_eq!(patch["metadata"]["labels"]["b"], "1");
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn a_secret_is_this_roles_by_its_owner_or_by_its_record() {
        let (role, installation) = (role(json!({})), Installation::new("here"));
        let created = rendering(json!({}), "app.terraform.io").create();
        let meta = |change: &dyn Fn(&mut Value)| -> ObjectMeta {
            let mut meta = created["metadata"].clone();
            change(&mut meta);
            serde_json::from_value(meta).expect("metadata")
        };
        let ours = |meta: &ObjectMeta| match view(Some(meta), &role, &installation, false) {
            Secret::Ours(secret) => Some(secret.record.is_some()),
            _ => None,
        };
        assert_eq!(ours(&meta(&|_| ())), Some(true));
        assert_eq!(ours(&meta(&|m| m["ownerReferences"] = json!([]))), Some(true));
        assert_eq!(ours(&meta(&|m| m["annotations"] = json!({}))), Some(false));
        let neither = meta(&|m| {
            m["ownerReferences"] = json!([]);
            m["annotations"] = json!({});
        });
        assert_eq!(view(Some(&neither), &role, &installation, false), Secret::Foreign);
        let restored = meta(&|m| {
            m["ownerReferences"][0]["uid"] = "another".into();
            m["annotations"][ANNOTATION_RECORD] = r#"{"v":1,"roleUID":"another"}"#.into();
        });
        assert_eq!(ours(&restored), None, "made for a role of the same name that is no more");
    }
}
