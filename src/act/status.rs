//! Writes to the role's status: the intent before a mint, the record after it.

use tracing::{info, warn};

use super::{After, World, cluster_trouble};
use crate::api::{RoleReason, TerraformCloudRole, TerraformCloudRoleStatus};
use crate::boottime::BootInstant;
use crate::cluster::ClusterError;
use crate::failpoint;
use crate::observe::Round;
use crate::plan::observed::Secret;
use crate::plan::step::Note;
use crate::tfc::Class;

/// Writes the intent down. From here on the attempt is this round's to send.
pub async fn begin(world: &World, round: &mut Round, status: TerraformCloudRoleStatus) -> After {
    let attempt = status.intent.as_ref().map(|intent| intent.record.attempt.clone());
    round.begun_at = Some(BootInstant::now());
    match write(world, round, &status).await {
        Ok(()) => {
            round.facts.begun = attempt;
            After::Plan
        }
        Err(error) => cluster_trouble(round, "writing the intent into the status", error),
    }
}

/// Writes down what is known, and tells people what came of it.
pub async fn record(world: &World, round: &mut Round, status: TerraformCloudRoleStatus, notes: Vec<Note>) -> After {
    match write(world, round, &status).await {
        Ok(()) => {
            for note in notes {
                crate::report::note(world, round, &note).await;
            }
            After::Plan
        }
        Err(ClusterError::NotFound) => {
            undo(world, round).await;
            After::Done
        }
        Err(error) => cluster_trouble(round, "writing the status", error),
    }
}

/// Writes a status if it differs, on the resourceVersion observed, and tells people of a new verdict.
pub async fn write(world: &World, round: &mut Round, status: &TerraformCloudRoleStatus) -> Result<(), ClusterError> {
    let before = round.role.status.clone().unwrap_or_default();
    if before == *status && round.role.status.is_some() {
        return Ok(());
    }
    let at = (round.namespace(), round.name(), round.resource_version());
    let role: TerraformCloudRole = world.cluster.patch_status(at, &before, status).await?;
    if role.metadata.uid != round.role.metadata.uid {
        return Err(ClusterError::NotFound);
    }
    round.role = role;
    crate::report::verdict(world, round, &before.conditions).await;
    Ok(())
}

/// The role is gone, and with it whoever would revoke the token that was minted for it: the one case in which a lost record revokes.
async fn undo(world: &World, round: &mut Round) {
    let Some(token_id) = round.minted_token_id.take() else { return };
    warn!(namespace = round.namespace(), role = round.name(), token_id, "the role went while its token was minted");
    if let Secret::Ours(secret) = &round.secret {
        let name = round.role.secret_name();
        let deleted =
            world.cluster.delete_secret(round.namespace(), &name, &secret.uid, Some(&secret.resource_version)).await;
        if let Err(error) = deleted {
            warn!(namespace = round.namespace(), secret = name, %error, "its Secret could not be deleted");
        }
    }
    failpoint::pass("Record", "withdrawn");
    let Some(client) = world.client(round) else { return };
    match client.revoke(Class::Revocation, &token_id).await {
        Ok(()) => info!(namespace = round.namespace(), role = round.name(), token_id, "revoked"),
        Err(error) => {
            world.metrics.failed(RoleReason::RevocationUnproven.as_str());
            warn!(namespace = round.namespace(), role = round.name(), token_id, %error, "not revoked: it lives until it expires");
        }
    }
}
