//! Who gets in, what they see, and the headers and limits that all replies share.

use std::time::Duration;

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use tfc_harness::simulator::{AdminToken, Identity, Product, RateLimit, Subject, TokenValue};

use crate::client::{bed, bed_with};

#[tokio::test]
async fn only_a_bearer_token_that_lives_is_let_in() {
    let bed = bed();
    assert_eq!(bed.get("/account/details", &TokenValue::new("nonsense")).await.status, 401);
    let url = format!("{}/api/v2/account/details", bed.sim.address());
    let none = bed.send(bed.http.get(&url)).await;
    assert_eq!((none.status, none.error("status")), (401, &json!("401")));
    let basic = bed.send(bed.http.get(&url).basic_auth("ci", Some(bed.ids.ci_token.expose()))).await;
    assert_eq!(basic.status, 401);
    assert_eq!(bed.used(&bed.ids.ci_token).await, 200);
    assert!(bed.sim.revoke_admin_token(&bed.ids.ci_token));
    assert_eq!(bed.used(&bed.ids.ci_token).await, 401);
}

#[tokio::test]
async fn account_details_of_a_user_name_the_user_and_the_token_in_use() {
    let bed = bed();
    let got = bed.get("/account/details", &bed.ids.ci_token).await;
    let data = &got.body["data"];
    assert_eq!((&data["id"], &data["attributes"]["is-service-account"]), (&json!("user-ci"), &json!(false)));
    let id = bed.sim.token_id_of_value(bed.ids.ci_token.expose()).expect("known");
    assert_eq!(data["links"]["auth-token"], format!("/api/v2/authentication-tokens/{id}"));
}

#[tokio::test]
async fn account_details_of_team_and_organization_tokens_are_a_service_user_with_its_resource() {
    let bed = bed();
    for (token, resource) in [
        (&bed.ids.platform_token, json!({"id": bed.ids.platform, "type": "teams"})),
        (&bed.ids.globex_token, json!({"id": "globex", "type": "organizations"})),
    ] {
        let got = bed.get("/account/details", token).await;
        assert_eq!(got.body["data"]["attributes"]["is-service-account"], true);
        assert_eq!(got.body["data"]["relationships"]["authenticated-resource"]["data"], resource);
    }
}

#[tokio::test]
async fn what_is_hidden_looks_like_what_is_not_there() {
    let bed = bed();
    bed.sim.edit_team(bed.ids.legacy, |team| team.secret = true);
    for path in ["/organizations/globex", "/organizations/nowhere", "/teams/team-legacy", "/teams/team-none"] {
        let got = bed.get(path, &bed.ids.dev_token).await;
        assert_eq!((got.status, got.error("title")), (404, &json!("not found")), "{path}");
    }
    let names = |body: &Value| body["data"].as_array().expect("a list").len();
    assert_eq!(names(&bed.get("/organizations/acme/teams", &bed.ids.dev_token).await.body), 3);
    assert_eq!(names(&bed.get("/organizations/acme/teams", &bed.ids.ci_token).await.body), 4);
}

#[tokio::test]
async fn an_organization_has_its_name_as_id_and_a_stable_external_id() {
    let bed = bed();
    let got = bed.get("/organizations/acme", &bed.ids.ci_token).await;
    assert_eq!(got.body["data"]["id"], "acme");
    assert_eq!(got.body["data"]["attributes"]["external-id"], bed.ids.acme_id);
    assert!(bed.sim.person_renames_organization("acme", "acme-inc"));
    assert_eq!(bed.get("/organizations/acme", &bed.ids.ci_token).await.status, 404);
    let renamed = bed.get("/organizations/acme-inc", &bed.ids.ci_token).await;
    assert_eq!(renamed.body["data"]["attributes"]["external-id"], bed.ids.acme_id);
    assert_eq!(bed.get("/organizations/acme-inc/teams", &bed.ids.ci_token).await.body["data"][0]["type"], "teams");
}

#[tokio::test]
async fn an_organization_can_refuse_user_tokens_and_they_go_on_elsewhere() {
    let bed = bed();
    bed.sim.edit_organization("acme", |acme| acme.user_tokens_enabled = false);
    assert_eq!(bed.get("/organizations/acme", &bed.ids.ci_token).await.status, 404);
    assert_eq!(bed.get("/organizations/acme", &bed.ids.owners_token).await.status, 200);
    assert_eq!(bed.used(&bed.ids.ci_token).await, 200);
}

