//! What it means that all is in order, and many cases side by side.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ListParams;
use tfc_harness::simulator::{Fate, Revocation, TokenView};
use tfc_harness::wait_until;
use tfc_token_operator::api::TerraformCloudRole;

use crate::stage::{Stage, current, ready};

/// Within this, after the last fault, everything is back in order without a hand.
pub const BOUND: Duration = Duration::from_secs(180);

/// Cases that run side by side: most of their time is waiting.
const AT_ONCE: usize = 8;

/// Waits until all is in order: each role has one token, which lives and is the one in its Secret, and nothing of it is open; no
/// other token that calls made lives, but `others`; and nobody else's token was touched.
pub async fn is_in_order_but(stage: &Stage, others: &BTreeSet<String>) {
    wait_until("all to be in order", BOUND, async || look(stage, others).await).await;
}

/// The same, with no other token.
pub async fn is_in_order(stage: &Stage) {
    is_in_order_but(stage, &BTreeSet::new()).await;
}

async fn look(stage: &Stage, others: &BTreeSet<String>) -> Result<(), String> {
    let roles = stage.roles().list(&ListParams::default()).await.map_err(|error| error.to_string())?;
    let secrets = stage.secrets().list(&ListParams::default()).await.map_err(|error| error.to_string())?;
    let mut wanted = others.clone();
    for role in &roles {
        let secret = secrets.iter().find(|secret| secret.name_any() == role.secret_name());
        wanted.extend(holds(stage, role, secret)?);
    }
    let (made, foreign): (Vec<TokenView>, Vec<TokenView>) =
        stage.tfc.tokens().into_iter().partition(|token| token.made_by.starts_with("user-"));
    let alive: BTreeSet<String> = made.into_iter().filter(TokenView::is_alive).map(|token| token.id).collect();
    if alive != wanted {
        let (leaked, lost) = (alive.difference(&wanted), wanted.difference(&alive));
        return Err(format!("leaked: {:?}, dead: {:?}", leaked.collect::<Vec<_>>(), lost.collect::<Vec<_>>()));
    }
    let by_a_call = |token: &&TokenView| matches!(&token.fate, Fate::Revoked { how, .. } if *how != Revocation::Person);
    match foreign.iter().find(by_a_call) {
        Some(token) => Err(format!("somebody else's token was touched: {token:?}")),
        None => Ok(()),
    }
}

/// The token that a role should hold; an error in words while it is not at rest.
fn holds(stage: &Stage, role: &TerraformCloudRole, secret: Option<&Secret>) -> Result<Option<String>, String> {
    let name = role.name_any();
    let status = role.status.clone().unwrap_or_default();
    let open = status.predecessors.len() + status.unsettled.len() + usize::from(status.intent.is_some());
    let reason = ready(role).map(|condition| condition.reason).unwrap_or_default();
    if open > 0 || !["Issued", "Expired"].contains(&reason.as_str()) {
        return Err(format!("{name}: {}", serde_json::to_string_pretty(&status).unwrap_or_default()));
    }
    let value = secret.and_then(|secret| Some(String::from_utf8_lossy(&secret.data.as_ref()?.get("token")?.0).into()));
    let held = value.and_then(|value: String| stage.tfc.token_id_of_value(&value));
    if held != current(role) || held.is_none() == (reason == "Issued") {
        return Err(format!("{name} is {reason}, its Secret holds {held:?}, its record says {:?}", current(role)));
    }
    Ok(held)
}

/// Runs all cases, some at a time: each with what came of it. Fails with the names of those that failed.
pub async fn all_of<C: Clone + Debug, T, F: Future<Output = T>>(
    cases: impl IntoIterator<Item = C>,
    case: impl Fn(C) -> F,
) -> Vec<(C, T)> {
    let runs = cases.into_iter().map(|of| {
        let run = AssertUnwindSafe(case(of.clone())).catch_unwind();
        async move { run.await.map(|came| (of.clone(), came)).map_err(|_| format!("{of:?}")) }
    });
    let all: Vec<Result<(C, T), String>> = stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    let failed: Vec<&String> = all.iter().filter_map(|run| run.as_ref().err()).collect();
    assert!(failed.is_empty(), "failed, for the reasons above: {failed:#?}");
    all.into_iter().flatten().collect()
}
