//! Tokens: made, read, used, replaced, deleted, expired.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tfc_harness::simulator::{Fate, Product, Revocation, Slot, TokenKind, TtlExcess};

use crate::client::{Bed, Got, bed};

const MANY: &str = "/teams/team-apps/authentication-tokens";
const LEGACY: &str = "/teams/team-legacy/authentication-token";
const ORGANIZATION: &str = "/organizations/acme/authentication-token";

async fn mint(bed: &Bed, description: &str) -> Got {
    let got = bed.post(MANY, &bed.ids.ci_token, json!({"description": description})).await;
    assert_eq!(got.status, 201, "{}", got.body["errors"]);
    got
}

fn attribute<'a>(got: &'a Got, name: &str) -> &'a Value {
    &got.body["data"]["attributes"][name]
}

#[tokio::test]
async fn a_value_is_in_the_reply_to_its_create_and_nowhere_else() {
    let bed = bed();
    let made = mint(&bed, "a").await;
    let value = made.token();
    let (head, tail) = value.expose().split_once(".atlasv1.").expect("the samples' form");
    assert_eq!((head.len(), tail.len()), (14, 67));
    assert!(made.id().starts_with("at-"));
    let read = bed.get(&format!("/authentication-tokens/{}", made.id()), &bed.ids.ci_token).await;
    assert_eq!((read.status, attribute(&read, "token")), (200, &Value::Null));
    let list = bed.get("/organizations/acme/team-tokens", &bed.ids.ci_token).await;
    assert!(!list.body.to_string().contains(value.expose()));
    let shown = format!("{:?}{:?}{:?}{:?}", bed.sim, bed.sim.tokens(), bed.sim.log(), bed.ids);
    assert!(!shown.contains(value.expose()) && !shown.contains(bed.ids.ci_token.expose()));
}

#[tokio::test]
async fn a_token_works_until_it_is_deleted_and_its_uses_are_dated() {
    let bed = bed();
    let made = mint(&bed, "a").await;
    let path = format!("/authentication-tokens/{}", made.id());
    assert_eq!(attribute(&bed.get(&path, &bed.ids.ci_token).await, "last-used-at"), &Value::Null);
    assert_eq!(bed.used(&made.token()).await, 200);
    assert!(attribute(&bed.get(&path, &bed.ids.ci_token).await, "last-used-at").is_string());
    assert!(bed.sim.is_value_alive(made.token().expose()));
    assert_eq!(bed.delete(&path, &bed.ids.ci_token).await.status, 204);
    assert_eq!(bed.used(&made.token()).await, 401);
    assert_eq!(bed.delete(&path, &bed.ids.ci_token).await.status, 404);
    assert_eq!(bed.get(&path, &bed.ids.ci_token).await.status, 404);
    let view = bed.sim.token(&made.id()).expect("known");
    assert!(matches!(view.fate, Fate::Revoked { ref by, how: Revocation::Delete, .. } if by == "user-ci"));
    assert_eq!((view.kind, view.made_by.as_str(), view.subject.as_str()), (TokenKind::Team, "user-ci", "team-apps"));
    assert!(view.first_used_at.is_some());
}

#[tokio::test]
async fn the_first_use_may_show_late() {
    let bed = bed();
    bed.sim.edit_behaviour(|behaviour| behaviour.last_used_lag_seconds = 60);
    let made = mint(&bed, "a").await;
    bed.used(&made.token()).await;
    let path = format!("/authentication-tokens/{}", made.id());
    assert_eq!(attribute(&bed.get(&path, &bed.ids.ci_token).await, "last-used-at"), &Value::Null);
    bed.sim.advance(SignedDuration::from_secs(61));
    assert!(attribute(&bed.get(&path, &bed.ids.ci_token).await, "last-used-at").is_string());
}

#[tokio::test]
async fn expiry_is_echoed_to_the_second_and_then_kept() {
    let bed = bed();
    let at = "2040-01-02T03:04:05.678Z";
    let made = bed.post(MANY, &bed.ids.ci_token, json!({"description": "a", "expired-at": at})).await;
    assert_eq!(attribute(&made, "expired-at"), "2040-01-02T03:04:05.000Z");
    bed.sim.set_now("2040-01-02T03:04:04Z".parse().expect("a time"));
    assert_eq!(bed.used(&made.token()).await, 200);
    bed.sim.advance(SignedDuration::from_secs(5));
    assert_eq!(bed.used(&made.token()).await, 401);
    let expired = "2040-01-02T03:04:05Z".parse().expect("a time");
    assert_eq!(bed.sim.token(&made.id()).expect("known").fate, Fate::Expired { at: expired });
    let read = bed.get(&format!("/authentication-tokens/{}", made.id()), &bed.ids.ci_token).await;
    assert_eq!(read.status, 200, "an expired token is still shown");
}

