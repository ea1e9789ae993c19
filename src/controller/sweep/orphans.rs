//! Tokens whose role is nowhere: it went by force, or a late mint came after it had gone.

use std::collections::HashSet;

use tracing::{info, warn};

use crate::api::names::ANNOTATION_RECORD;
use crate::api::{SecretRecord, TerraformCloudRole};
use crate::cluster::ClusterError;
use crate::controller::Operator;
use crate::marker::role_hash;
use crate::tfc::{Class, Client, Kind};
use crate::walks::Marked;

/// Revokes those whose role the API server does not have, and that no Secret holds, both by lists that are later than the walk.
/// An operator of some namespaces can't tell that a role is nowhere, and leaves them to their expiry.
pub async fn revoke(operator: &Operator, client: &Client, orphans: &[Marked]) {
    if !operator.settings.scope.namespaces.is_empty() {
        info!(tokens = orphans.len(), "tokens of roles that this operator does not serve are left to their expiry");
        return;
    }
    let nobodys = match nobodys(operator, orphans).await {
        Ok(nobodys) => nobodys,
        Err(error) => {
            warn!(%error, "tokens whose role is gone can't be told: the roles or Secrets could not be listed");
            return;
        }
    };
    for token in nobodys {
        let token_id = &token.id;
        match client.revoke(Class::Revocation, token_id).await {
            Ok(()) => info!(token_id, "revoked: its role is gone, and nobody ever used it"),
            Err(error) if error.kind == Kind::Hidden => {}
            Err(error) => {
                warn!(token_id, %error, "its role is gone, and it could not be revoked; at the next sweep again")
            }
        }
    }
}

async fn nobodys<'a>(operator: &Operator, orphans: &'a [Marked]) -> Result<Vec<&'a Marked>, ClusterError> {
    let cluster = &operator.world.cluster;
    let mut roles = HashSet::new();
    cluster.visit_kind::<TerraformCloudRole>(None, |meta| roles.extend(meta.uid.as_deref().map(role_hash))).await?;
    let suspects: HashSet<&str> = orphans.iter().map(|token| token.attempt.as_str()).collect();
    let mut held = HashSet::new();
    cluster
        .visit_secrets(None, |meta| {
            let text = meta.annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION_RECORD));
            let record = text.and_then(|text| serde_json::from_str::<SecretRecord>(text).ok());
            let attempt = record.and_then(|record| record.held).map(|held| held.attempt);
            held.extend(attempt.filter(|attempt| suspects.contains(attempt.as_str())));
        })
        .await?;
    let is_nobodys = |token: &&Marked| !roles.contains(&token.role) && !held.contains(&token.attempt);
    Ok(orphans.iter().filter(is_nobodys).collect())
}
