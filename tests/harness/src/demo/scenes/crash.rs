//! The operator is killed when TFC has made a token and nobody knows its value.

use std::time::Duration;

use serde_json::json;

use super::super::stage::{SOON, Stage};
use super::{NAMESPACE, Tfc, role};
use crate::Error;
use crate::simulator::{Fault, Gate, TokenView, When};
use crate::wait::poll_until;

const DESCRIPTION: &str = "demo: crash";

pub(super) async fn play(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    let gate = Gate::new();
    let held = tfc.simulator.fault(When::mint().once(), Fault::DelayAfter((&gate).into()));
    stage.show.say("the simulator will make the next token and hold its reply back");
    let spec = json!({"user": {"me": true}, "description": DESCRIPTION, "ttl": "10m"});
    stage.apply("crash.yaml", &[role("crash", spec)]).await?;
    let reached = tokio::time::timeout(SOON, held.reached(1)).await;
    let killed = stage.kill_operator();
    // Opened whatever happened, so that no other scene is held.
    gate.open();
    held.remove();
    reached.map_err(|_| Error::new("the operator did not ask for a token"))?;
    killed?;
    stage.show.say("TFC has made the token; kill -9 to the operator");

    let orphan = minted(tfc).pop().ok_or_else(|| Error::new("no token of the role was made"))?;
    stage.show.claim(
        &format!("a token lives that nobody has the value of: {}", orphan.id),
        orphan.is_alive(),
        format!("{:?}", orphan.fate),
    );
    let stands = stage.secret_stands(NAMESPACE, "crash").await?;
    stage.show.claim("there is no Secret", !stands, "there is one");

    stage.show.say("another operator is started; it leads when the Lease of the one that was killed is over");
    stage.restart_operator().await?;
    let token = stage.wait_token((NAMESPACE, "crash", "crash"), None, SOON).await?;
    stage.claim_use(&token, 200, "the role got a token all the same").await?;
    let gone = poll_until("the orphan to be revoked", Duration::from_secs(40), async || {
        tfc.simulator
            .token(&orphan.id)
            .map(|token| token.fate)
            .ok_or("unknown".to_owned())
            .and_then(|fate| if fate == crate::simulator::Fate::Alive { Err(format!("{fate:?}")) } else { Ok(()) })
    })
    .await;
    let seen = gone.as_ref().err().map(ToString::to_string).unwrap_or_default();
    stage.show.claim("the orphan was found by its mark and revoked", gone.is_ok() && token.id != orphan.id, seen);
    let live: Vec<String> = minted(tfc).into_iter().filter(TokenView::is_alive).map(|token| token.id).collect();
    stage.show.claim("one token of the role lives: the one in the Secret", live == [token.id.clone()], live.join(", "));
    stage.wait_reason(NAMESPACE, "crash", "Issued", SOON).await?;
    Ok(())
}

fn minted(tfc: &Tfc) -> Vec<TokenView> {
    let mut tokens = tfc.simulator.minted();
    tokens.retain(|token| token.description.as_deref().is_some_and(|text| text.ends_with(DESCRIPTION)));
    tokens
}
