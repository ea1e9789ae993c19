//! What the invariants' checker sees of the real API server and the simulator.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, PostParams};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tfc_harness::install_tls_provider;
use tfc_harness::invariants::{Invariant, Recorder, What, check};
use tfc_harness::simulator::{Simulator, StandardIds, standard_world};

use crate::bed::{Bed, bed};

/// An operator that does everything wrong.
struct Wrong {
    tfc: Simulator,
    ids: StandardIds,
    http: Client,
}

impl Wrong {
    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}/api/v2{path}", self.tfc.address());
        let request = self.http.request(method, url).bearer_auth(self.ids.ci_token.expose());
        let request = request.header("content-type", "application/vnd.api+json").body(body.to_string());
        let text = request.send().await.expect("a reply").text().await.expect("a body");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Mints without an intent and without an expiry: id and value.
    async fn mint(&self) -> (String, String) {
        let body = json!({"data": {"type": "authentication-tokens", "attributes": {"description": "wrong"}}});
        let reply = self.call(Method::POST, "/users/user-ci/authentication-tokens", body).await;
        let text = |pointer: &str| reply.pointer(pointer).and_then(Value::as_str).expect("a token").to_owned();
        (text("/data/id"), text("/data/attributes/token"))
    }
}

#[tokio::test]
async fn an_operator_that_does_everything_wrong_is_seen_through() {
    install_tls_provider();
    let namespace = bed().fresh_namespace().await;
    let world = standard_world();
    let tfc = Simulator::start(world.world).expect("the simulator starts");
    let recorder =
        Recorder::start(tfc.ledger(), &bed().etcd_url(), std::slice::from_ref(&namespace)).expect("it records");
    let http = Client::builder().user_agent("tfc-token-operator/wrong").no_proxy().build().expect("a client");
    let wrong = Wrong { tfc, ids: world.ids, http };
    let secrets: Api<Secret> = Api::namespaced(bed().client(), &namespace);

    let (leaked, _) = wrong.mint().await;
    let (id, value) = wrong.mint().await;
    let rest = recorder.rests().expect("a mark");
    let secret =
        json!({"metadata": {"name": "shop", "annotations": {"note": &value[20..40]}}, "stringData": {"token": value}});
    let secret = serde_json::from_value(secret).expect("a Secret");
    secrets.create(&PostParams::default(), &secret).await.expect("it is created");
    recorder.rested(rest).expect("a mark");
    wrong.call(Method::DELETE, &format!("/authentication-tokens/{id}"), Value::Null).await;
    secrets.delete("shop", &DeleteParams::default()).await.expect("it is deleted");

    let history = recorder.history(true).expect("a history");
    let order: Vec<&str> = history.events.iter().map(|event| word(&event.what)).collect();
    assert_eq!(order, ["mint", "mint", "rest", "holds", "rested", "delete", "gone"]);
    let found = check(&history);
    let of = |token: &str| -> BTreeSet<Invariant> {
        found.iter().filter(|v| v.token.as_deref() == Some(token)).map(|violation| violation.invariant).collect()
    };
    use Invariant::{Expiry, Foreign, InUse, Leak, Order, Value as Spilt};
    assert_eq!(of(&leaked), BTreeSet::from([Leak, Expiry, Order]));
    assert_eq!(of(&id), BTreeSet::from([InUse, Foreign, Expiry, Spilt, Order]));
    assert!(found.iter().any(|violation| violation.invariant == Invariant::Rest), "{found:?}");
    // What failed is told with its story, and without a value.
    let words = recorder.holds(true).expect_err("nothing holds").to_string();
    assert!(words.contains(&id) && words.contains("Secret"), "{words}");
    assert!(value.split(".atlasv1.").all(|half| !words.contains(half)), "a value is told");
}

fn word(what: &What) -> &'static str {
    match what {
        What::Mint(_) => "mint",
        What::Delete(_) => "delete",
        What::Secret(secret) if secret.holds.is_some() => "holds",
        What::SecretGone(_) => "gone",
        What::RestBegan => "rest",
        What::RestEnded => "rested",
        _ => "other",
    }
}

#[tokio::test]
async fn what_a_restored_store_holds_is_news_after_a_lapse() {
    let mut bed = Bed::of_its_own().await;
    let namespace = bed.fresh_namespace().await;
    let tfc = Simulator::start(standard_world().world).expect("the simulator starts");
    let recorder =
        Recorder::start(tfc.ledger(), &bed.etcd_url(), std::slice::from_ref(&namespace)).expect("it records");
    let secrets: Api<Secret> = Api::namespaced(bed.client(), &namespace);
    let secret = |name: &str| serde_json::from_value(json!({"metadata": {"name": name}})).expect("a Secret");
    secrets.create(&PostParams::default(), &secret("before")).await.expect("it is created");
    let snapshot = bed.control_plane.folder().join("snapshot");
    bed.control_plane.snapshot(&snapshot).await.expect("a snapshot");
    secrets.delete("before", &DeleteParams::default()).await.expect("it is deleted");
    secrets.create(&PostParams::default(), &secret("after")).await.expect("it is created");
    // What was not seen by then is what a lapse is about.
    recorder.history(false).expect("a history");
    bed.control_plane.restore(&snapshot).await.expect("it is restored");

    let history = recorder.history(false).expect("a history");
    let told = history.events.iter().filter_map(|event| match &event.what {
        What::Secret(secret) => Some(secret.name.rsplit('/').next().unwrap_or_default().to_owned()),
        What::SecretGone(name) => Some(format!("no {}", name.rsplit('/').next().unwrap_or_default())),
        What::Lapse(of) if of.contains("/secrets/") => Some("lapse".into()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ["before", "no before", "after", "lapse", "before", "no after"]);
}
