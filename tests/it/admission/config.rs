//! Refusals of a config.

use super::{CONFIG, Case, case};

pub const CASES: &[&[Case]] = &[ACCOUNT, ALLOW];

const ACCOUNT: &[Case] = &[
    case("{}", "{tokenSecretRef: null}", "spec.tokenSecretRef: Required value"),
    case("{}", "{tokenSecretRef: {name: null}}", "spec.tokenSecretRef.name: Required value"),
    case("{tokenSecretRef: {key: tfe_token}}", "{tokenSecretRef: {key: 'a b'}}", "tokenSecretRef.key must be a key"),
    case(
        "{}",
        "{tokenSecretRef: {name: Admin}}",
        "tokenSecretRef.name must be the name of an object in the config's namespace",
    ),
    case(
        "{address: 'https://tfe.example.com:8443'}",
        "{address: tfe.example.com}",
        "address must be a URL of scheme, host and at most a port",
    ),
    case("{address: 'http://127.0.0.1:80'}", "{address: 'https://tfe.example.com/'}", "address must be a URL"),
    case("{address: 'https://[::1]:8443'}", "{address: 'https://u:p@tfe.example.com'}", "address must be a URL"),
    case("{address: 'https://localhost'}", "{address: 'https://tfe.example.com?x=1'}", "address must be a URL"),
    case(
        "{address: 'https://tfe.example.com:65535'}",
        "{address: 'https://tfe.example.com:65536'}",
        "address must be a URL",
    ),
    case("{address: 'https://tfe.example.com'}", "{address: 'https://TFE.example.com'}", "in lower case"),
    case("{address: 'https://tfe.example.com'}", "{address: 'ftp://tfe.example.com'}", "address must be a URL"),
    case("{basePath: /}", "{basePath: /api/v2}", "basePath must be a path that starts and ends with /, e.g. /api/v2/"),
    case("{basePath: /tfe/api/v2/}", "{basePath: api/v2/}", "basePath must be a path"),
    case("{basePath: /api/v2/}", "{basePath: /api/../}", "basePath must be a path"),
    case("{caBundleRef: {name: ca}}", "{caBundleRef: {}}", "caBundleRef.name: Required value"),
    case(
        "{caBundleRef: {name: ca, kind: Secret}}",
        "{caBundleRef: {name: ca, kind: File}}",
        "supported values: \"ConfigMap\", \"Secret\"",
    ),
    case(
        "{caBundleRef: {name: ca, key: tls.crt}}",
        "{caBundleRef: {name: ca, key: a/b}}",
        "caBundleRef.key must be a key",
    ),
    case("{defaultTTL: 1h}", "{defaultTTL: 1d}", "defaultTTL must be a duration"),
    case("{defaultTTL: 10s}", "{defaultTTL: 1s}", "defaultTTL must be at least 10s"),
    case("{maxTTL: 768h}", "{maxTTL: long}", "maxTTL must be a duration"),
    case("{maxTTL: 24h}", "{maxTTL: 23h}", "defaultTTL must not be longer than maxTTL"),
    case("{defaultTTL: 10s, maxTTL: 10s}", "{defaultTTL: 10s, maxTTL: 9s}", "maxTTL must be at least 10s"),
    case("{revocationGracePeriod: 0s}", "{revocationGracePeriod: -1s}", "revocationGracePeriod must be a duration"),
    case(
        "{rateLimit: {requestsPerSecond: 1000}}",
        "{rateLimit: {requestsPerSecond: 1001}}",
        "should be less than or equal to 1000",
    ),
    case(
        "{rateLimit: {requestsPerSecond: 1, burst: 1}}",
        "{rateLimit: {burst: 1}}",
        "rateLimit.requestsPerSecond: Required value",
    ),
    case(
        "{rateLimit: {requestsPerSecond: 1, burst: 1000}}",
        "{rateLimit: {requestsPerSecond: 1, burst: 0}}",
        "should be greater than or equal to 1",
    ),
];

const ALLOW: &[Case] = &[
    case("{allow: []}", "{allow: {}}", "spec.allow: Invalid value"),
    case(
        "{allow: [{organizations: [acme, '*']}]}",
        "{allow: [{organizations: [acme/apps]}]}",
        "organizations must hold names of organizations, or *",
    ),
    case(
        "{allow: [{teams: [team-1, acme/apps, acme/*, '*', acme/Site Apps]}]}",
        "{allow: [{teams: [apps]}]}",
        "teams must hold ids of teams, ORG/NAME, ORG/* or *",
    ),
    case("{allow: [{teams: ['*']}]}", "{allow: [{teams: ['*/apps']}]}", "teams must hold ids of teams"),
    case(
        "{allow: [{users: [user-1, me]}]}",
        "{allow: [{users: ['*']}]}",
        "there is no *, since an account mints only for itself: say me",
    ),
    case("{allow: [{maxTTL: 8h}]}", "{allow: [{maxTTL: eight}]}", "maxTTL must be a duration"),
    case("{allow: [{maxTTL: 10s}]}", "{allow: [{maxTTL: 1s}]}", "maxTTL must be at least 10s"),
    case(
        "{allow: [{deletionPolicies: [Revoke, Retain]}]}",
        "{allow: [{deletionPolicies: [Keep]}]}",
        "supported values: \"Revoke\", \"Retain\"",
    ),
    case(
        "{allow: [{deletionPolicies: [Revoke]}]}",
        "{allow: [{deletionPolicies: []}]}",
        "should have at least 1 items",
    ),
    case(
        "{allow: [{namespaces: {from: All}}]}",
        "{allow: [{namespaces: {from: Any}}]}",
        "supported values: \"Same\", \"All\", \"Selector\"",
    ),
    case(
        "{allow: [{namespaces: {}}]}",
        "{allow: [{namespaces: {from: Selector}}]}",
        "namespaces takes a selector with from: Selector, and only then",
    ),
    case(
        "{allow: [{namespaces: {from: Selector, selector: {matchLabels: {team: apps}}}}]}",
        "{allow: [{namespaces: {selector: {matchLabels: {team: apps}}}}]}",
        "namespaces takes a selector with from: Selector, and only then",
    ),
    case(
        "{allow: [{namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: Exists}]}}}]}",
        "{allow: [{namespaces: {from: Selector, selector: {}}}]}",
        "an empty one would match every namespace, for which there is from: All",
    ),
    case(
        "{allow: [{namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: In, values: [a]}]}}}]}",
        "{allow: [{namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: In}]}}}]}",
        "values belong to operator In or NotIn, and only there",
    ),
    case(
        "{allow: [{namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}}]}",
        "{allow: [{namespaces: {from: Selector, selector: {matchExpressions: [{key: team, operator: Is}]}}}]}",
        "supported values: \"In\", \"NotIn\", \"Exists\", \"DoesNotExist\"",
    ),
];

#[tokio::test]
async fn a_config_names_a_host_an_account_and_caps() {
    CONFIG.check(ACCOUNT).await;
}

#[tokio::test]
async fn an_allow_entry_says_whom_and_what() {
    CONFIG.check(ALLOW).await;
}
