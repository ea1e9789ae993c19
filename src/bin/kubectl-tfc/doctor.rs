//! `kubectl tfc doctor`: looks for what is wrong, and says the mend.

use http::Request;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::client::Body;
use serde::Serialize;
use tfc_token_operator::api::names::{
    ANNOTATION_UNINSTALL, FINALIZER_ADMIN_SECRET, FINALIZER_IN_USE, FINALIZER_REVOKE, GROUP,
};
use tfc_token_operator::api::{Condition, TerraformCloudConfig, TerraformCloudRole};
use tfc_token_operator::clock::parse_http_date;
use tfc_token_operator::leader::LEASE_NAME;

use crate::reach::Reach;
use crate::story::{away, tell};
use crate::{Failure, Output};

/// Clocks that are further apart than this make times hard to read, and certificates fail.
const SKEW: SignedDuration = SignedDuration::from_secs(30);
/// An admin token that ends within this time is to be replaced soon.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// What is being deleted for longer than this is held by something.
const LONG: SignedDuration = SignedDuration::from_mins(5);

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Finding {
    level: Level,
    about: &'static str,
    words: String,
}

/// Prints what was found. `Ok(false)` where something is wrong.
pub async fn print(reach: &Reach, operator_namespace: &str, output: Output) -> Result<bool, Failure> {
    let mut found = Vec::new();
    let reached = api_server(reach, &mut found).await;
    if reached {
        rights(reach, &mut found).await;
        operator(reach, operator_namespace, &mut found).await;
        configs(reach, &mut found).await;
        roles(reach, &mut found).await;
    }
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&found)?),
        Output::Text => {
            for Finding { level, about, words } in &found {
                let level = match level {
                    Level::Ok => "ok  ",
                    Level::Warn => "warn",
                    Level::Fail => "FAIL",
                };
                println!("{level}  {about}: {words}");
            }
        }
    }
    Ok(found.iter().all(|finding| finding.level != Level::Fail))
}

fn note(found: &mut Vec<Finding>, level: Level, about: &'static str, words: impl Into<String>) {
    found.push(Finding { level, about, words: words.into() });
}

/// Is it there, what time does it have, and does it serve the CRDs?
async fn api_server(reach: &Reach, found: &mut Vec<Finding>) -> bool {
    let path = format!("/apis/{GROUP}/v1alpha1");
    let Ok(request) = Request::get(path).body(Body::empty()) else { return false };
    let answer = match reach.client.send(request).await {
        Ok(answer) => answer,
        Err(error) => {
            note(found, Level::Fail, "API server", format!("it is not reached: {error}"));
            return false;
        }
    };
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok()).and_then(parse_http_date);
    note(found, Level::Ok, "API server", "it answers");
    if let Some(date) = date {
        let skew = Timestamp::now().duration_since(date).abs();
        let words = format!("this machine's and the API server's are {}s apart", skew.as_secs());
        note(found, if skew > SKEW { Level::Warn } else { Level::Ok }, "clock", words);
    }
    match answer.status().as_u16() {
        200 => {
            note(found, Level::Ok, "CRDs", format!("{GROUP}/v1alpha1 is served"));
            true
        }
        404 => {
            note(
                found,
                Level::Fail,
                "CRDs",
                format!("{GROUP}/v1alpha1 is not served: install the chart, or apply crds/"),
            );
            false
        }
        status => {
            note(
                found,
                Level::Fail,
                "CRDs",
                format!("the API server answers {status} when asked for {GROUP}/v1alpha1: are your credentials good?"),
            );
            false
        }
    }
}

/// What may whoever calls do?
async fn rights(reach: &Reach, found: &mut Vec<Finding>) {
    let namespace = if reach.everywhere { "" } else { reach.namespace.as_str() };
    for (group, resource, verbs, what_for) in [
        (
            GROUP,
            "terraformcloudroles",
            &["get", "list", "watch"][..],
            "status, tree, wait (kubectl's role view grants it)",
        ),
        (
            GROUP,
            "terraformcloudroles",
            &["create", "patch", "delete"],
            "rotate, renew, revoke (kubectl's role edit grants it)",
        ),
        (GROUP, "terraformcloudconfigs", &["get", "list"], "tree (kubectl's role view grants it)"),
        (GROUP, "terraformcloudconfigs", &["patch"], "revoke --config (kubectl's role admin grants it)"),
        ("", "pods", &["list"], "tree (kubectl's role view grants it)"),
        ("", "secrets", &["get"], "tree (kubectl's role edit grants it)"),
    ] {
        let mut lacking = Vec::new();
        for verb in verbs {
            if !may(reach, namespace, (group, resource), verb).await {
                lacking.push(*verb);
            }
        }
        let place = if namespace.is_empty() { "all namespaces".into() } else { format!("namespace {namespace}") };
        if lacking.is_empty() {
            note(found, Level::Ok, "your rights", format!("{} {resource} in {place}", verbs.join(", ")));
        } else {
            note(
                found,
                Level::Warn,
                "your rights",
                format!("you may not {} {resource} in {place}; needed for {what_for}", lacking.join(", ")),
            );
        }
    }
    if may(reach, namespace, (GROUP, "terraformcloudroles/status"), "patch").await
        && !may(reach, "", ("*", "*"), "*").await
    {
        let words = "you may write terraformcloudroles/status: token ids that stand there are trusted, so nobody but the operator should";
        note(found, Level::Warn, "your rights", words);
    }
}

