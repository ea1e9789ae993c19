//! Writes to the role's status: the intent before a mint, the record after it.

use std::sync::Arc;

use tracing::{info, warn};

use super::{After, World, class, cluster_trouble};
use crate::api::{RoleReason, TerraformCloudRole, TerraformCloudRoleStatus};
use crate::boottime::BootInstant;
use crate::cluster::ClusterError;
use crate::failpoint;
use crate::observe::Round;
use crate::plan::observed::Secret;
use crate::plan::step::{Note, Urgency};
use crate::tfc::Class;

/// Writes the intent down. From here on the attempt is this round's to send.
///
/// The mint's turn comes first: an intent that waited for its account's budget would be open for as long as a backlog lasts, and the room for
/// attempts of unknown fate is small.
pub async fn begin(world: &World, round: &mut Round, status: TerraformCloudRoleStatus, urgency: Urgency) -> After {
    let Some(client) = world.client(round) else { return After::Plan };
    drop(round.turn.take());
    round.turn = Some(Arc::new(client.turn(class(urgency)).await));
    let session = world.accounts.session(&round.role.config_key());
    if session.map(|session| session.epoch) != round.session.as_ref().map(|session| session.epoch) {
        return After::Observe;
    }
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
