//! Steps that change the API server alone, but for the status.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{After, World, cluster_trouble};
use crate::api::names::{
    ANNOTATION_FENCE, ANNOTATION_PENDING, ANNOTATION_RECORD, FINALIZER_REVOKE, LABEL_MANAGED_BY, LABEL_ROLE,
};
use crate::api::{Held, Pending, SecretRecord, TerraformCloudRole};
use crate::cluster::leases::SlotHolder;
use crate::cluster::{ClusterError, Refusal, SecretMeta};
use crate::failpoint;
use crate::observe::Round;
use crate::plan::observed::{OurSecret, Reservation, Secret, TroubleKind};
use crate::plan::step::{Note, Withdrawal};
use crate::plan::subject::Subject;
use crate::secret::{Frame, KEY_TOKEN};
use crate::tfc::TokenValue;

/// Puts our finalizer on the role.
pub async fn finalize(world: &World, round: &mut Round) -> After {
    let mut finalizers = round.role.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(FINALIZER_REVOKE.into());
    write_finalizers(world, round, &finalizers).await
}

/// Gives the slot's Lease back and takes our finalizer off the role, which goes.
pub async fn release(world: &World, round: &mut Round, slot: Option<&Subject>) -> After {
    // The config may be gone already; the records still say where the slot is.
    let status = round.role.status.clone().unwrap_or_default();
    let recorded = status.predecessors.first().or(status.unsettled.first().map(|u| &u.record)).map(|r| r.host.clone());
    let host = recorded.or_else(|| round.session.as_ref().map(|session| session.terms.host.clone()));
    if let (Some(subject), Some(host)) = (slot, host) {
        let subject = subject.to_string();
        let released = world.cluster.release_slot(&world.own_namespace, (&host, &subject), round.uid()).await;
        if let Err(error) = released {
            return cluster_trouble(round, "giving the slot's Lease back", error);
        }
    }
    failpoint::pass("Release", "given");
    let mut finalizers = round.role.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|f| f != FINALIZER_REVOKE);
    match write_finalizers(world, round, &finalizers).await {
        After::Plan if !round.failed => {
            // What was proven last is recorded nowhere any more, but people are told of it as of the others.
            let open =
                status.predecessors.into_iter().chain(status.unsettled.into_iter().map(|attempt| attempt.record));
            for record in open.filter(|record| record.token_id.is_some()) {
                if round.facts.gone.contains(&record.attempt) {
                    crate::report::note(world, round, &Note::Revoked(record)).await;
                }
            }
            After::Done
        }
        after => after,
    }
}

async fn write_finalizers(world: &World, round: &mut Round, finalizers: &[String]) -> After {
    let at = (round.namespace(), round.name(), round.resource_version());
    match world.cluster.patch_finalizers::<TerraformCloudRole>(at, finalizers).await {
        Ok(role) => {
            round.role = role;
            After::Plan
        }
        Err(error) => cluster_trouble(round, "writing the role's finalizers", error),
    }
}

/// Takes the slot's Lease, or finds out who holds it. A holder that is gone holds nothing.
pub async fn reserve(world: &World, round: &mut Round, subject: &Subject) -> After {
    let Some(session) = round.session.clone() else { return After::Observe };
    let (host, subject) = (session.terms.host.clone(), subject.to_string());
    let slot = (host.as_str(), subject.as_str());
    let me = SlotHolder { uid: round.uid().to_owned(), role: format!("{}/{}", round.namespace(), round.name()) };
    let result = async {
        let holder = world.cluster.take_slot(&world.own_namespace, slot, &me).await?;
        if holder.uid == me.uid || holder_lives(world, &holder).await? {
            return Ok(holder);
        }
        world.cluster.release_slot(&world.own_namespace, slot, &holder.uid).await?;
        failpoint::pass("Reserve", "freed");
        world.cluster.take_slot(&world.own_namespace, slot, &me).await
    };
    match result.await {
        Ok(holder) if holder.uid == me.uid => round.facts.reservation = Some(Reservation::Held),
        Ok(holder) => round.facts.reservation = Some(Reservation::HeldBy(holder.role)),
        // Two roles reach for it at once: the next look shows who was first.
        Err(error) => return cluster_trouble(round, "taking the slot's Lease", error),
    }
    After::Plan
}

async fn holder_lives(world: &World, holder: &SlotHolder) -> Result<bool, ClusterError> {
    let Some((namespace, name)) = holder.role.split_once('/') else { return Ok(false) };
    let role = world.cluster.get::<TerraformCloudRole>(namespace, name).await?;
    Ok(role.is_some_and(|role| role.metadata.uid.as_deref() == Some(&holder.uid)))
}

/// Tries the Secret's write without doing it: what the API server would refuse is found out before a token is minted.
pub async fn rehearse(world: &World, round: &mut Round) -> After {
    if let Some(after) = dry_run(world, round).await {
        return after;
    }
    round.facts.rehearsed = true;
    After::Plan
}

