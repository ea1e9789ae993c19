//! The machine's own limit: the requests that an issuance makes to the API server, of the same objects, with the same watches open, made by
//! a client that does nothing else. As many of them at a time as do best.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use futures::StreamExt;
use http::Method;
use http_body_util::BodyExt;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tfc_harness::Error;

use crate::Result;
use crate::flags::Flags;
use crate::ground::{Ground, NAMESPACE, ROLES, SECRETS, request, role};
use crate::stage::{SOON, Setting, Stage, user};

/// How many requests are tried at a time.
const AT_A_TIME: [usize; 5] = [8, 16, 32, 64, 128];
/// Issuances of each try.
const TRY: usize = 250;

const JSON: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Issuances a second.
    pub per_second: f64,
    /// With so many requests at a time.
    pub at_a_time: usize,
}

/// What an issuance leaves behind, as the operator writes it.
struct Template {
    status: Value,
    secret: Value,
}

/// Measures it, on a control plane of its own.
pub async fn measure(flags: &Flags) -> Result<Limit> {
    let mut stage = Stage::set(flags, Setting::default()).await?;
    let template = Arc::new(pilot(&mut stage).await?);
    let watches = watch(&stage.ground);
    let mut best = Limit { per_second: 0.0, at_a_time: 0 };
    for at_a_time in AT_A_TIME {
        let prefix = format!("try-{at_a_time}");
        let per_second = run(&stage.ground, &template, &prefix, TRY.min(flags.roles), at_a_time).await?;
        if per_second > best.per_second {
            best = Limit { per_second, at_a_time };
        }
    }
    let whole = run(&stage.ground, &template, "whole", flags.roles, best.at_a_time).await?;
    best.per_second = best.per_second.max(whole);
    watches.into_iter().for_each(|watch| watch.abort());
    Ok(best)
}

/// The same with many: issuances a second of `count` roles that all stand there, beside `few` that were issued before. An API server that
/// holds more takes longer for each.
pub async fn measure_many(flags: &Flags, few: usize, count: usize, at_a_time: usize) -> Result<f64> {
    let mut stage = Stage::set(flags, Setting::default()).await?;
    let template = Arc::new(pilot(&mut stage).await?);
    let watches = watch(&stage.ground);
    run(&stage.ground, &template, "few", few, at_a_time).await?;
    let per_second = run(&stage.ground, &template, "many", count, at_a_time).await?;
    watches.into_iter().for_each(|watch| watch.abort());
    Ok(per_second)
}

/// How long the requests from a role to its Secret take one after the other, that which creates the role among them, in milliseconds: so
/// many times.
pub async fn one_at_a_time(stage: &mut Stage, count: usize) -> Result<Vec<f64>> {
    let template = pilot(stage).await?;
    let (client, watches) = (&stage.ground.client, watch(&stage.ground));
    let mut took = Vec::new();
    for number in 0..count {
        let name = format!("alone-{number:05}");
        let started = Instant::now();
        known(client, Method::POST, ROLES, JSON, Some(&role(&name, &user()))).await?;
        let stored = store(client, &template, &name).await?;
        took.push(started.elapsed().as_secs_f64() * 1e3);
        record(client, &template, &name, &stored).await?;
    }
    watches.into_iter().for_each(|watch| watch.abort());
    Ok(took)
}

/// One role is issued by the operator, to see what it writes.
async fn pilot(stage: &mut Stage) -> Result<Template> {
    stage.create_roles("pilot", 0..1).await?;
    stage.start().await?;
    stage.issued(1, SOON).await?;
    stage.stop().await?;
    let mut status = stage.ground.send(Method::GET, &format!("{ROLES}/pilot-00000"), None).await?;
    let mut secret = stage.ground.send(Method::GET, &format!("{SECRETS}/pilot-00000"), None).await?;
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "name"] {
        secret["metadata"].as_object_mut().map(|meta| meta.remove(field));
    }
    Ok(Template { status: status["status"].take(), secret })
}

/// The watches that the operator has open. What comes is read and thrown away.
fn watch(ground: &Ground) -> Vec<tokio::task::JoinHandle<()>> {
    let group = "/apis/terraformcloud.dev/v1alpha1";
    let paths = [
        (format!("{group}/terraformcloudroles?watch=true"), JSON),
        (format!("{group}/terraformcloudconfigs?watch=true"), JSON),
        (
            "/api/v1/secrets?watch=true&labelSelector=app.kubernetes.io%2Fmanaged-by%3Dtfc-token-operator".into(),
            METADATA,
        ),
        ("/api/v1/namespaces?watch=true".into(), METADATA),
        (
            format!("/api/v1/namespaces/{NAMESPACE}/secrets?watch=true&fieldSelector=metadata.name%3Dtfc-admin"),
            METADATA,
        ),
    ];
    let open = |(path, accept): (String, &'static str)| {
        let client = ground.client.clone();
        tokio::spawn(async move {
            let Ok(request) = request(Method::GET, &path, accept, None) else { return };
            if let Ok(response) = client.send(request).await {
                let mut frames = response.into_body().into_data_stream();
                while frames.next().await.is_some() {}
            }
        })
    };
    paths.into_iter().map(open).collect()
}