#[tokio::test]
async fn no_expiry_is_two_years() {
    let bed = bed();
    bed.sim.set_now("2030-03-04T05:06:07Z".parse().expect("a time"));
    for attributes in [json!({"description": "a"}), json!({"description": "b", "expired-at": null})] {
        let made = bed.post(MANY, &bed.ids.ci_token, attributes).await;
        assert!(attribute(&made, "expired-at").as_str().expect("set").starts_with("2032-03-04T05:06:"));
    }
}

#[tokio::test]
async fn a_past_or_senseless_expiry_is_refused() {
    let bed = bed();
    for at in [json!("2001-01-01T00:00:00Z"), json!("soon"), json!(7)] {
        let got = bed.post(MANY, &bed.ids.ci_token, json!({"description": "a", "expired-at": at})).await;
        assert_eq!((got.status, got.error("title")), (422, &json!("invalid attributes")));
    }
    bed.sim.edit_behaviour(|behaviour| behaviour.accepts_past_expiry = true);
    let past = json!({"description": "a", "expired-at": "2001-01-01T00:00:00Z"});
    let made = bed.post(MANY, &bed.ids.ci_token, past).await;
    assert_eq!((made.status, bed.used(&made.token()).await), (201, 401));
}

#[tokio::test]
async fn a_description_is_wanted_and_unique_in_its_team() {
    let bed = bed();
    assert_eq!(bed.post(MANY, &bed.ids.ci_token, json!({})).await.status, 422);
    let made = mint(&bed, "a").await;
    let again = bed.post(MANY, &bed.ids.ci_token, json!({"description": "a"})).await;
    assert_eq!((again.status, again.error("title")), (422, &json!("invalid attributes")));
    assert_eq!(again.error("detail"), "Validation failed: Description has already been taken");
    let legacy = "/teams/team-legacy/authentication-tokens";
    assert_eq!(bed.post(legacy, &bed.ids.ci_token, json!({"description": "a"})).await.status, 201, "another team");
    assert!(bed.sim.person_deletes(&made.id()));
    mint(&bed, "a").await;
    assert_eq!(attribute(&mint(&bed, "").await, "description"), "");
}

#[tokio::test]
async fn an_expired_token_may_or_may_not_hold_its_description() {
    let bed = bed();
    let soon = (bed.sim.now() + SignedDuration::from_secs(60)).to_string();
    bed.post(MANY, &bed.ids.ci_token, json!({"description": "a", "expired-at": soon})).await;
    bed.sim.advance(SignedDuration::from_secs(120));
    assert_eq!(bed.post(MANY, &bed.ids.ci_token, json!({"description": "a"})).await.status, 422);
    bed.sim.edit_behaviour(|behaviour| behaviour.expired_holds_description = false);
    mint(&bed, "a").await;
}

#[tokio::test]
async fn a_slot_holds_one_token_and_a_create_kills_the_former() {
    let bed = bed();
    for path in [LEGACY, ORGANIZATION] {
        assert_eq!(bed.get(path, &bed.ids.ci_token).await.status, 404);
        assert_eq!(bed.delete(path, &bed.ids.ci_token).await.status, 404);
        let first = bed.post(path, &bed.ids.ci_token, json!({})).await;
        assert_eq!(attribute(&first, "description"), &Value::Null);
        let second = bed.post(path, &bed.ids.ci_token, json!({})).await;
        assert_eq!((bed.used(&first.token()).await, bed.used(&second.token()).await), (401, 200));
        let how = bed.sim.token(&first.id()).expect("known").fate;
        assert!(matches!(how, Fate::Revoked { how: Revocation::SlotReplaced, .. }));
        assert_eq!(bed.get(path, &bed.ids.ci_token).await.id(), second.id());
        assert_eq!(bed.delete(path, &bed.ids.ci_token).await.status, 204);
        assert_eq!(bed.used(&second.token()).await, 401);
    }
}

#[tokio::test]
async fn slots_may_be_deletable_by_id_or_not() {
    let bed = bed();
    let made = bed.post(LEGACY, &bed.ids.ci_token, json!({})).await;
    let path = format!("/authentication-tokens/{}", made.id());
    bed.sim.edit_behaviour(|behaviour| behaviour.slot_deletable_by_id = false);
    assert_eq!(bed.get(&path, &bed.ids.ci_token).await.status, 200);
    assert_eq!(bed.delete(&path, &bed.ids.ci_token).await.status, 404);
    bed.sim.edit_behaviour(|behaviour| behaviour.slot_deletable_by_id = true);
    assert_eq!(bed.delete(&path, &bed.ids.ci_token).await.status, 204);
}

#[tokio::test]
async fn audit_trails_are_a_slot_of_their_own_on_hcp_and_none_on_enterprise() {
    let bed = bed();
    let ordinary = bed.post(ORGANIZATION, &bed.ids.ci_token, json!({})).await;
    let query = format!("{ORGANIZATION}?token=audit-trails");
    let audit = bed.post(&query, &bed.ids.ci_token, json!({})).await;
    assert_eq!(bed.used(&ordinary.token()).await, 200);
    assert_eq!(bed.get("/organizations/acme", &audit.token()).await.status, 404);
    assert_eq!(bed.get("/organization/audit-trail", &audit.token()).await.status, 200);
    bed.sim.set_product(Product::Tfe("v202505-1".to_owned()));
    bed.post(&query, &bed.ids.ci_token, json!({})).await;
    assert_eq!(bed.used(&ordinary.token()).await, 401);
}