#[tokio::test]
async fn writing_needs_the_media_type_also_without_a_body() {
    let bed = bed();
    let id =
        bed.post("/teams/team-apps/authentication-tokens", &bed.ids.ci_token, json!({"description": "a"})).await.id();
    let path = format!("/authentication-tokens/{id}");
    let bare = bed.send(bed.request(Method::DELETE, &path, &bed.ids.ci_token)).await;
    assert_eq!((bare.status, bare.error("status")), (415, &json!("415")));
    let json = bed.request(Method::POST, "/teams/team-apps/authentication-token", &bed.ids.ci_token);
    assert_eq!(bed.send(json.header("content-type", "application/json").body("{}")).await.status, 415);
    assert_eq!(bed.delete(&path, &bed.ids.ci_token).await.status, 204);
}

#[tokio::test]
async fn members_manage_their_teams_tokens_unless_the_team_says_no() {
    let bed = bed();
    let path = "/teams/team-apps/authentication-tokens";
    assert_eq!(bed.post(path, &bed.ids.dev_token, json!({"description": "a"})).await.status, 201);
    let other =
        bed.post("/teams/team-legacy/authentication-tokens", &bed.ids.dev_token, json!({"description": "a"})).await;
    assert_eq!(other.status, 404);
    bed.sim.edit_team("team-apps", |team| team.allow_member_token_management = false);
    assert_eq!(bed.post(path, &bed.ids.dev_token, json!({"description": "b"})).await.status, 404);
    assert_eq!(bed.post(path, &bed.ids.platform_token, json!({"description": "c"})).await.status, 201);
}

#[tokio::test]
async fn ping_needs_no_token_and_names_the_product() {
    let bed = bed();
    let url = format!("{}/api/v2/ping", bed.sim.address());
    let got = bed.send(bed.http.get(&url)).await;
    assert_eq!((got.status, got.header("tfp-appname")), (204, "HCP Terraform"));
    assert!(got.headers.get("x-tfe-version").is_none());
    bed.sim.set_product(Product::Tfe("v202505-1".to_owned()));
    let got = bed.send(bed.http.get(&url)).await;
    assert_eq!((got.header("tfp-appname"), got.header("x-tfe-version")), ("Terraform Enterprise", "v202505-1"));
}

#[tokio::test]
async fn the_date_is_that_of_the_simulators_clock() {
    let bed = bed();
    bed.sim.set_now("2031-05-06T07:08:09Z".parse().expect("a time"));
    let got = bed.get("/account/details", &bed.ids.ci_token).await;
    assert!(got.header("date").starts_with("Tue, 06 May 2031 07:"), "{}", got.header("date"));
    bed.sim.advance(SignedDuration::from_hours(-24));
    assert!(bed.get("/account/details", &bed.ids.ci_token).await.header("date").starts_with("Mon, 05 May 2031"));
}

#[tokio::test]
async fn the_limit_is_the_users_not_the_tokens_and_its_429_has_a_number_for_a_status() {
    let bed = bed_with(|config| config.rate_limit = RateLimit::Bucket(1));
    let second = TokenValue::new("second");
    let subject = Subject::User("user-ci".to_owned());
    bed.sim.add_admin_token(AdminToken::new(subject, second.clone())).expect("exists");
    let first = bed.get("/account/details", &bed.ids.ci_token).await;
    assert_eq!((first.status, first.header("x-ratelimit-limit")), (200, "1"));
    let refused = bed.get("/account/details", &second).await;
    assert_eq!((refused.status, refused.error("status")), (429, &json!(429)));
    let reset: f64 = refused.header("x-ratelimit-reset").parse().expect("a number");
    assert!(reset > 0.0 && reset <= 1.0, "{reset}");
    assert_eq!(bed.get("/account/details", &bed.ids.dev_token).await.status, 200, "another user has another limit");
    tokio::time::sleep(Duration::from_secs_f64(reset)).await;
    assert_eq!(bed.get("/account/details", &second).await.status, 200);
}

#[tokio::test]
async fn it_speaks_https_to_those_who_trust_its_certificate() {
    for (names, trusted) in [(["127.0.0.1"], true), (["elsewhere.example"], false)] {
        let identity = Identity::self_signed(&names).expect("a certificate");
        let root = reqwest::Certificate::from_pem(identity.ca_pem().as_bytes()).expect("a certificate");
        let mut bed = bed_with(|config| config.tls = Some(identity));
        let stranger = bed.request(Method::GET, "/account/details", &bed.ids.ci_token).send().await;
        assert!(stranger.expect_err("trusts nobody").is_connect());
        let client = reqwest::Client::builder().tls_certs_only([root]).no_proxy().build();
        bed.http = client.expect("a client");
        let friend = bed.request(Method::GET, "/account/details", &bed.ids.ci_token).send().await;
        assert_eq!(friend.is_ok_and(|reply| reply.status() == 200), trusted, "{names:?}");
    }
}
