//! What a `TerraformCloudRole` may say.

use kube::core::Rule;
use schemars::Schema;
use serde_json::json;

use super::{DURATION, LABEL, OBJECT_NAME, Strict, TFC_NAME, cel};
use crate::api::names::{
    ALLOWED_LABEL_DOMAIN, FORBIDDEN_LABEL_DOMAINS, LABEL_MANAGED_BY, SECRET_KEY_PREFIX, SECRET_KEYS, TEMPLATE_VARIABLES,
};

/// Shortest time between two rotations of a slot: each kills the token before.
const SHORTEST_INTERVAL: &str = "1m";
/// The token is in a single slot of TFC.
const SLOT: &str = "(has(self.organization) || has(self.team) && self.team.credentialType == 'TeamLegacy')";
/// The whole object: its name is a label's value on the Secret.
pub(in crate::api) fn name() -> Rule {
    Rule::new(format!("self.metadata.name.size() <= {LABEL}")).message(
        "metadata.name must be at most 63 characters, since it becomes a label's value on the Secret: \
            choose a shorter one, e.g. shop-ci",
    )
}

/// The whole object: the Secret keeps its name; to leave it out and to repeat the role's name are the same.
pub(in crate::api) fn secret_name() -> Rule {
    let name = |of: &str| {
        format!("(has({of}.spec.secret) && has({of}.spec.secret.name) ? {of}.spec.secret.name : {of}.metadata.name)")
    };
    Rule::new(format!("{} == {}", name("self"), name("oldSelf")))
        .message(
            "secret.name is immutable (left out, it is the role's own name): delete this role and create \
            another one for another Secret",
        )
        .field_path(".spec.secret.name")
}

/// `.spec` of a role.
pub(in crate::api) fn spec(schema: &mut Schema) {
    let strict = Strict::new(schema).required(&["configRef"]).field_rule(
        "configRef",
        "self == oldSelf",
        "configRef is immutable: delete this role and create another one for another config",
    );
    let strict = subject(strict);
    let strict = lease(strict);
    slot_or_lease(strict)
        .keywords("description", &[("maxLength", json!(512))])
        .field_rule(
            "description",
            "self.size() <= 150",
            "description must be at most 150 characters, e.g. CI of the shop",
        )
        .field_rule(
            "description",
            r"self.matches('^\\PC*$')",
            "description must hold printable characters alone, without line breaks or tabs, e.g. CI of the shop",
        );
}

