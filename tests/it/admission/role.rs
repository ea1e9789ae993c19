//! Refusals of a role.

use kube::api::PostParams;

use super::{Case, ROLE, case};

pub const CASES: &[&[Case]] = &[SUBJECT, LEASE, SLOT, SECRET];
pub const LONG_NAME: &str = "metadata.name must be at most 63 characters";
pub const LONG_DESCRIPTION: &str = "description must be at most 150 characters";

const SUBJECT: &[Case] = &[
    case("{}", "{configRef: null}", "spec.configRef: Required value"),
    case("{}", "{configRef: {name: null}}", "spec.configRef.name: Required value"),
    case(
        "{}",
        "{team: null}",
        "exactly one of user, team and organization, e.g. team: {organization: acme, name: apps}",
    ),
    case("{}", "{organization: {name: acme}}", "exactly one of user, team and organization"),
    case("{}", "{user: {me: true}}", "exactly one of user, team and organization"),
    case(
        "{team: null, organization: {name: acme}}",
        "{team: null, organization: {name: null}}",
        "organization.name: Required",
    ),
    case(
        "{team: null, organization: {name: a_c-1}}",
        "{team: null, organization: {name: a/c}}",
        "organization.name must be",
    ),
    case(
        "{team: {organization: null, name: null, id: team-1}}",
        "{team: {id: team-1}}",
        "team needs either id, or organization and name",
    ),
    case("{}", "{team: {name: null}}", "team needs either id, or organization and name"),
    case("{team: {name: Site Apps}}", "{team: {name: '*'}}", "team.name must be the name of a team"),
    case("{team: {name: é}}", "{team: {name: 'a,b'}}", "team.name must be the name of a team"),
    case("{}", "{team: {organization: '../x'}}", "team.organization must be the name of an organization"),
    case(
        "{team: {organization: null, name: null, id: team-1}}",
        "{team: {organization: null, name: null, id: apps}}",
        "team.id must be TFC's id of the team, e.g. team-",
    ),
    case(
        "{team: {credentialType: TeamLegacy}}",
        "{team: {credentialType: Legacy}}",
        "supported values: \"Team\", \"TeamLegacy\"",
    ),
    case("{team: null, user: {me: true}}", "{team: null, user: {}}", "user needs either id or me: true"),
    case(
        "{team: null, user: {id: user-1}}",
        "{team: null, user: {id: user-1, me: true}}",
        "user needs either id or me: true",
    ),
    case("{team: null, user: {id: user-1}}", "{team: null, user: {me: false}}", "user needs either id or me: true"),
    case("{team: null, user: {id: user-1}}", "{team: null, user: {id: jane}}", "user.id must be TFC's id of the user"),
    case(
        "{configRef: {namespace: platform}}",
        "{configRef: {namespace: a.b}}",
        "configRef.namespace must be the name of a namespace",
    ),
    case(
        "{configRef: {name: a.b}}",
        "{configRef: {name: A}}",
        "configRef.name must be the name of a TerraformCloudConfig",
    ),
];

const LEASE: &[Case] = &[
    case(
        "{ttl: 1h30m}",
        "{ttl: 1 hour}",
        "ttl must be a duration of whole hours, minutes and seconds in that order, e.g. 1h",
    ),
    case("{ttl: 24h0m0s}", "{ttl: ''}", "ttl must be a duration"),
    case("{ttl: 720h}", "{ttl: 30d}", "there is no unit for days: 30 days are 720h"),
    case("{ttl: 90m}", "{ttl: '3600'}", "ttl must be a duration"),
    case("{ttl: 10s}", "{ttl: -1h}", "ttl must be a duration"),
    case("{ttl: 10s}", "{ttl: 9s}", "ttl must be at least 10s, e.g. 1h"),
    case("{ttl: 1h}", "{ttl: 99999999999h}", "ttl must be a duration"),
    case("{ttl: 1h}", "{ttl: 000000000000000000000000000000001h}", "spec.ttl: Too long"),
    case("{maxTTL: 24h}", "{maxTTL: soon}", "maxTTL must be a duration"),
    case("{maxTTL: 10s}", "{maxTTL: 5s}", "maxTTL must be at least 10s"),
    case("{ttl: 1h, maxTTL: 60m}", "{ttl: 1h, maxTTL: 59m}", "ttl must not be longer than maxTTL"),
    case("{renewal: Never}", "{renewal: Sometimes}", "supported values: \"Auto\", \"Never\""),
    case("{renewBefore: 20m}", "{renewBefore: x}", "renewBefore must be a duration"),
    case("{renewBefore: 10s}", "{renewBefore: 1s}", "renewBefore must be at least 10s"),
    case("{ttl: 1h, renewBefore: 20m}", "{ttl: 1h, renewBefore: 1h}", "renewBefore must be shorter than ttl"),
    case("{maxTTL: 1h, renewBefore: 20m}", "{maxTTL: 1h, renewBefore: 1h}", "renewBefore must be shorter than maxTTL"),
    case("{renewBeforePercentage: 33}", "{renewBeforePercentage: 33, renewBefore: 1m}", "remove one of them"),
    case("{renewBeforePercentage: 99}", "{renewBeforePercentage: 100}", "should be less than or equal to 99"),
    case("{renewBeforePercentage: 1}", "{renewBeforePercentage: 0}", "should be greater than or equal to 1"),
    case("{overlap: 0s}", "{overlap: none}", "overlap must be a duration"),
    case(
        "{overlap: 20m, renewBefore: 20m}",
        "{overlap: 21m, renewBefore: 20m}",
        "overlap must not be longer than renewBefore",
    ),
    case("{overlap: 59m, maxTTL: 1h}", "{overlap: 1h, maxTTL: 1h}", "overlap must be shorter than maxTTL"),
    case("{ttl: 1h, overlap: 20m}", "{ttl: 1h, overlap: 21m}", "overlap must not be longer than a third of ttl"),
    case("{ttl: 1h, overlap: 30m, renewBefore: 40m}", "{ttl: 1h, overlap: 30m}", "shorten overlap or set renewBefore"),
    case(
        "{ttl: 1h, overlap: 30m, renewBeforePercentage: 50}",
        "{ttl: 1h, overlap: 31m, renewBeforePercentage: 50}",
        "overlap must not be longer than renewBeforePercentage of ttl",
    ),
    case(
        "{description: CI of the shop ✓}",
        "{description: \"a\\nb\"}",
        "description must hold printable characters alone",
    ),
    case("{description: ''}", "{description: \"a\\u202eb\"}", "description must hold printable characters alone"),
    case("{deletionPolicy: Retain}", "{deletionPolicy: Keep}", "supported values: \"Revoke\", \"Retain\""),
    case("{suspend: true}", "{suspend: 'yes'}", "spec.suspend: Invalid value"),
];