/// A slot's mint kills the token in use, so its Secret is tried first and, where it stands, tells of the mint.
pub async fn claim(world: &World, round: &mut Round) -> After {
    if let Some(after) = dry_run(world, round).await {
        // Nothing was minted: the attempt is known to have made nothing.
        round.facts.begun.take().map(|attempt| round.facts.gone.insert(attempt));
        return after;
    }
    failpoint::pass("Claim", "tried");
    let intent = round.role.status.as_ref().and_then(|s| s.intent.clone());
    let (Secret::Ours(secret), Some(intent)) = (round.secret.clone(), intent) else {
        round.facts.claimed = true;
        return After::Plan;
    };
    let pending = Pending {
        attempt: intent.record.attempt,
        requested_expiry: intent.requested_expiry,
        slot_token_id_before: intent.slot_token_id_before,
        account: intent.record.account,
        since: intent.since,
    };
    let text = serde_json::to_string(&pending).unwrap_or_default();
    match annotate(world, round, &secret, ANNOTATION_PENDING, &text).await {
        Ok(()) => {
            round.facts.claimed = true;
            After::Plan
        }
        Err(error) => cluster_trouble(round, "claiming the Secret", error),
    }
}

async fn dry_run(world: &World, round: &mut Round) -> Option<After> {
    let Ok(token) = TokenValue::new("dry-run") else { return None };
    let answers = answered(round);
    let held = Held { attempt: "dry-run".into(), token_id: "dry-run".into(), ..Held::default() };
    let frame = Frame { role: &round.role, installation: &world.installation, answers };
    let rendering = frame.render(&held, &token);
    let result = match &round.secret {
        Secret::Absent => world.cluster.create_secret(round.namespace(), rendering.create(), true).await,
        Secret::Ours(secret) => {
            let patch = rendering.patch(&secret.uid, &secret.resource_version, secret.record.as_ref());
            world.cluster.patch_secret(round.namespace(), &round.role.secret_name(), patch, true).await
        }
        Secret::Foreign => return Some(After::Observe),
    };
    match result {
        Ok(_) => None,
        Err(ClusterError::Refused(refusal)) => {
            round.refused(TroubleKind::SecretRefused, secret_refused(round, &refusal), &refusal);
            Some(After::Plan)
        }
        Err(error) => Some(cluster_trouble(round, "trying the Secret's write", error)),
    }
}

/// The words for a Secret that the API server refuses.
pub fn secret_refused(round: &Round, refusal: &Refusal) -> String {
    format!("the API server refuses Secret {}: {refusal}", round.role.secret_name())
}

/// Reads the Secret whole, and rewrites what of ours differs, from the value it holds.
pub async fn render(world: &World, round: &mut Round) -> After {
    let Some(current) = round.role.status.as_ref().and_then(|s| s.current.clone()) else { return After::Observe };
    let name = round.role.secret_name();
    let value = match world.cluster.secret_value(round.namespace(), &name).await {
        Ok(Some(value)) => value,
        Ok(None) => return After::Observe,
        Err(error) => return cluster_trouble(round, "reading the Secret", error),
    };
    let stands = match &round.secret {
        Secret::Ours(secret) => value.metadata.resource_version.as_deref() == Some(&secret.resource_version),
        _ => false,
    };
    if !stands {
        return After::Observe;
    }
    let bytes = value.get(KEY_TOKEN).unwrap_or_default();
    let text = String::from_utf8(bytes.to_vec()).unwrap_or_default();
    let token = TokenValue::new(text).ok().filter(|token| token.matches(&current.attempt, &current.digest));
    let Some(token) = token else {
        round.facts.value_lost = true;
        return After::Plan;
    };
    let former = former(round);
    let frame = Frame { role: &round.role, installation: &world.installation, answers: answered(round) };
    let rendering = frame.render(&Held::from(&current), &token);
    if rendering.matches(&value) && former.as_ref().is_some_and(|f| f.keys == *rendering.keys()) {
        round.see_own_write(world, &value.metadata);
        return After::Plan;
    }
    let patch = rendering.repair(&value, former.as_ref());
    match world.cluster.patch_secret(round.namespace(), &name, patch, false).await {
        Ok(meta) => {
            round.see_own_write(world, &meta.metadata);
            After::Plan
        }
        Err(ClusterError::Refused(refusal)) => {
            round.refused(TroubleKind::SecretRefused, secret_refused(round, &refusal), &refusal);
            After::Plan
        }
        Err(error) => cluster_trouble(round, "writing the Secret", error),
    }
}

/// Changes the Secret, so that a write that was sent before finds its resourceVersion stale.
pub async fn fence(world: &World, round: &mut Round) -> After {
    let Secret::Ours(secret) = round.secret.clone() else { return After::Observe };
    // A write that changes nothing is none: the text differs each time.
    let text = format!("{}.{}", round.resource_version(), Timestamp::now().as_nanosecond());
    match annotate(world, round, &secret, ANNOTATION_FENCE, &text).await {
        Ok(()) => {
            round.facts.fenced = true;
            After::Plan
        }
        Err(error) => cluster_trouble(round, "fencing the Secret", error),
    }
}