fn subject(strict: Strict<'_>) -> Strict<'_> {
    let strict = strict.rule(
        "[has(self.organization), has(self.team), has(self.user)].exists_one(given, given)",
        "a role needs exactly one of user, team and organization, e.g. team: {organization: acme, name: apps}",
    );
    ["organization", "team", "user"].iter().fold(strict, |strict, field| {
        strict.rule(
            cel::immutable(field),
            format!(
                "{field} is immutable, as is the kind of subject: delete this role and create another one for \
                another subject"
            ),
        )
    })
}

fn lease(strict: Strict<'_>) -> Strict<'_> {
    let overlap = cel::seconds("overlap");
    let ttl = cel::seconds("ttl");
    strict
        .duration("ttl", "1h", "10s")
        .duration("maxTTL", "24h", "10s")
        .duration("renewBefore", "20m", "10s")
        .duration("overlap", "15m", "0s")
        .integer("renewBeforePercentage", 1, 99)
        .rule_at(
            "ttl",
            cel::where_durations(&["ttl", "maxTTL"], "duration(self.ttl) <= duration(self.maxTTL)"),
            "ttl must not be longer than maxTTL: shorten ttl or lengthen maxTTL, e.g. ttl: 1h and maxTTL: 24h",
        )
        .rule_at(
            "renewBeforePercentage",
            "!has(self.renewBefore) || !has(self.renewBeforePercentage)",
            "renewBefore and renewBeforePercentage say the same thing: remove one of them",
        )
        .rule_at(
            "renewBefore",
            cel::where_durations(&["renewBefore", "ttl"], "duration(self.renewBefore) < duration(self.ttl)"),
            "renewBefore must be shorter than ttl, e.g. renewBefore: 20m with ttl: 1h",
        )
        .rule_at(
            "renewBefore",
            cel::where_durations(&["renewBefore", "maxTTL"], "duration(self.renewBefore) < duration(self.maxTTL)"),
            "renewBefore must be shorter than maxTTL, e.g. renewBefore: 20m with maxTTL: 24h",
        )
        .rule_at(
            "overlap",
            cel::where_durations(&["overlap", "maxTTL"], "duration(self.overlap) < duration(self.maxTTL)"),
            "overlap must be shorter than maxTTL, since it lies inside the token's life, e.g. overlap: 15m with \
             maxTTL: 24h",
        )
        .rule_at(
            "overlap",
            cel::where_durations(&["overlap", "renewBefore"], "duration(self.overlap) <= duration(self.renewBefore)"),
            "overlap must not be longer than renewBefore, since the successor is minted only that long before the end, \
             e.g. overlap: 15m with renewBefore: 20m",
        )
        .rule_at(
            "overlap",
            cel::where_durations(
                &["overlap", "ttl"],
                &format!("!has(self.renewBeforePercentage) || {overlap} * 100 <= {ttl} * self.renewBeforePercentage"),
            ),
            "overlap must not be longer than renewBeforePercentage of ttl, since the successor is minted only that long \
             before the end, e.g. overlap: 15m with renewBeforePercentage: 33 and ttl: 1h",
        )
        .rule_at(
            "overlap",
            cel::where_durations(
                &["overlap", "ttl"],
                &format!("has(self.renewBefore) || has(self.renewBeforePercentage) || {overlap} * 3 <= {ttl}"),
            ),
            "overlap must not be longer than a third of ttl, where neither renewBefore nor renewBeforePercentage is given: \
             shorten overlap or set renewBefore, e.g. overlap: 15m with renewBefore: 20m",
        )
}

fn slot_or_lease(strict: Strict<'_>) -> Strict<'_> {
    const A_SLOT: &str = "a single slot (organization, or team with credentialType: TeamLegacy)";
    let strict = ["ttl", "maxTTL", "renewal", "renewBefore", "renewBeforePercentage", "overlap"].iter().fold(
        strict,
        |strict, field| {
            strict.rule_at(
                field,
                format!("!{SLOT} || !has(self.{field})"),
                format!(
                    "{field} does not go with {A_SLOT}, whose token is kept until it is rotated: remove {field} and set \
                     rotation.interval instead, e.g. 720h"
                ),
            )
        },
    );
    let strict = strict.rule_at(
        "description",
        format!("!{SLOT} || !has(self.description)"),
        format!("description does not go with {A_SLOT}, whose token has none in TFC: remove description"),
    );
    ["rotation", "slot"].iter().fold(strict, |strict, field| {
        strict.rule_at(
            field,
            format!("{SLOT} || !has(self.{field})"),
            format!(
                "{field} goes with {A_SLOT} alone: remove {field}; the life of this token is set by ttl and maxTTL, \
                 e.g. ttl: 1h"
            ),
        )
    })
}

/// `.spec.configRef`
pub(in crate::api) fn config_ref(schema: &mut Schema) {
    Strict::new(schema)
        .required(&["name"])
        .string("name", 1, OBJECT_NAME)
        .field_rule(
            "name",
            format!("self.matches('{}')", cel::SUBDOMAIN),
            "configRef.name must be the name of a TerraformCloudConfig, in lower case, e.g. tfc",
        )
        .string("namespace", 1, LABEL)
        .field_rule(
            "namespace",
            "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "configRef.namespace must be the name of a namespace, e.g. platform; leave it out for the role's own",
        );
}

/// `.spec.organization`
pub(in crate::api) fn organization(schema: &mut Schema) {
    organization_name(Strict::new(schema).required(&["name"]), "name", "organization.name");
}

/// `.spec.team`
pub(in crate::api) fn team(schema: &mut Schema) {
    let strict = id(Strict::new(schema), "team", "team-6p5jTwJQXwqZBncC");
    organization_name(strict, "organization", "team.organization")
        .string("name", 1, TFC_NAME)
        .field_rule(
            "name",
            format!("self.matches('^{}$')", cel::TEAM.replace('\\', "\\\\")),
            "team.name must be the name of a team, without '/', ',' or '*', e.g. apps",
        )
        .rule(
            "has(self.id) ? !has(self.organization) && !has(self.name) : has(self.organization) && has(self.name)",
            "team needs either id, or organization and name, e.g. {id: team-6p5jTwJQXwqZBncC} or {organization: \
             acme, name: apps}",
        );
}

/// `.spec.user`
pub(in crate::api) fn user(schema: &mut Schema) {
    id(Strict::new(schema), "user", "user-MA4GL63FmYRpSFxa").rule(
        "has(self.id) ? !has(self.me) : has(self.me) && self.me",
        "user needs either id or me: true, e.g. {id: user-MA4GL63FmYRpSFxa}, or {me: true} for the account behind \
         the config's token",
    );
}

fn id<'a>(strict: Strict<'a>, kind: &str, example: &str) -> Strict<'a> {
    strict.string("id", 1, TFC_NAME).field_rule(
        "id",
        format!("self.matches('^{kind}-[A-Za-z0-9_-]+$')"),
        format!("{kind}.id must be TFC's id of the {kind}, e.g. {example}"),
    )
}

fn organization_name<'a>(strict: Strict<'a>, field: &str, path: &str) -> Strict<'a> {
    strict.string(field, 1, TFC_NAME).field_rule(
        field,
        format!("self.matches('^{}$')", cel::ORGANIZATION),
        format!("{path} must be the name of an organization, of letters, digits, '-' and '_', e.g. acme"),
    )
}

