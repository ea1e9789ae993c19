//! Faults, outages, the log and the control endpoint.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tfc_harness::simulator::{Answer, BodyKind, Fault, Gate, Outage, Wait, When};

use crate::client::{Bed, bed};

const MANY: &str = "/teams/team-apps/authentication-tokens";
const PATIENCE: Duration = Duration::from_secs(60);

fn mint(bed: &Bed) -> reqwest::RequestBuilder {
    bed.post_request(MANY, &bed.ids.ci_token, &json!({"description": "a"}))
}

#[tokio::test]
async fn a_lost_reply_leaves_a_token_and_a_lost_request_does_not() {
    let bed = bed();
    let handle = bed.sim.fault(When::post(MANY).once(), Fault::RequestLost);
    mint(&bed).send().await.expect_err("the connection closes");
    assert_eq!((handle.hits(), bed.sim.minted().len()), (1, 0));
    bed.sim.fault(When::mint().once(), Fault::ReplyLost);
    mint(&bed).send().await.expect_err("the connection closes");
    assert_eq!(bed.sim.minted().len(), 1);
    let log = bed.sim.log();
    assert_eq!(log.iter().map(|call| (call.status, call.acted)).collect::<Vec<_>>(), [(None, false), (None, true)]);
    assert_eq!(log[1].fault.as_deref(), Some("reply-lost"));
    assert_eq!((log[1].route, log[1].caller.as_deref()), ("/teams/:team/authentication-tokens", Some("user-ci")));
}

#[tokio::test]
async fn a_request_held_at_a_gate_lands_after_its_client_has_left() {
    let bed = bed();
    let gate = Gate::new();
    let handle = bed.sim.fault(When::post(MANY), Fault::DelayBefore(Wait::from(&gate)));
    let client = tokio::spawn(mint(&bed).send());
    handle.reached(1).await;
    client.abort();
    client.await.expect_err("aborted");
    assert!(bed.sim.minted().is_empty());
    gate.open();
    assert!(bed.sim.until(PATIENCE, |sim| sim.minted().len() == 1).await);
}

#[tokio::test]
async fn a_reply_held_at_a_gate_comes_when_it_opens() {
    let bed = bed();
    let gate = Gate::new();
    bed.sim.fault(When::post(MANY), Fault::DelayAfter(Wait::from(&gate)));
    let client = tokio::spawn(mint(&bed).send());
    assert!(bed.sim.until(PATIENCE, |sim| sim.minted().len() == 1).await);
    assert!(!client.is_finished());
    gate.open();
    assert_eq!(client.await.expect("runs").expect("a reply").status(), 201);
}

#[tokio::test]
async fn a_hanging_request_ends_with_its_gate_and_never_acts() {
    let bed = bed();
    let gate = Gate::new();
    let handle = bed.sim.fault(When::any(), Fault::Hang(gate.clone()));
    let client = tokio::spawn(mint(&bed).send());
    handle.reached(1).await;
    gate.open();
    client.await.expect("runs").expect_err("the connection closes");
    assert!(bed.sim.minted().is_empty());
    handle.remove();
    assert_eq!(bed.used(&bed.ids.ci_token).await, 200);
}

#[tokio::test]
async fn statuses_come_with_the_bodies_and_headers_that_the_test_wants() {
    let bed = bed();
    bed.sim.fault(When::any().once(), Answer::new(429).header("X-RateLimit-Reset", "0.25"));
    let limited = bed.get("/account/details", &bed.ids.ci_token).await;
    assert_eq!((limited.status, limited.header("x-ratelimit-reset")), (429, "0.25"));
    assert_eq!(limited.error("status"), &json!(429));
    bed.sim.fault(When::any().once(), Answer::new(502).body(BodyKind::Html));
    let page = bed.get("/account/details", &bed.ids.ci_token).await;
    assert_eq!((page.status, page.header("content-type")), (502, "text/html"));
    bed.sim.fault(When::any().once(), Fault::status(403));
    assert_eq!(bed.get("/account/details", &bed.ids.ci_token).await.error("status"), &json!("403"));
    bed.sim.fault(When::mint().once(), Answer::new(504).body(BodyKind::Empty).after_acting());
    assert_eq!(bed.send(mint(&bed)).await.status, 504);
    assert_eq!(bed.sim.minted().len(), 1);
}

#[tokio::test]
async fn bodies_break_off_or_make_no_sense() {
    let bed = bed();
    bed.sim.fault(When::any().once(), Fault::Truncated);
    let reply = mint(&bed).send().await.expect("the head of a reply");
    assert_eq!(reply.status(), 201);
    reply.bytes().await.expect_err("breaks off");
    bed.sim.fault(When::any().once(), Fault::Malformed);
    let text = bed.request(Method::GET, "/account/details", &bed.ids.ci_token).send().await.expect("a reply").text();
    serde_json::from_str::<serde_json::Value>(&text.await.expect("whole")).expect_err("no JSON");
}