#[tokio::test]
async fn an_organizations_token_that_renews_itself_ends_with_the_call() {
    let bed = bed();
    let got = bed.post("/organizations/globex/authentication-token", &bed.ids.globex_token, json!({})).await;
    assert_eq!(got.status, 201);
    assert_eq!(
        got.body["data"]["relationships"]["created-by"]["data"],
        json!({"id": "globex", "type": "organizations"})
    );
    assert_eq!((bed.used(&bed.ids.globex_token).await, bed.used(&got.token()).await), (401, 200));
}

#[tokio::test]
async fn only_a_user_makes_and_sees_its_tokens() {
    let bed = bed();
    let path = "/users/user-ci/authentication-tokens";
    let made = bed.post(path, &bed.ids.ci_token, json!({"description": "a"})).await;
    assert_eq!(made.status, 201);
    assert_eq!(bed.post(path, &bed.ids.ci_token, json!({"description": "a"})).await.status, 201, "need not be unique");
    for other in [&bed.ids.admin_token, &bed.ids.owners_token] {
        assert_eq!(bed.post(path, other, json!({"description": "b"})).await.status, 404);
        let list = bed.get(path, other).await;
        assert_eq!((list.status, &list.body["data"]), (200, &json!([])));
        assert_eq!(bed.delete(&format!("/authentication-tokens/{}", made.id()), other).await.status, 404);
    }
    assert_eq!(bed.get(path, &bed.ids.ci_token).await.body["data"].as_array().expect("a list").len(), 3);
    assert_eq!(bed.get("/users/user-none/authentication-tokens", &bed.ids.ci_token).await.status, 404);
}

#[tokio::test]
async fn a_lifetime_policy_rejects_clamps_or_makes_what_is_of_no_use() {
    let bed = bed();
    let day = 24 * 3600 * 1000;
    let before = mint(&bed, "before").await;
    bed.sim.edit_organization("acme", |acme| acme.max_ttl_ms = [("team".to_owned(), day)].into());
    assert_eq!(bed.used(&before.token()).await, 401, "an existing token over the limit is rejected at once");
    let far = json!({"description": "a", "expired-at": "2090-01-01T00:00:00Z"});
    assert_eq!(bed.post(MANY, &bed.ids.ci_token, far.clone()).await.status, 422);
    bed.sim.edit_behaviour(|behaviour| behaviour.ttl_excess = TtlExcess::Clamp);
    let clamped = bed.post(MANY, &bed.ids.ci_token, far).await;
    let expiry: Timestamp = attribute(&clamped, "expired-at").as_str().expect("set").parse().expect("a time");
    assert!(expiry <= bed.sim.now() + SignedDuration::from_hours(24));
    assert_eq!(bed.used(&clamped.token()).await, 200);
    bed.sim.edit_behaviour(|behaviour| behaviour.ttl_excess = TtlExcess::AcceptUnusable);
    let useless = mint(&bed, "b").await;
    assert_eq!(bed.used(&useless.token()).await, 401);
    assert_eq!(bed.get("/organizations/acme/token-ttl-policies", &bed.ids.dev_token).await.status, 403);
}

#[tokio::test]
async fn a_body_must_be_a_json_api_document() {
    let bed = bed();
    for body in ["", "{", "[]", "{}", r#"{"data":[]}"#, r#"{"data":{"attributes":7}}"#] {
        let request = bed.request(reqwest::Method::POST, MANY, &bed.ids.ci_token);
        let got = bed.send(request.header("content-type", crate::client::JSON_API).body(body)).await;
        assert_eq!(got.status, 422, "{body}");
    }
    assert!(bed.sim.minted().is_empty());
}

#[tokio::test]
async fn a_person_can_take_a_slot_and_delete_what_is_in_use() {
    let bed = bed();
    let made = bed.post(LEGACY, &bed.ids.ci_token, json!({})).await;
    let slot = Slot::Team("team-legacy".to_owned());
    let (id, value) = bed.sim.person_regenerates_slot(&slot).expect("the team exists");
    assert_eq!((bed.used(&made.token()).await, bed.used(&value).await), (401, 200));
    assert_eq!(bed.get(LEGACY, &bed.ids.ci_token).await.id(), id);
    assert!(bed.sim.person_deletes(&id) && !bed.sim.person_deletes(&id));
    assert_eq!(bed.sim.slot(&slot), None);
    let last = bed.post(LEGACY, &bed.ids.ci_token, json!({})).await;
    assert!(bed.sim.person_deletes_team("team-legacy"));
    assert_eq!(bed.used(&last.token()).await, 401);
}