const SLOT: &[Case] = &[
    case("{rotation: null}", "{rotation: {interval: 720h}}", "rotation goes with a single slot"),
    case("{slot: null}", "{slot: {ifOccupied: Refuse}}", "slot goes with a single slot"),
    case(
        "{team: {credentialType: TeamLegacy}, slot: {}}",
        "{team: {credentialType: TeamLegacy}, ttl: 1h}",
        "remove ttl and set rotation.interval instead, e.g. 720h",
    ),
    case(
        "{team: null, organization: {name: acme}, rotation: {interval: 720h}}",
        "{team: null, organization: {name: acme}, ttl: 1h}",
        "ttl does not go with a single slot",
    ),
    case(
        "{team: {credentialType: TeamLegacy}, rotation: {interval: 1m}}",
        "{team: {credentialType: TeamLegacy}, rotation: {interval: 59s}}",
        "rotation.interval must be at least 1m",
    ),
    case(
        "{team: {credentialType: TeamLegacy}, rotation: {interval: 1h}}",
        "{team: {credentialType: TeamLegacy}, rotation: {}}",
        "rotation.interval: Required",
    ),
    case(
        "{team: {credentialType: TeamLegacy}, rotation: {interval: 1h}}",
        "{team: {credentialType: TeamLegacy}, rotation: {interval: 30d}}",
        "rotation.interval must be a duration",
    ),
    case(
        "{team: {credentialType: TeamLegacy}, slot: {ifOccupied: Replace}}",
        "{team: {credentialType: TeamLegacy}, slot: {ifOccupied: Take}}",
        "supported values: \"Refuse\", \"Replace\"",
    ),
    case(
        "{team: {credentialType: TeamLegacy}}",
        "{team: {credentialType: TeamLegacy}, maxTTL: 1h}",
        "maxTTL does not go with a single slot",
    ),
    case(
        "{team: {credentialType: TeamLegacy}}",
        "{team: {credentialType: TeamLegacy}, renewal: Auto}",
        "renewal does not go with a single slot",
    ),
    case(
        "{team: {credentialType: TeamLegacy}}",
        "{team: {credentialType: TeamLegacy}, renewBefore: 1h}",
        "renewBefore does not go with a single slot",
    ),
    case(
        "{team: {credentialType: TeamLegacy}}",
        "{team: {credentialType: TeamLegacy}, renewBeforePercentage: 33}",
        "renewBeforePercentage does not go with a single slot",
    ),
    case(
        "{team: {credentialType: TeamLegacy}}",
        "{team: {credentialType: TeamLegacy}, overlap: 1h}",
        "overlap does not go with a single slot",
    ),
    case(
        "{team: {credentialType: TeamLegacy}}",
        "{team: {credentialType: TeamLegacy}, description: x}",
        "description does not go with a single slot",
    ),
];

