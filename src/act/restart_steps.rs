//! Steps at the workloads that ask to be restarted.

use super::{After, World};
use crate::cluster::ClusterError;
use crate::failpoint;
use crate::observe::Round;
use crate::plan::observed::TroubleKind;
use crate::plan::step::Restart;

/// Lists the workloads that ask to be restarted with this role's tokens.
pub async fn survey(world: &World, round: &mut Round) -> After {
    match world.cluster.workloads(round.namespace(), round.name()).await {
        Ok(workloads) => {
            round.facts.workloads = Some(workloads);
            After::Plan
        }
        Err(error) => failed(round, "listing the workloads to be restarted", error),
    }
}

/// Stamps one workload with the token's id.
pub async fn restart(world: &World, round: &mut Round, restart: &Restart) -> After {
    match world.cluster.stamp(round.namespace(), &restart.workload, &restart.token_id).await {
        Ok(stamped) => {
            let all = round.facts.workloads.iter_mut().flatten();
            all.filter(|workload| workload.uid == stamped.uid).for_each(|workload| *workload = stamped.clone());
            failpoint::pass("Restart", "stamped");
            After::Plan
        }
        // It changed, or went: all are listed anew.
        Err(ClusterError::Conflict | ClusterError::NotFound) => {
            round.facts.workloads = None;
            After::Observe
        }
        Err(error) => failed(round, &format!("restarting {}", restart.workload), error),
    }
}

fn failed(round: &mut Round, doing: &str, error: ClusterError) -> After {
    match error {
        ClusterError::Refused(refusal) => {
            round.refused(TroubleKind::Restart, format!("{doing}: {refusal}"), &refusal);
        }
        error => round.fail(TroubleKind::Restart, format!("{doing}: {error}")),
    }
    After::Plan
}