async fn may(reach: &Reach, namespace: &str, (group, resource): (&str, &str), verb: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource: Some(subresource.to_owned()),
        verb: Some(verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        ..Default::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(reach.client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await;
    answer.ok().and_then(|review| review.status).is_some_and(|status| status.allowed)
}

/// Does a leader work?
async fn operator(reach: &Reach, namespace: &str, found: &mut Vec<Finding>) {
    let leases: Api<Lease> = Api::namespaced(reach.client.clone(), namespace);
    let about = "operator";
    let lease = match leases.get_opt(LEASE_NAME).await {
        Ok(Some(lease)) => lease,
        Ok(None) => {
            let words = format!(
                "no Lease {LEASE_NAME} in namespace {namespace}: it does not run there (--operator-namespace says where to look), or without leader election"
            );
            return note(found, Level::Warn, about, words);
        }
        Err(error) => {
            return note(
                found,
                Level::Warn,
                about,
                format!("its Lease in namespace {namespace} is not shown to you: {error}"),
            );
        }
    };
    if lease.metadata.annotations.iter().flatten().any(|(name, _)| name == ANNOTATION_UNINSTALL) {
        note(found, Level::Warn, about, "an uninstall has the Lease, or has just had it: replicas stand back");
    }
    let spec = lease.spec.unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let renewed = spec.renew_time.map(|time| time.0);
    let patience = SignedDuration::from_secs(i64::from(spec.lease_duration_seconds.unwrap_or(15))) + SKEW;
    match (holder, renewed) {
        (Some(holder), Some(at)) if Timestamp::now().duration_since(at) <= patience => {
            note(found, Level::Ok, about, format!("{holder} leads"));
        }
        (Some(holder), Some(at)) => {
            let words = format!(
                "{holder} was heard of {} for the last time: look at the operator's pods",
                away(at, Timestamp::now())
            );
            note(found, Level::Fail, about, words);
        }
        _ => note(found, Level::Fail, about, "nobody leads: look at the operator's pods"),
    }
}

async fn configs(reach: &Reach, found: &mut Vec<Finding>) {
    let configs = match reach.all::<TerraformCloudConfig>().await {
        Ok(configs) => configs,
        Err(error) => return note(found, Level::Warn, "configs", format!("they are not shown to you: {error}")),
    };
    for config in &configs {
        let (namespace, name) = place(&config.metadata);
        let status = config.status.clone().unwrap_or_default();
        let about = "config";
        match Condition::find(&status.conditions, "Ready") {
            Some(ready) if ready.status == "True" => {
                let account =
                    status.account.map_or_else(String::new, |account| format!(" as {} {}", account.kind, account.name));
                note(found, Level::Ok, about, format!("{namespace}/{name}: {}{account}", ready.message));
            }
            Some(ready) => {
                note(found, Level::Fail, about, format!("{namespace}/{name}: {}: {}", ready.reason, ready.message))
            }
            None => note(found, Level::Fail, about, format!("{namespace}/{name}: nobody has looked at it yet")),
        }
        if let Some(end) = status.token.as_ref().and_then(|token| token.expires_at.as_ref()).map(|time| time.0)
            && end.duration_since(Timestamp::now()) < SOON
        {
            let words = format!(
                "{namespace}/{name}: its admin token expires {}: put another one into Secret {}",
                away(end, Timestamp::now()),
                config.spec.token_secret_ref.name
            );
            note(found, Level::Warn, about, words);
        }
        held(found, "config", &config.metadata, FINALIZER_IN_USE, "roles depend on it; delete those first");
        let secrets: Api<Secret> = Api::namespaced(reach.client.clone(), &namespace);
        if let Ok(Some(secret)) = secrets.get_metadata_opt(&config.spec.token_secret_ref.name).await {
            held(
                found,
                "admin Secret",
                &secret.metadata,
                FINALIZER_ADMIN_SECRET,
                "tokens are revoked with it; delete its config first",
            );
        }
    }
}

async fn roles(reach: &Reach, found: &mut Vec<Finding>) {
    let roles = match reach.all::<TerraformCloudRole>().await {
        Ok(roles) => roles,
        Err(error) => return note(found, Level::Warn, "roles", format!("they are not shown to you: {error}")),
    };
    let mut well = 0;
    for role in &roles {
        let told = tell(role);
        let status = role.status.clone().unwrap_or_default();
        let stalled = Condition::find(&status.conditions, "Stalled");
        if told.ready == "True" && stalled.is_none() {
            well += 1;
        } else {
            let level = if stalled.is_some() { Level::Fail } else { Level::Warn };
            note(found, level, "role", format!("{}/{}: {}", told.namespace, told.name, told.doing.join("; ")));
        }
        held(
            found,
            "role",
            &role.metadata,
            FINALIZER_REVOKE,
            "its tokens are not proven revoked; its conditions say why",
        );
        let guarded = role.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER_REVOKE);
        if status.current.is_some() && !guarded {
            let words = format!(
                "{}/{}: it holds a token and lacks the finalizer {FINALIZER_REVOKE}: deleted now, it would leave the token alive",
                told.namespace, told.name
            );
            note(found, Level::Warn, "role", words);
        }
    }
    note(found, Level::Ok, "roles", format!("{well} of {} hold a live token and want nothing", roles.len()));
}

/// What is being deleted for long and still carries a finalizer of the operator's.
fn held(found: &mut Vec<Finding>, about: &'static str, meta: &ObjectMeta, finalizer: &str, why: &str) {
    let Some(since) = meta.deletion_timestamp.as_ref().map(|time| time.0) else { return };
    let long = Timestamp::now().duration_since(since) > LONG;
    if long && meta.finalizers.iter().flatten().any(|name| name == finalizer) {
        let (namespace, name) = place(meta);
        let words = format!("{namespace}/{name}: it is being deleted since {since}, and {finalizer} holds it: {why}");
        note(found, Level::Fail, about, words);
    }
}

fn place(meta: &ObjectMeta) -> (String, String) {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}
