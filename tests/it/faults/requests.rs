//! Each request to TFC met by each fault: a mint, a revocation, and the list that tells of a lost one; names that lead nowhere.

use std::time::Duration;

use serde_json::json;
use tfc_harness::simulator::{Answer, BodyKind, Fault, When};

use super::order::{BOUND, all_of, is_in_order};
use crate::stage::{SOON, Stage, token_id};

const TOKENS: &str = "/users/*/authentication-tokens";

/// What is asked of TFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Mint,
    /// In a slot.
    MintOfASlot,
    Revocation,
    List,
}

/// What comes of it.
#[derive(Clone, Copy, Debug)]
enum Met {
    RequestLost,
    ReplyLost,
    /// Before TFC acts.
    Status(u16),
    /// With the time at which the limit is over.
    LimitWithReset,
    /// A proxy's page, before TFC acts.
    ProxysPage,
    /// A proxy's page in place of TFC's reply.
    ProxysPageAfter,
    Truncated,
    Malformed,
    Enormous,
    Slow,
    /// Longer than anybody waits for a reply; TFC has acted.
    Late,
    /// Longer than anybody waits for a reply; TFC acts then.
    LatelyDone,
    Redirected,
    Doubled,
}

const ALL: [Met; 21] = [
    Met::RequestLost,
    Met::ReplyLost,
    Met::Status(401),
    Met::Status(403),
    Met::Status(404),
    Met::Status(409),
    Met::Status(422),
    Met::Status(429),
    Met::LimitWithReset,
    Met::Status(500),
    Met::Status(503),
    Met::ProxysPage,
    Met::ProxysPageAfter,
    Met::Truncated,
    Met::Malformed,
    Met::Enormous,
    Met::Slow,
    Met::Late,
    Met::LatelyDone,
    Met::Redirected,
    Met::Doubled,
];

impl Met {
    fn fault(self) -> Fault {
        const LONG: Duration = Duration::from_secs(35);
        match self {
            Met::RequestLost => Fault::RequestLost,
            Met::ReplyLost => Fault::ReplyLost,
            Met::Status(code) => Fault::status(code),
            Met::LimitWithReset => Answer::new(429).header("X-RateLimit-Reset", "1.5").into(),
            Met::ProxysPage => Answer::new(502).body(BodyKind::Html).into(),
            Met::ProxysPageAfter => Answer::new(504).body(BodyKind::Html).after_acting().into(),
            Met::Truncated => Fault::Truncated,
            Met::Malformed => Fault::Malformed,
            Met::Enormous => Fault::Huge(64 << 20),
            Met::Slow => Fault::Slow { bytes: 200, every: Duration::from_millis(100) },
            Met::Late => Fault::DelayAfter(tfc_harness::simulator::Wait::For(LONG)),
            Met::LatelyDone => Fault::DelayBefore(tfc_harness::simulator::Wait::For(LONG)),
            Met::Redirected => Fault::Redirect { status: 307, to: "http://127.0.0.1:1/elsewhere".into() },
            Met::Doubled => Fault::DuplicateDelivery,
        }
    }
}

/// A role whose request meets the fault, and a neighbour that has its token: it keeps it.
async fn survives(asked: Asked, met: Met) {
    // A request may act when its sender has long given up; then the settling time has to be longer than that.
    let settling = if matches!(met, Met::LatelyDone) { "--settling-time=40s" } else { "--settling-time=2s" };
    let stage = Stage::with(&[settling, "--sweep-interval=5s"]).await;
    let of_a_user = || json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s"});
    let spec = || match asked {
        Asked::MintOfASlot => json!({"organization": {"name": "acme"}}),
        _ => of_a_user(),
    };
    stage.role("neighbour", of_a_user()).await;
    let neighbours = token_id(&stage.issued("neighbour").await);
    let path = match asked {
        Asked::Mint => When::post(TOKENS),
        Asked::MintOfASlot => When::post("/organizations/*/authentication-token"),
        Asked::Revocation => When::delete("/authentication-tokens/*"),
        Asked::List => When::get(TOKENS),
    };
    match asked {
        Asked::Mint | Asked::MintOfASlot => {}
        Asked::Revocation => {
            stage.role("shop", spec()).await;
            stage.issued("shop").await;
        }
        Asked::List => drop(stage.tfc.fault(When::post(TOKENS).once(), Fault::ReplyLost)),
    }
    let struck = stage.tfc.fault(path.once(), met.fault());
    match asked {
        Asked::Revocation => stage.annotate("shop", "revoke", "1").await,
        Asked::Mint | Asked::MintOfASlot | Asked::List => drop(stage.role("shop", spec()).await),
    }
    tokio::time::timeout(BOUND, struck.reached(1)).await.expect("the fault strikes");
    assert!(stage.tfc.until(SOON, |tfc| tfc.minted().len() > 1).await, "a token for the role");
    is_in_order(&stage).await;
    assert_eq!(token_id(&stage.issued("neighbour").await), neighbours);
}

async fn each_fault_of(asked: Asked) {
    all_of(ALL, |met| survives(asked, met)).await;
}

#[tokio::test]
async fn whatever_meets_a_mint_the_role_gets_its_token_and_no_other_lives() {
    each_fault_of(Asked::Mint).await;
}

#[tokio::test]
async fn whatever_meets_a_slots_mint_the_slot_holds_what_the_secret_holds() {
    each_fault_of(Asked::MintOfASlot).await;
}

#[tokio::test]
async fn whatever_meets_a_revocation_the_token_is_dead_in_the_end() {
    each_fault_of(Asked::Revocation).await;
}

#[tokio::test]
async fn whatever_meets_a_list_what_was_lost_is_found_in_the_end() {
    each_fault_of(Asked::List).await;
}

/// More tokens than a page holds, and the list moves between one page and the next.
#[tokio::test]
async fn a_list_that_shifts_while_it_is_paged_hides_no_token_for_good() {
    let stage = Stage::with(&["--settling-time=2s", "--sweep-interval=5s"]).await;
    for n in 0..130 {
        stage.tfc.person_creates_team_token(stage.ids.platform, &format!("theirs {n}")).expect("a team");
    }
    stage.tfc.fault(When::mint().once(), Fault::ReplyLost);
    // Of the first walk and of the one that is to agree with it.
    let second_page = When::get("/organizations/*/team-tokens").query("page[number]=2");
    let struck = stage.tfc.fault(second_page.times(2), Fault::ShiftList { skip: 60, count: 0 });
    stage.role("shop", json!({"team": {"organization": "acme", "name": "apps"}, "ttl": "1h"})).await;
    tokio::time::timeout(BOUND, struck.reached(1)).await.expect("the list is walked");
    is_in_order(&stage).await;
}

#[tokio::test]
async fn a_host_whose_name_leads_nowhere_stops_its_own_roles_alone() {
    let stage = Stage::new().await;
    stage.secret("lost-admin", "token", stage.ids.ci_token.expose()).await;
    let lost = json!({"address": "https://tfc.invalid", "tokenSecretRef": {"name": "lost-admin"}});
    stage.create_config("lost", lost).await.expect("a config");
    stage.config_becomes("lost", "Unreachable").await;
    let spec = |config: &str| json!({"configRef": {"name": config}, "user": {"me": true}, "ttl": "1h"});
    stage.role("lost", spec("lost")).await;
    stage.role("shop", spec("tfc")).await;
    stage.issued("shop").await;
    stage.role_becomes("lost", "False", "ConfigNotReady").await;
    stage.delete_role("lost").await;
    stage.role_goes("lost").await;
    is_in_order(&stage).await;
}