async fn annotate(
    world: &World,
    round: &mut Round,
    secret: &OurSecret,
    name: &str,
    text: &str,
) -> Result<(), ClusterError> {
    let current = round.role.status.as_ref().and_then(|s| s.current.as_ref());
    let in_order = secret.verified || current.is_some_and(|c| c.secret_resource_version == secret.resource_version);
    let patch = json!({"metadata": {
        "uid": secret.uid, "resourceVersion": secret.resource_version, "annotations": {name: text},
    }});
    let meta = world.cluster.patch_secret(round.namespace(), &round.role.secret_name(), patch, false).await?;
    if in_order {
        round.see_own_write(world, &meta.metadata);
    } else {
        round.see_secret(world, Some(&meta.metadata));
    }
    Ok(())
}

/// Takes the credential out of the Secret.
pub async fn withdraw(world: &World, round: &mut Round, how: Withdrawal) -> After {
    let Secret::Ours(secret) = round.secret.clone() else { return After::Observe };
    let name = round.role.secret_name();
    let emptied: Result<SecretMeta, ClusterError> = match how {
        Withdrawal::Delete => return delete(world, round, &secret).await,
        Withdrawal::Empty => {
            let frame = Frame { role: &round.role, installation: &world.installation, answers: answered(round) };
            let former = former(round);
            let patch = frame.emptied().patch(&secret.uid, &secret.resource_version, former.as_ref());
            world.cluster.patch_secret(round.namespace(), &name, patch, false).await
        }
    };
    match emptied {
        Ok(meta) => {
            round.see_own_write(world, &meta.metadata);
            After::Plan
        }
        // An immutable one can be deleted all the same, and one that changes all the time: else whoever does that could keep what is due.
        Err(ClusterError::Refused(_) | ClusterError::Conflict) => delete(world, round, &secret).await,
        Err(error) => cluster_trouble(round, WITHDRAWING, error),
    }
}

const WITHDRAWING: &str = "withdrawing the credential";

async fn delete(world: &World, round: &mut Round, secret: &OurSecret) -> After {
    let name = round.role.secret_name();
    // Whatever it holds by now goes too, and is found by its marker if need be; but what another replica has let go is not ours.
    let version = round.role.spec.retains().then_some(secret.resource_version.as_str());
    match world.cluster.delete_secret(round.namespace(), &name, &secret.uid, version).await {
        Ok(()) => {
            round.secret = Secret::Absent;
            After::Plan
        }
        Err(error) => cluster_trouble(round, WITHDRAWING, error),
    }
}

/// Lets go of the Secret: it stays, with its token, and is nobody's.
pub async fn disown(world: &World, round: &mut Round) -> After {
    let Secret::Ours(secret) = round.secret.clone() else { return After::Observe };
    let name = round.role.secret_name();
    let owners = match world.cluster.secret(round.namespace(), &name).await {
        Ok(Some(meta)) => meta.metadata.owner_references.unwrap_or_default(),
        Ok(None) => return After::Observe,
        Err(error) => return cluster_trouble(round, "reading the Secret", error),
    };
    let others: Vec<Value> = owners.iter().filter(|owner| owner.uid != round.uid()).map(|owner| json!(owner)).collect();
    let patch = json!({"metadata": {
        "uid": secret.uid, "resourceVersion": secret.resource_version, "ownerReferences": others,
        "labels": {LABEL_MANAGED_BY: null, LABEL_ROLE: null},
        "annotations": {ANNOTATION_RECORD: null, ANNOTATION_PENDING: null, ANNOTATION_FENCE: null},
    }});
    match world.cluster.patch_secret(round.namespace(), &name, patch, false).await {
        Ok(meta) => {
            round.see_secret(world, Some(&meta.metadata));
            round.facts.disowned = true;
            After::Plan
        }
        Err(error) => cluster_trouble(round, "letting the Secret go", error),
    }
}

/// Wishes answered so far, as the Secret repeats them.
pub fn answered(round: &Round) -> crate::api::Answers {
    let status = round.role.status.as_ref();
    status.and_then(|s| s.handled.clone()).unwrap_or_default()
}

/// The Secret's record as it stands; where someone removed it, what a Secret of this spec would hold.
fn former(round: &Round) -> Option<SecretRecord> {
    let Secret::Ours(secret) = &round.secret else { return None };
    secret.record.clone().or_else(|| {
        // Somebody removed the record: what we wrote may be of any attempt that we know of.
        let status = round.role.status.as_ref()?;
        let open = status.intent.iter().chain(&status.unsettled).map(|attempt| &attempt.record);
        let token = TokenValue::new("none").ok()?;
        let installation = crate::marker::Installation::new("");
        let frame = Frame { role: &round.role, installation: &installation, answers: answered(round) };
        let known = status.current.iter().chain(open).chain(&status.predecessors);
        let keys = known.flat_map(|record| frame.render(&Held::from(record), &token).keys().clone()).collect();
        Some(SecretRecord { keys, ..SecretRecord::default() })
    })
}
