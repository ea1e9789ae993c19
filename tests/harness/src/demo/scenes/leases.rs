//! Tokens with a lease: a user's, rotated when asked; a team's, rotated by itself; and one that is not renewed.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;

use super::super::stage::{SOON, Stage, Token};
use super::{NAMESPACE, Tfc, role};
use crate::Error;
use crate::simulator::Fate;
use crate::wait::poll_until;

pub(super) async fn user(stage: &mut Stage) -> Result<(), Error> {
    let spec = json!({"user": {"me": true}, "description": "demo: user", "ttl": "10m", "overlap": "10s"});
    stage.apply("user.yaml (ttl: 10m, overlap: 10s)", &[role("user", spec)]).await?;
    let place = (NAMESPACE, "user", "user");
    let first = stage.wait_token(place, None, SOON).await?;
    stage.claim_use(&first, 200, "the token works").await?;
    stage.wait_reason(NAMESPACE, "user", "Issued", SOON).await?;

    stage.kubectl(&["-n", NAMESPACE, "annotate", "tfcrole", "user", "terraformcloud.dev/rotate=1"]).await?;
    let second = stage.wait_token(place, Some(&first), SOON).await?;
    stage.claim_use(&second, 200, "the Secret holds a successor, and it works").await?;
    stage.claim_use(&first, 200, "the old one still works in its overlap").await?;
    stage.claim_dies(&first, SOON, "after the overlap the old one is revoked").await?;
    stage.claim_use(&second, 200, "the successor lives on").await?;

    stage.kubectl(&["-n", NAMESPACE, "delete", "tfcrole", "user"]).await?;
    stage.claim_use(&second, 401, "the role is deleted, its token is revoked").await?;
    stage.claim_gone(NAMESPACE, "user", "user").await
}

pub(super) async fn team_and_expiry(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    let team = json!({
        "team": {"organization": "acme", "name": "apps"}, "description": "demo: team",
        "ttl": "26s", "renewBefore": "13s", "overlap": "8s",
    });
    stage.apply("team.yaml (ttl: 26s, renewBefore: 13s, overlap: 8s)", &[role("team", team)]).await?;
    let place = (NAMESPACE, "team", "team");
    let first = stage.wait_token(place, None, SOON).await?;
    stage.claim_use(&first, 200, "the team's token works").await?;
    let once = json!({"user": {"me": true}, "description": "demo: once", "ttl": "15s", "renewal": "Never"});
    stage.apply("once.yaml (ttl: 15s, renewal: Never)", &[role("once", once)]).await?;
    let once = stage.wait_token((NAMESPACE, "once", "once"), None, SOON).await?;
    stage.claim_use(&once, 200, "the token that is not renewed works until its end").await?;

    stage.show.say("waiting for the successor, 13 s before the end of the first");
    let second = stage.wait_token(place, Some(&first), Duration::from_secs(24)).await?;
    stage.claim_use(&second, 200, "the team's successor came by itself").await?;
    stage.claim_use(&first, 200, "the team's old token still works in its overlap").await?;
    claim_expiry(stage, &once).await?;
    stage.claim_dies(&first, SOON, "after the overlap the team's old token is revoked").await?;
    claim_overlap(stage, tfc, &first, &second);

    stage.kubectl(&["-n", NAMESPACE, "delete", "tfcrole", "team", "once"]).await?;
    // Another successor may have come by now: all that TFC has are to be dead.
    let live = poll_until("the team's tokens to be revoked", SOON, async || {
        let tokens = tfc.simulator.minted().into_iter().filter(|token| token.is_alive());
        let live: Vec<String> = tokens
            .filter(|token| token.description.as_deref().is_some_and(|text| text.ends_with("demo: team")))
            .map(|token| token.id)
            .collect();
        if live.is_empty() { Ok(()) } else { Err(live.join(", ")) }
    })
    .await;
    let seen = live.as_ref().err().map(ToString::to_string).unwrap_or_default();
    stage.show.claim("the role is deleted, none of the team's tokens lives on", live.is_ok(), seen);
    stage.claim_gone(NAMESPACE, "team", "team").await
}

async fn claim_expiry(stage: &mut Stage, once: &Token) -> Result<(), Error> {
    stage.claim_dies(once, SOON, "at the end of its lease the token that is not renewed is dead").await?;
    let role = stage.wait_reason(NAMESPACE, "once", "Expired", SOON).await?;
    stage.show.quote(&role.told());
    let left = stage.token(NAMESPACE, "once").await?;
    stage.show.claim(
        "its Secret holds no credential any more",
        left.is_none(),
        left.map(|token| token.id).unwrap_or_default(),
    );
    Ok(())
}

/// By the simulator's own records, and not by when the demo happened to look.
fn claim_overlap(stage: &mut Stage, tfc: &Tfc, former: &Token, successor: &Token) {
    let revoked = tfc.simulator.token(&former.id).and_then(|token| match token.fate {
        Fate::Revoked { at, .. } => Some(at),
        _ => None,
    });
    let made = tfc.simulator.token(&successor.id).map(|token| token.created_at);
    let overlap = revoked.zip(made).map(|(revoked, made)| revoked.duration_since(made));
    let seconds = overlap.map_or(0.0, |overlap| overlap.as_secs_f64());
    // TFC's clock is known to the second.
    let range = SignedDuration::from_secs(7)..SignedDuration::from_secs(11);
    stage.show.claim(
        "the two lived side by side for the 8 s that were asked for",
        overlap.is_some_and(|overlap| range.contains(&overlap)),
        format!("{seconds:.1} s"),
    );
}
