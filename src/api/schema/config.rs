//! What a `TerraformCloudConfig` may say.

use schemars::Schema;
use serde_json::{Value, json};

use super::{DURATION, LABEL, OBJECT_NAME, Strict, TFC_NAME, cel};

/// Scheme, host and port, in lower case: the host tells accounts apart.
const ADDRESS: &str = r"^https?://([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*|\\[[0-9a-f:.]+\\])(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?$";

/// `.spec` of a config.
pub(in crate::api) fn spec(schema: &mut Schema) {
    Strict::new(schema)
        .required(&["tokenSecretRef"])
        .string("address", 1, 512)
        .field_rule(
            "address",
            format!("self.matches('{ADDRESS}')"),
            "address must be a URL of scheme, host and at most a port, in lower case and without user, path or query, \
             e.g. https://app.terraform.io or https://tfe.example.com:8443",
        )
        .field_rule(
            "address",
            "self == oldSelf",
            "address is immutable: create another TerraformCloudConfig for \
            another host",
        )
        .string("basePath", 1, 256)
        .field_rule(
            "basePath",
            "self.matches('^/([A-Za-z0-9._~-]+/)*$') && !self.contains('/../') && !self.contains('/./')",
            "basePath must be a path that starts and ends with /, e.g. /api/v2/",
        )
        .field_rule(
            "basePath",
            "self == oldSelf",
            "basePath is immutable: create another TerraformCloudConfig for \
            another path",
        )
        .duration("defaultTTL", "24h", "10s")
        .duration("maxTTL", "768h", "10s")
        .duration("revocationGracePeriod", "10m", "0s")
        .rule_at(
            "defaultTTL",
            cel::where_durations(&["defaultTTL", "maxTTL"], "duration(self.defaultTTL) <= duration(self.maxTTL)"),
            "defaultTTL must not be longer than maxTTL: shorten defaultTTL or lengthen maxTTL, e.g. defaultTTL: 24h \
             and maxTTL: 768h",
        )
        .keywords("allow", &[("maxItems", json!(64))]);
}

/// `.spec.tokenSecretRef`
pub(in crate::api) fn token_secret_ref(schema: &mut Schema) {
    object_key(Strict::new(schema), "tokenSecretRef", "tfc-admin", "token");
}

/// `.spec.caBundleRef`
pub(in crate::api) fn ca_bundle_ref(schema: &mut Schema) {
    object_key(Strict::new(schema), "caBundleRef", "private-ca", "ca.crt");
}

/// `.spec.rateLimit`
pub(in crate::api) fn rate_limit(schema: &mut Schema) {
    Strict::new(schema)
        .required(&["requestsPerSecond"])
        .integer("requestsPerSecond", 1, 1000)
        .integer("burst", 1, 1000);
}

/// An entry of `.spec.allow`
pub(in crate::api) fn allow_entry(schema: &mut Schema) {
    let organization = cel::ORGANIZATION;
    let team = cel::TEAM.replace('\\', "\\\\");
    Strict::new(schema)
        .strings("organizations", 64, TFC_NAME)
        .field_rule(
            "organizations",
            format!("self.all(o, o.matches('^({organization}|[*])$'))"),
            "organizations must hold names of organizations, or *, e.g. [acme]",
        )
        .strings("teams", 64, 2 * TFC_NAME + 1)
        .field_rule(
            "teams",
            format!("self.all(t, t.matches('^(team-[A-Za-z0-9_-]+|{organization}/({team}|[*])|[*])$'))"),
            "teams must hold ids of teams, ORG/NAME, ORG/* or *, e.g. [team-6p5jTwJQXwqZBncC, acme/apps]",
        )
        .strings("users", 64, TFC_NAME)
        .field_rule(
            "users",
            "self.all(u, u.matches('^(user-[A-Za-z0-9_-]+|me)$'))",
            "users must hold ids of users, or me, e.g. [user-MA4GL63FmYRpSFxa]; there is no *, since an account \
             mints only for itself: say me",
        )
        .duration("maxTTL", "8h", "10s")
        .keywords("deletionPolicies", &[("minItems", json!(1)), ("maxItems", json!(2))]);
}

/// `namespaces` of an entry of `.spec.allow`
pub(in crate::api) fn allowed_namespaces(schema: &mut Schema) {
    Strict::new(schema).rule(
        "(self.from == 'Selector') == has(self.selector)",
        "namespaces takes a selector with from: Selector, and only then, e.g. {from: Selector, selector: \
         {matchLabels: {team: apps}}}",
    );
}

/// `selector` of `namespaces`
pub(in crate::api) fn selector(schema: &mut Schema) {
    let mut strict = Strict::new(schema)
        .map("matchLabels", 16, LABEL)
        .keywords("matchExpressions", &[("maxItems", json!(16))])
        .rule(
            "has(self.matchLabels) && self.matchLabels.size() > 0 || has(self.matchExpressions) && \
             self.matchExpressions.size() > 0",
            "selector must hold matchLabels or matchExpressions: an empty one would match every namespace, for \
             which there is from: All",
        );
    strict.property("matchExpressions", |list| {
        if let Some(items) = list.get_mut("items").and_then(|items| <&mut Schema>::try_from(items).ok()) {
            requirement(items);
        }
    });
}

fn requirement(schema: &mut Schema) {
    Strict::new(schema)
        .required(&["key", "operator"])
        .keywords("key", &[("description", json!("Key of the label, e.g. `team`."))])
        .string("key", 1, 317)
        .keywords(
            "operator",
            &[
                ("description", json!("How the label and `values` relate: In, NotIn, Exists or DoesNotExist.")),
                ("enum", json!(["In", "NotIn", "Exists", "DoesNotExist"])),
            ],
        )
        .keywords("values", &[("description", json!("Values of the label, with In and NotIn, e.g. `[apps]`."))])
        .strings("values", 64, LABEL)
        .rule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
            "matchExpressions: values belong to operator In or NotIn, and only there, e.g. {key: team, operator: \
             In, values: [apps]}",
        )
        .set("description", Value::from("A requirement on one label of the namespace."));
}

fn object_key(strict: Strict<'_>, field: &str, name: &str, key: &str) {
    strict
        .required(&["name"])
        .string("name", 1, OBJECT_NAME)
        .field_rule(
            "name",
            format!("self.matches('{}')", cel::SUBDOMAIN),
            format!("{field}.name must be the name of an object in the config's namespace, in lower case, e.g. {name}"),
        )
        .string("key", 1, OBJECT_NAME)
        .field_rule(
            "key",
            format!("self.matches('{}')", cel::DATA_KEY),
            format!("{field}.key must be a key of letters, digits, '-', '_' and '.', e.g. {key}"),
        );
}

impl Strict<'_> {
    /// A field that holds a duration of at least `least`.
    pub(super) fn duration(self, field: &str, example: &str, least: &str) -> Self {
        let strict = self.string(field, 0, DURATION).field_rule(
            field,
            cel::is_duration("self"),
            cel::duration_message(field, example),
        );
        if least == "0s" {
            return strict;
        }
        strict.field_rule(field, cel::at_least(least), format!("{field} must be at least {least}, e.g. {example}"))
    }
}