const SECRET: &[Case] = &[
    case("{secret: {name: shop-tfc.v1}}", "{secret: {name: Shop}}", "secret.name must be the name of a Secret"),
    case("{secret: {labels: {team: apps}}}", "{secret: {labels: {team: a b}}}", "secret.labels: a value must be"),
    case("{secret: {labels: {example.com/team: a}}}", "{secret: {labels: {'-a': b}}}", "secret.labels: a key must be"),
    case(
        "{secret: {labels: {app.kubernetes.io/part-of: shop}}}",
        "{secret: {labels: {kubernetes.io/x: a}}}",
        "use a domain of your own, e.g. example.com/team",
    ),
    case("{secret: {labels: {notk8s.io/x: a}}}", "{secret: {labels: {a.k8s.io/x: a}}}", "use a domain of your own"),
    case(
        "{secret: {labels: {example.com/helm.sh: a}}}",
        "{secret: {labels: {helm.sh/chart: a}}}",
        "use a domain of your own",
    ),
    case(
        "{secret: {labels: {a: b}}}",
        "{secret: {labels: {argocd.argoproj.io/secret-type: cluster}}}",
        "use a domain of your own",
    ),
    case(
        "{secret: {labels: {a: b}}}",
        "{secret: {labels: {terraformcloud.dev/role: other}}}",
        "use a domain of your own",
    ),
    case(
        "{secret: {labels: {app.kubernetes.io/name: a}}}",
        "{secret: {labels: {app.kubernetes.io/managed-by: me}}}",
        "secret.labels: app.kubernetes.io/managed-by is the operator's own: remove it",
    ),
    case(
        "{secret: {annotations: {example.com/a: any thing}}}",
        "{secret: {annotations: {'a/b/c': x}}}",
        "secret.annotations: a key must be",
    ),
    case(
        "{secret: {annotations: {a: b}}}",
        "{secret: {annotations: {kubernetes.io/service-account.name: a}}}",
        "secret.annotations: keys under kubernetes.io",
    ),
    case(
        "{secret: {annotations: {a: b}}}",
        "{secret: {annotations: {terraformcloud.dev/record: x}}}",
        "secret.annotations: keys under kubernetes.io",
    ),
    case(
        "{secret: {annotations: {app.kubernetes.io/name: a}}}",
        "{secret: {annotations: {app.kubernetes.io/managed-by: me}}}",
        "secret.annotations: app.kubernetes.io/managed-by is the operator's own: remove it",
    ),
    case(
        "{secret: {template: {TFE_TOKEN: '${token}'}}}",
        "{secret: {template: {'TFE TOKEN': x}}}",
        "secret.template: a key must be letters",
    ),
    case("{secret: {template: {a: x}}}", "{secret: {template: {'..': x}}}", "secret.template: a key must be letters"),
    case(
        "{secret: {template: {Token: x}}}",
        "{secret: {template: {token: x}}}",
        "are the operator's own keys: choose another one",
    ),
    case(
        "{secret: {template: {a: x}}}",
        "{secret: {template: {credentials.tfrc.json: x}}}",
        "are the operator's own keys",
    ),
    case(
        "{secret: {template: {a: x}}}",
        "{secret: {template: {TF_TOKEN_app_terraform_io: x}}}",
        "are the operator's own keys",
    ),
    case(
        "{secret: {template: {a: 'https://${host}/$x ${team_id}{}$'}}}",
        "{secret: {template: {a: '${password}'}}}",
        "a value may use ${token}, ${token_id}, ${host}",
    ),
    case("{secret: {template: {a: \"{\\n${token}}\"}}}", "{secret: {template: {a: '${token'}}}", "and no other ${...}"),
    case("{secret: {template: {a: '$${token}'}}}", "{secret: {template: {a: '$${x}'}}}", "and no other ${...}"),
];

#[tokio::test]
async fn a_role_names_one_config_and_one_subject() {
    ROLE.check(SUBJECT).await;
}

#[tokio::test]
async fn a_lease_is_made_of_durations_that_fit_together() {
    ROLE.check(LEASE).await;
}

#[tokio::test]
async fn a_slot_has_no_lease_and_a_lease_no_slot() {
    ROLE.check(SLOT).await;
}

#[tokio::test]
async fn a_secret_gets_no_power_and_no_key_of_ours() {
    ROLE.check(SECRET).await;
}

#[tokio::test]
async fn the_name_of_a_role_fits_a_label() {
    let (api, dry_run) = (ROLE.api("default"), PostParams { dry_run: true, ..PostParams::default() });
    api.create(&dry_run, &ROLE.object(&"a".repeat(63), "{}")).await.expect("63 characters are taken");
    let error = api.create(&dry_run, &ROLE.object(&"a".repeat(64), "{}")).await.expect_err("64 are not");
    assert!(error.to_string().contains(LONG_NAME), "{error}");
}

#[tokio::test]
async fn a_description_is_counted_in_characters() {
    let (api, dry_run) = (ROLE.api("default"), PostParams { dry_run: true, ..PostParams::default() });
    let describe = |length: usize| ROLE.object("a", &format!("{{description: {}}}", "é".repeat(length)));
    api.create(&dry_run, &describe(150)).await.expect("150 characters are taken");
    let error = api.create(&dry_run, &describe(151)).await.expect_err("151 are not");
    assert!(error.to_string().contains(LONG_DESCRIPTION), "{error}");
}
