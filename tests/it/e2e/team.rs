//! Tokens of teams: which team is meant, and what TFC says to it.

use serde_json::json;
use tfc_harness::simulator::{Team, TokenKind};

use crate::stage::{Stage, condition, ready, token_id};

#[tokio::test]
async fn a_team_by_its_id() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"team": {"id": "team-apps"}, "ttl": "1h", "description": "CI"})).await;
    let role = stage.issued("shop").await;
    let token = stage.tfc.token(&token_id(&role)).expect("TFC knows it");
    assert_eq!((token.kind, token.subject.as_str()), (TokenKind::Team, "team-apps"));
    let value = stage.token("shop").await;
    stage.delete_role("shop").await;
    stage.role_goes("shop").await;
    assert!(!stage.tfc.is_value_alive(&value));
}

#[tokio::test]
async fn a_team_by_its_name_is_looked_up_once_and_pinned() {
    let stage = Stage::new().await;
    let team = json!({"team": {"organization": "acme", "name": "apps"}, "ttl": "1h"});
    let looks = || {
        stage.tfc.log().iter().filter(|c| c.method == "GET" && c.path.starts_with("/organizations/acme/teams")).count()
    };
    stage.role("shop", team.clone()).await;
    let role = stage.issued("shop").await;
    let status = role.status.clone().expect("a status");
    assert_eq!((status.subject_id.as_deref(), status.subject.as_deref()), (Some("team-apps"), Some("acme/apps")));
    stage.role("blog", team).await;
    stage.issued("blog").await;
    assert_eq!(looks(), 1, "{:#?}", stage.tfc.log());

    // Another team of that name does not get what was promised to this one.
    stage.tfc.edit_team("team-apps", |team| team.name = "former-apps".into());
    stage.tfc.add_team(Team::new("team-other", "apps", "acme"));
    stage.annotate("shop", "rotate", "1").await;
    let successor = stage.succeeded("shop", &token_id(&role)).await;
    assert_eq!(stage.tfc.token(&token_id(&successor)).expect("TFC knows it").subject, "team-apps");
}

#[tokio::test]
async fn a_team_that_tfc_does_not_show() {
    let stage = Stage::new().await;
    stage.role("shop", json!({"team": {"organization": "acme", "name": "later"}})).await;
    stage.role("blog", json!({"team": {"id": "team-later"}})).await;
    let shop = stage.role_becomes("shop", "False", "NotPermitted").await;
    let blog = stage.role_becomes("blog", "False", "NotPermitted").await;
    let message = ready(&shop).expect("a condition").message;
    assert!(message.contains("acme/later"), "{message}");
    assert_eq!(condition(&shop, "Stalled").expect("a person must act").reason, "NotPermitted");
    let message = ready(&blog).expect("a condition").message;
    assert!(message.contains("not found") && message.contains("teams/team-later"), "{message}");
    stage.told("shop", "NotPermitted").await;

    stage.tfc.add_team(Team::new("team-later", "later", "acme"));
    for name in ["shop", "blog"] {
        stage.patch_role(name, json!({"spec": {"description": "tried at once after a change"}})).await;
        stage.issued(name).await;
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_tfcs_own_words_and_a_mended_spec_is_tried_at_once() {
    let stage = Stage::new().await;
    stage.tfc.edit_organization("acme", |acme| {
        acme.max_ttl_ms.insert("team".into(), 60_000);
    });
    stage.role("shop", json!({"team": {"id": "team-apps"}, "ttl": "1h"})).await;
    let role = stage.role_becomes("shop", "False", "Rejected").await;
    let message = ready(&role).expect("a condition").message;
    assert!(message.contains("Expired at exceeds the maximum allowed by the organization"), "{message}");
    stage.told("shop", "Rejected").await;
    assert_eq!(stage.tfc.minted(), Vec::new());

    stage.patch_role("shop", json!({"spec": {"ttl": "50s"}})).await;
    stage.issued("shop").await;
    stage.alive_become(1).await;
}
