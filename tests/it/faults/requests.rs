//! Each request to TFC met by each fault: a mint, a revocation, and the list that tells of a lost one.

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
    let spec = || json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s"});
    stage.role("neighbour", spec()).await;
    let neighbours = token_id(&stage.issued("neighbour").await);
    let path = match asked {
        Asked::Mint => When::post(TOKENS),
        Asked::Revocation => When::delete("/authentication-tokens/*"),
        Asked::List => When::get(TOKENS),
    };
    match asked {
        Asked::Mint => {}
        Asked::Revocation => {
            stage.role("shop", spec()).await;
            stage.issued("shop").await;
        }
        Asked::List => drop(stage.tfc.fault(When::post(TOKENS).once(), Fault::ReplyLost)),
    }
    let struck = stage.tfc.fault(path.once(), met.fault());
    match asked {
        Asked::Revocation => stage.annotate("shop", "revoke", "1").await,
        Asked::Mint | Asked::List => drop(stage.role("shop", spec()).await),
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
async fn whatever_meets_a_revocation_the_token_is_dead_in_the_end() {
    each_fault_of(Asked::Revocation).await;
}

#[tokio::test]
async fn whatever_meets_a_list_what_was_lost_is_found_in_the_end() {
    each_fault_of(Asked::List).await;
}