/// Issues so many; gives issuances a second. The roles are there before the clock runs.
async fn run(ground: &Ground, template: &Arc<Template>, prefix: &str, count: usize, at_a_time: usize) -> Result<f64> {
    ground.create_roles(NAMESPACE, prefix, 0..count, &user()).await?;
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let workers = (0..at_a_time).map(|_| {
        let (client, template, next, prefix) =
            (ground.client.clone(), template.clone(), next.clone(), prefix.to_owned());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                issue(&client, &template, &format!("{prefix}-{number:05}")).await?;
            }
        })
    });
    let ended = futures::future::try_join_all(workers).await.map_err(Error::while_trying("a raw client"))?;
    ended.into_iter().collect::<Result<()>>()?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// An object as far as a writer has to know it.
#[derive(Deserialize)]
struct Known {
    metadata: KnownMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KnownMeta {
    resource_version: String,
    uid: String,
}

/// The requests of one issuance.
async fn issue(client: &Client, template: &Template, name: &str) -> Result<()> {
    let stored = store(client, template, name).await?;
    record(client, template, name, &stored).await
}

/// Up to the Secret, in their order: two reads, the finalizer, the intent, the Secret. Gives the role as it is then.
async fn store(client: &Client, template: &Template, name: &str) -> Result<Known> {
    let role = format!("{ROLES}/{name}");
    let (query, status) = ("fieldManager=tfc-token-operator", format!("{role}/status"));
    let seen = known(client, Method::GET, &role, JSON, None).await?;
    let absent = call(client, Method::GET, &format!("{SECRETS}/{name}"), METADATA, None).await?;
    if absent.0 != 404 {
        return Err(Error::new(format!("Secret {name} is there already")));
    }
    let finalizer = json!({"metadata": {
        "resourceVersion": seen.metadata.resource_version, "finalizers": ["terraformcloud.dev/revoke"],
    }});
    let seen = known(client, Method::PATCH, &format!("{role}?{query}"), JSON, Some(&finalizer)).await?;
    let mut intent = template.status.clone();
    if let Some(intent) = intent.as_object_mut()
        && let Some(current) = intent.remove("current")
    {
        intent.insert(
            "intent".into(),
            json!({"attempt": current["attempt"], "host": current["host"],
            "account": current["account"], "subject": current["subject"], "since": current["issuedAt"],
            "requestedExpiry": current["expiresAt"]}),
        );
    }
    let begin = json!({"metadata": {"resourceVersion": seen.metadata.resource_version}, "status": intent});
    let seen = known(client, Method::PATCH, &format!("{status}?{query}"), JSON, Some(&begin)).await?;
    let mut secret = template.secret.clone();
    secret["metadata"]["name"] = name.into();
    if let Some(owner) = secret["metadata"]["ownerReferences"].get_mut(0) {
        (owner["name"], owner["uid"]) = (name.into(), seen.metadata.uid.clone().into());
    }
    known(client, Method::POST, &format!("{SECRETS}?{query}"), METADATA, Some(&secret)).await?;
    Ok(seen)
}

/// After it: the record, the event.
async fn record(client: &Client, template: &Template, name: &str, seen: &Known) -> Result<()> {
    let status = format!("{ROLES}/{name}/status?fieldManager=tfc-token-operator");
    let mut record = template.status.clone();
    record["intent"] = Value::Null;
    let record = json!({"metadata": {"resourceVersion": seen.metadata.resource_version}, "status": record});
    known(client, Method::PATCH, &status, JSON, Some(&record)).await?;
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": format!("{name}.1"), "namespace": NAMESPACE},
        "eventTime": format!("{:.6}", jiff::Timestamp::now()),
        "reportingController": "tfc-token-operator", "reportingInstance": "raw", "action": "Issue", "reason": "Issued",
        "type": "Normal", "note": "token at-0123456789abcdef is in Secret whole-00000, lives until 2027-11-28T21:00:00Z",
        "regarding": {"apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole",
            "namespace": NAMESPACE, "name": name, "uid": seen.metadata.uid},
    });
    let events = format!("/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events");
    let (code, bytes) = call(client, Method::POST, &events, JSON, Some(&event)).await?;
    succeeded("the event", code, &bytes)
}

async fn known(client: &Client, method: Method, path: &str, accept: &str, body: Option<&Value>) -> Result<Known> {
    let (code, bytes) = call(client, method, path, accept, body).await?;
    succeeded(path, code, &bytes)?;
    serde_json::from_slice(&bytes).map_err(Error::while_trying(path))
}

async fn call(
    client: &Client,
    method: Method,
    path: &str,
    accept: &str,
    body: Option<&Value>,
) -> Result<(u16, Vec<u8>)> {
    let response = client.send(request(method, path, accept, body)?).await.map_err(|error| causes(path, &error))?;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.map_err(Error::while_trying(path))?.to_bytes();
    Ok((code, bytes.to_vec()))
}

/// kube's errors say little by themselves.
fn causes(path: &str, error: &kube::Error) -> Error {
    let mut words = format!("{path}: {error}");
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        words = format!("{words}: {cause}");
        next = cause.source();
    }
    Error::new(words)
}

fn succeeded(what: &str, code: u16, bytes: &[u8]) -> Result<()> {
    match code {
        200..=299 => Ok(()),
        _ => Err(Error::new(format!("{what}: {code}: {}", String::from_utf8_lossy(bytes)))),
    }
}
