//! Lists: pages, filters, order.

use serde_json::{Value, json};
use tfc_harness::simulator::{Fault, When};

use crate::client::{Bed, Got, bed};

const LIST: &str = "/organizations/acme/team-tokens";

async fn with_tokens(bed: &Bed, count: usize) {
    for i in 0..count {
        bed.sim.person_creates_team_token("team-apps", &format!("t{i}")).expect("the team exists");
    }
}

/// Of the described tokens that the test made.
fn descriptions(got: &Got) -> Vec<String> {
    let data = got.body["data"].as_array().expect("a list");
    let all = data.iter().map(|item| item["attributes"]["description"].as_str().unwrap_or("(none)").to_owned());
    all.filter(|text| text != "config").collect()
}

async fn page(bed: &Bed, number: usize, size: usize) -> Got {
    let path = format!("{LIST}?page%5Bnumber%5D={number}&page%5Bsize%5D={size}&q=apps");
    bed.get(&path, &bed.ids.ci_token).await
}

#[tokio::test]
async fn team_tokens_come_in_pages_of_twenty_and_of_a_hundred_at_most() {
    let bed = bed();
    with_tokens(&bed, 105).await;
    let plain = bed.get(LIST, &bed.ids.ci_token).await;
    assert_eq!(plain.body["data"].as_array().expect("a list").len(), 20);
    let first = page(&bed, 1, 5000).await;
    assert_eq!(descriptions(&first).len(), 100);
    let meta = &first.body["meta"]["pagination"];
    assert_eq!((&meta["next-page"], &meta["total-pages"], &meta["total-count"]), (&json!(2), &json!(2), &json!(105)));
    let last = page(&bed, 2, 100).await;
    assert_eq!(descriptions(&last), ["t100", "t101", "t102", "t103", "t104"]);
    assert_eq!(last.body["meta"]["pagination"]["next-page"], Value::Null);
    assert_eq!(last.body["links"]["next"], Value::Null);
}

#[tokio::test]
async fn the_list_has_the_legacy_token_and_names_each_team() {
    let bed = bed();
    bed.post("/teams/team-legacy/authentication-token", &bed.ids.ci_token, json!({})).await;
    let got = bed.get(&format!("{LIST}?q=legacy"), &bed.ids.ci_token).await;
    assert_eq!(descriptions(&got), ["(none)"]);
    assert_eq!(got.body["data"][0]["relationships"]["team"]["data"], json!({"id": "team-legacy", "type": "teams"}));
}

#[tokio::test]
async fn the_list_shows_only_tokens_that_the_caller_may_manage() {
    let bed = bed();
    with_tokens(&bed, 1).await;
    bed.sim.person_creates_team_token("team-legacy", "other").expect("the team exists");
    assert_eq!(descriptions(&bed.get(LIST, &bed.ids.dev_token).await), ["t0"]);
    assert_eq!(descriptions(&bed.get(LIST, &bed.ids.platform_token).await).len(), 2);
    assert_eq!(bed.get("/organizations/globex/team-tokens", &bed.ids.ci_token).await.status, 404);
}

#[tokio::test]
async fn an_unknown_order_is_refused_and_a_known_one_can_be_reversed() {
    let bed = bed();
    with_tokens(&bed, 2).await;
    assert_eq!(bed.get(&format!("{LIST}?sort=colour"), &bed.ids.ci_token).await.status, 400);
    let got = bed.get(&format!("{LIST}?sort=-expired-at&q=apps"), &bed.ids.ci_token).await;
    assert_eq!(descriptions(&got).len(), 2);
    let none = bed.get(&format!("{LIST}?filter%5Bstatus%5D=expired"), &bed.ids.ci_token).await;
    assert!(descriptions(&none).is_empty());
}

#[tokio::test]
async fn teams_are_found_by_exact_names_or_searched() {
    let bed = bed();
    let names = |got: Got| -> Vec<Value> {
        got.body["data"].as_array().expect("a list").iter().map(|team| team["attributes"]["name"].clone()).collect()
    };
    let filter = "/organizations/acme/teams?filter%5Bnames%5D=apps%2Clegacy%2Cnone";
    assert_eq!(names(bed.get(filter, &bed.ids.ci_token).await), ["apps", "legacy"]);
    let search = "/organizations/acme/teams?q=LEG";
    assert_eq!(names(bed.get(search, &bed.ids.ci_token).await), ["legacy"]);
}

#[tokio::test]
async fn a_users_list_has_pages_only_when_asked() {
    let bed = bed();
    let path = "/users/user-ci/authentication-tokens";
    for _ in 0..24 {
        bed.post(path, &bed.ids.ci_token, json!({"description": "a"})).await;
    }
    assert_eq!(bed.get(path, &bed.ids.ci_token).await.body["data"].as_array().expect("a list").len(), 25);
    let paged = bed.get(&format!("{path}?page%5Bsize%5D=10"), &bed.ids.ci_token).await;
    assert_eq!(paged.body["data"].as_array().expect("a list").len(), 10);
}

#[tokio::test]
async fn a_list_that_shifts_between_pages_hides_an_entry() {
    let bed = bed();
    with_tokens(&bed, 6).await;
    bed.sim.fault(When::get(LIST).query("page[number]=2").once(), Fault::ShiftList { skip: 1, count: 0 });
    let seen = [descriptions(&page(&bed, 1, 3).await), descriptions(&page(&bed, 2, 3).await)].concat();
    assert_eq!(seen, ["t0", "t1", "t2", "t4", "t5"]);
    assert_eq!(descriptions(&page(&bed, 2, 3).await), ["t3", "t4", "t5"]);
}
