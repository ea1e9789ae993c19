//! The tokens that TFC keeps one of: an organization's, and a team's without a description.

use serde_json::json;

use super::super::stage::{SOON, Stage, Token};
use super::{NAMESPACE, Tfc, role};
use crate::Error;
use crate::simulator::Slot;

pub(super) async fn play(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    organization(stage, tfc).await?;
    legacy(stage, tfc).await
}

async fn organization(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    let slot = Slot::Organization(tfc.ids.globex.to_owned());
    let id = tfc.simulator.slot(&slot).map(|token| token.id).unwrap_or_default();
    let somebodys = Token { id, value: tfc.ids.globex_token.clone() };
    stage.show.say("the organization globex has a token already, somebody's, in use");
    stage.apply("organization.yaml", &[role("organization", json!({"organization": {"name": "globex"}}))]).await?;
    let refused = stage.wait_reason(NAMESPACE, "organization", "SlotOccupied", SOON).await?;
    stage.show.claim("to mint would kill it, so the role waits: SlotOccupied", true, "");
    stage.show.quote(refused.ready().2);
    stage.claim_use(&somebodys, 200, "somebody's token still works").await?;

    let patch = r#"{"spec":{"slot":{"ifOccupied":"Replace"}}}"#;
    stage.kubectl(&["-n", NAMESPACE, "patch", "tfcrole", "organization", "--type=merge", "-p", patch]).await?;
    let place = (NAMESPACE, "organization", "organization");
    let first = stage.wait_token(place, None, SOON).await?;
    stage.claim_use(&first, 200, "told to replace, the role has the organization's token").await?;
    stage.claim_use(&somebodys, 401, "and somebody's is dead, as TFC keeps one").await?;
    stage.wait_reason(NAMESPACE, "organization", "Issued", SOON).await?;

    stage.kubectl(&["-n", NAMESPACE, "annotate", "tfcrole", "organization", "terraformcloud.dev/rotate=1"]).await?;
    let second = stage.wait_token(place, Some(&first), SOON).await?;
    stage.claim_use(&second, 200, "rotated on request").await?;
    stage.claim_use(&first, 401, "a slot knows no overlap: the old one died with the mint").await?;
    stage.wait_reason(NAMESPACE, "organization", "Issued", SOON).await?;
    stage.kubectl(&["-n", NAMESPACE, "delete", "tfcrole", "organization"]).await?;
    stage.claim_use(&second, 401, "the role is deleted, the organization's token is revoked").await?;
    stage.claim_gone(NAMESPACE, "organization", "organization").await
}

async fn legacy(stage: &mut Stage, tfc: &Tfc) -> Result<(), Error> {
    let spec = json!({"team": {"id": tfc.ids.globex_apps, "credentialType": "TeamLegacy"}});
    stage.apply("legacy.yaml", &[role("legacy", spec)]).await?;
    let token = stage.wait_token((NAMESPACE, "legacy", "legacy"), None, SOON).await?;
    stage.claim_use(&token, 200, "the team's legacy token works").await?;
    stage.wait_reason(NAMESPACE, "legacy", "Issued", SOON).await?;
    stage.kubectl(&["-n", NAMESPACE, "delete", "tfcrole", "legacy"]).await?;
    stage.claim_use(&token, 401, "the role is deleted, the team's legacy token is revoked").await?;
    stage.claim_gone(NAMESPACE, "legacy", "legacy").await
}
