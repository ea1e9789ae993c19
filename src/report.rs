//! What people are told: events in the role's namespace, metrics and log lines.

use tracing::{info, warn};

use crate::act::World;
use crate::api::{Condition, Kind, Record, RoleReason};
use crate::cluster::Severity;
use crate::cluster::events::Regarding;
use crate::observe::Round;
use crate::plan::observed::MarkedToken;
use crate::plan::step::Note;

/// Tells of something that was done.
pub async fn note(world: &World, round: &Round, note: &Note) {
    let kind = round.role.spec.kind();
    let id = |record: &Record| record.token_id.clone().unwrap_or_else(|| "of unknown id".into());
    let until =
        |record: &Record| record.expires_at.as_ref().map_or_else(String::new, |t| format!(", lives until {}", t.0));
    let secret = round.role.secret_name();
    let count = |counter: fn(&crate::metrics::Metrics, Kind)| {
        if let Some(kind) = kind {
            counter(&world.metrics, kind);
        }
    };
    let (severity, reason, action, words) = match note {
        Note::Issued(record) => {
            count(crate::metrics::Metrics::issued);
            (
                Severity::Normal,
                "Issued",
                "Issue",
                format!("token {} is in Secret {secret}{}", id(record), until(record)),
            )
        }
        Note::Rotated(record) => {
            count(crate::metrics::Metrics::issued);
            count(crate::metrics::Metrics::rotated);
            (
                Severity::Normal,
                "Rotated",
                "Rotate",
                format!("successor {} is in Secret {secret}{}", id(record), until(record)),
            )
        }
        Note::Renewed => (Severity::Normal, "Renewed", "Renew", "the lease starts anew".into()),
        Note::Revoked(record) => {
            count(crate::metrics::Metrics::revoked);
            (Severity::Normal, "Revoked", "Revoke", format!("token {} is revoked", id(record)))
        }
        Note::Withdrawn(record) => {
            (Severity::Normal, "Withdrawn", "Withdraw", format!("token {} has left Secret {secret}", id(record)))
        }
        Note::Restarted(workloads) => {
            (Severity::Normal, "Restarted", "Restart", format!("{workloads} read the token in Secret {secret} now"))
        }
        Note::NotRestarted(workloads) => {
            let words = format!(
                "{workloads}: the rollout has not ended in ten minutes and is waited for no longer; former tokens end after their overlap"
            );
            (Severity::Warning, "NotRestarted", "Restart", words)
        }
        Note::Abandoned(record) => {
            let words =
                format!("gave up on token {}, which may live on: revoke it in TFC{}", id(record), until(record));
            (Severity::Warning, "Abandoned", "Revoke", words)
        }
    };
    let (namespace, role) = (round.namespace(), round.name());
    match severity {
        Severity::Normal => info!(namespace, role, reason, "{words}"),
        Severity::Warning => warn!(namespace, role, reason, "{words}"),
    }
    world.cluster.event(&regarding(round), severity, reason, action, &words).await;
}

/// Tells of a token with the role's marker that is in use and that no record knows.
pub async fn stray(world: &World, round: &Round, token: &MarkedToken) {
    let until = token.expires_at.map_or_else(|| "it is revoked".to_owned(), |at| at.to_string());
    let words = format!(
        "token {} was minted for this role and is in use, but not by its Secret: it lives until {until}; a restored or cloned cluster may use it, else revoke it in TFC",
        token.id
    );
    warn!(namespace = round.namespace(), role = round.name(), reason = "UnknownToken", "{words}");
    world.cluster.event(&regarding(round), Severity::Warning, "UnknownToken", "Sweep", &words).await;
}

/// Tells of a permission without which the role's status can't say so itself.
pub async fn missing_permission(world: &World, round: &Round, words: &str) {
    let reason = RoleReason::MissingPermission.as_str();
    world.metrics.failed(reason);
    warn!(namespace = round.namespace(), role = round.name(), reason, "{words}");
    world.cluster.event(&regarding(round), Severity::Warning, reason, "Reconcile", words).await;
}

/// Tells of a verdict that is new: a failure that began, or one that is over.
pub async fn verdict(world: &World, round: &Round, before: &[Condition]) {
    let status = round.role.status.clone().unwrap_or_default();
    let (was, is) = (failure(before), failure(&status.conditions));
    let (namespace, role) = (round.namespace(), round.name());
    match is {
        Some(now) if was.is_none_or(|w| w.reason != now.reason) => {
            world
                .metrics
                .failed(RoleReason::ALL.iter().find(|r| r.as_str() == now.reason).map_or("Other", |r| r.as_str()));
            warn!(namespace, role, reason = now.reason, "{}", now.message);
            world.cluster.event(&regarding(round), Severity::Warning, &now.reason, "Reconcile", &now.message).await;
        }
        _ => {}
    }
}

/// The condition that says that something is wrong, if any does.
fn failure(conditions: &[Condition]) -> Option<&Condition> {
    const AS_IT_SHOULD_BE: [&str; 5] = ["Issuing", "Revoking", "Expired", "Suspended", "Uninstalled"];
    let wrong = |c: &&Condition| match c.type_.as_str() {
        "Ready" => c.status == "False",
        _ => c.status == "True",
    };
    conditions.iter().filter(wrong).find(|c| !AS_IT_SHOULD_BE.contains(&c.reason.as_str()))
}

fn regarding(round: &Round) -> Regarding {
    Regarding {
        kind: "TerraformCloudRole",
        namespace: round.namespace().to_owned(),
        name: round.name().to_owned(),
        uid: round.uid().to_owned(),
    }
}