#[tokio::test]
async fn bodies_are_enormous_or_slow_and_still_right() {
    let bed = bed();
    bed.sim.fault(When::any().once(), Fault::Huge(3_000_000));
    let huge = bed.get("/account/details", &bed.ids.ci_token).await;
    assert_eq!(huge.body["padding"].as_str().expect("padding").len(), 3_000_000);
    assert_eq!(huge.body["data"]["id"], "user-ci");
    bed.sim.fault(When::any().once(), Fault::Slow { bytes: 100, every: Duration::from_millis(1) });
    assert_eq!(bed.get("/account/details", &bed.ids.ci_token).await.body["data"]["id"], "user-ci");
}

#[tokio::test]
async fn a_redirect_points_elsewhere_and_does_not_act() {
    let bed = bed();
    bed.sim.fault(When::mint(), Fault::Redirect { status: 307, to: "http://127.0.0.1:9/".to_owned() });
    let got = bed.send(mint(&bed)).await;
    assert_eq!((got.status, got.header("location")), (307, "http://127.0.0.1:9/"));
    assert!(bed.sim.minted().is_empty());
}

#[tokio::test]
async fn a_request_delivered_twice_acts_twice() {
    let bed = bed();
    bed.sim.fault(When::mint(), Fault::DuplicateDelivery);
    let path = "/organizations/acme/authentication-token";
    let got = bed.post(path, &bed.ids.ci_token, json!({})).await;
    let minted = bed.sim.minted();
    assert_eq!((minted.len(), minted[0].is_alive(), &minted[1].id), (2, false, &got.id()));
    assert_eq!(bed.send(mint(&bed)).await.status, 422, "the second delivery finds the description taken");
}

#[tokio::test]
async fn a_reply_can_lack_the_token() {
    let bed = bed();
    bed.sim.fault(When::mint(), Fault::DropTokenFromReply);
    let got = bed.send(mint(&bed)).await;
    assert_eq!((got.status, &got.body["data"]["attributes"]["token"]), (201, &json!(null)));
}

#[tokio::test]
async fn faults_choose_their_callers() {
    let bed = bed();
    bed.sim.fault(When::any().caller(bed.ids.platform), Fault::status(500));
    assert_eq!(bed.used(&bed.ids.platform_token).await, 500);
    assert_eq!(bed.used(&bed.ids.ci_token).await, 200);
}

#[tokio::test]
async fn an_outage_refuses_connections_and_ends_where_it_began() {
    let bed = bed();
    assert_eq!(bed.used(&bed.ids.ci_token).await, 200);
    for _ in 0..3 {
        bed.sim.down(Outage::Refused).expect("shuts");
        let refused = std::net::TcpStream::connect(bed.sim.socket_address()).expect_err("refused");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        bed.request(Method::GET, "/account/details", &bed.ids.ci_token).send().await.expect_err("cut or refused");
        bed.sim.up().expect("opens");
        assert_eq!(bed.used(&bed.ids.ci_token).await, 200);
    }
    bed.sim.down(Outage::Unavailable).expect("is away");
    assert_eq!(bed.used(&bed.ids.ci_token).await, 503);
    bed.sim.up().expect("is back");
    assert_eq!(bed.used(&bed.ids.ci_token).await, 200);
}

#[tokio::test]
async fn the_log_counts_and_goes_on_from_where_it_was_read() {
    let bed = bed();
    bed.used(&bed.ids.ci_token).await;
    let before = bed.sim.call_count();
    bed.send(mint(&bed)).await;
    bed.get("/organizations/acme/team-tokens?page%5Bsize%5D=5", &bed.ids.ci_token).await;
    let since = bed.sim.log_since(before);
    assert_eq!(since.iter().map(|call| call.serial).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(since[1].path, "/organizations/acme/team-tokens?page%5Bsize%5D=5");
    assert_eq!(bed.sim.count("GET", "/organizations/*/team-tokens"), 1);
    assert!(since[0].token_id.as_deref().is_some_and(|id| id.starts_with("at-")));
}

#[tokio::test]
async fn the_control_endpoint_shows_and_changes_without_values() {
    let bed = bed();
    let control = |path: &str| format!("{}/_simulator{path}", bed.sim.address());
    let order =
        json!({"when": {"method": "POST", "path": "/teams/**", "times": 1}, "fault": {"status": {"code": 500}}});
    assert_eq!(bed.send(bed.http.post(control("/faults")).body(order.to_string())).await.status, 200);
    assert_eq!(bed.send(mint(&bed)).await.status, 500);
    let made = bed.send(mint(&bed)).await;
    let clock = json!({"now": "2031-05-06T07:08:09Z"});
    let now = bed.send(bed.http.post(control("/clock")).body(clock.to_string())).await;
    assert!(now.body["now"].as_str().expect("a time").starts_with("2031-05-06T07:08"));
    let log = bed.send(bed.http.get(control("/log"))).await;
    assert_eq!(log.body[0]["fault"], "status-500");
    let tokens = bed.send(bed.http.get(control("/tokens"))).await;
    assert!(tokens.body.to_string().contains(&made.id()) && !tokens.body.to_string().contains(made.token().expose()));
    assert_eq!(bed.send(bed.http.post(control("/faults")).body("{}")).await.status, 400);
}