/// `.spec.rotation`
pub(in crate::api) fn rotation(schema: &mut Schema) {
    let field = "rotation.interval";
    Strict::new(schema)
        .required(&["interval"])
        .string("interval", 0, DURATION)
        .field_rule("interval", cel::is_duration("self"), cel::duration_message(field, "720h"))
        .field_rule(
            "interval",
            cel::at_least(SHORTEST_INTERVAL),
            format!(
                "{field} must be at least {SHORTEST_INTERVAL}, e.g. 720h: each rotation of a slot kills the \
                token before"
            ),
        );
}

/// `.spec.secret`
pub(in crate::api) fn secret(schema: &mut Schema) {
    let strict = Strict::new(schema)
        .string("name", 1, OBJECT_NAME)
        .field_rule(
            "name",
            format!("self.matches('{}')", cel::SUBDOMAIN),
            "secret.name must be the name of a Secret: lower case letters, digits, '-' and '.', e.g. shop-tfc",
        )
        .map("labels", 32, LABEL)
        .field_rule(
            "labels",
            "self.all(k, self[k].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))",
            "secret.labels: a value must be letters, digits, '-', '_' and '.', and start and end with a letter or \
             digit, e.g. team: apps",
        )
        .map("annotations", 32, 4096);
    template(metadata(metadata(strict, "labels"), "annotations"));
}

/// Keys of labels or annotations: well formed, and without power elsewhere.
fn metadata<'a>(strict: Strict<'a>, field: &str) -> Strict<'a> {
    let domains = FORBIDDEN_LABEL_DOMAINS.join(", ");
    let forbidden = FORBIDDEN_LABEL_DOMAINS.join("|").replace('.', "[.]");
    strict
        .field_rule(
            field,
            "self.all(k, k.size() <= 317 && \
             k.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
            format!(
                "secret.{field}: a key must be a name of at most 63 letters, digits, '-', '_' and '.', with or without a DNS name \
                 before a '/', e.g. team or example.com/team"
            ),
        )
        .field_rule(
            field,
            format!("self.all(k, k.startsWith('{ALLOWED_LABEL_DOMAIN}/') || \
                !k.matches('^([a-z0-9.-]+[.])?({forbidden})/'))"),
            format!(
                "secret.{field}: keys under {domains} are refused (but {ALLOWED_LABEL_DOMAIN}), since they can give a Secret power \
                 elsewhere: use a domain of your own, e.g. example.com/team"
            ),
        )
        .field_rule(
            field,
            format!("!('{LABEL_MANAGED_BY}' in self)"),
            format!("secret.{field}: {LABEL_MANAGED_BY} is the operator's own: remove it"),
        )
}

fn template(strict: Strict<'_>) -> Strict<'_> {
    let own_keys = SECRET_KEYS.map(|key| format!("'{key}'")).join(", ");
    let variables = TEMPLATE_VARIABLES.map(|variable| format!("${{{variable}}}")).join(", ");
    strict
        .map("template", 32, 4096)
        .field_rule(
            "template",
            format!("self.all(k, k.matches('{}') && k != '.' && k != '..')", cel::DATA_KEY),
            "secret.template: a key must be letters, digits, '-', '_' and '.', e.g. TFE_TOKEN",
        )
        .field_rule(
            "template",
            format!("self.all(k, !(k in [{own_keys}]) && !k.startsWith('{SECRET_KEY_PREFIX}'))"),
            format!(
                "secret.template: {} and {SECRET_KEY_PREFIX}* are the operator's own keys: choose another one, e.g. \
                 TFE_TOKEN",
                SECRET_KEYS.join(", ")
            ),
        )
        .field_rule(
            "template",
            format!(
                "self.all(k, self[k].matches('^([^$]|[$]+[^{{$]|[$]+[{{]({})[}}])*[$]*$'))",
                TEMPLATE_VARIABLES.join("|")
            ),
            format!("secret.template: a value may use {variables}, and no other ${{...}}, e.g. TFE_TOKEN: ${{token}}"),
        )
}
