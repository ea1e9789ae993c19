//! Mints a token and puts it into the Secret: two writes at two servers, with a value between them that is nowhere else.

use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::cluster_steps::secret_refused;
use super::{After, World, class, tfc_slot, tfc_trouble};
use crate::api::{Held, Intent};
use crate::boottime::BootInstant;
use crate::cluster::{ClusterError, Refusal, SecretMeta};
use crate::failpoint;
use crate::observe::Round;
use crate::plan::observed::{Secret, TroubleKind};
use crate::plan::step::Order;
use crate::plan::subject::Subject;
use crate::plan::time;
use crate::secret::{Frame, Rendering};
use crate::tfc::{self, Class, Client, Minted, Owner};

/// How long the Secret's write is repeated while nobody says whether it landed. With the deadline of the last try it stays well
/// below the settling time.
const REPEAT: Duration = Duration::from_secs(30);
/// How long after its intent a mint is sent, and its Secret's write repeated. The settling time counts from the intent, and a mint may
/// have to wait for its budget: what was sent later could land when others have given it up, and revoked it.
const MINT_WITHIN: Duration = Duration::from_secs(15);
const WRITE_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);

/// Mints what was written down, and writes the Secret on the resourceVersion observed.
pub async fn issue(world: &World, round: &mut Round, order: &Order) -> After {
    // Sent at most once, whatever comes of it; and what was seen before is no longer so.
    round.facts.forget_at_issue();
    let Some(client) = world.client(round) else {
        round.facts.gone.insert(order.attempt.clone());
        return After::Plan;
    };
    let begun = round.begun_at.unwrap_or_else(BootInstant::now);
    let turn = round.turn.take();
    let minted = match mint(&in_time(world, &client, begun).with_turn(turn), order).await {
        Ok(minted) => minted,
        Err(error) => {
            let (kind, mut words) = tfc_trouble(&error);
            if error.kind == tfc::Kind::Hidden {
                words = format!(
                    "{words}: {} does not exist, or the config's account may not manage its tokens",
                    order.subject
                );
            }
            if kind != TroubleKind::Ambiguous {
                round.facts.gone.insert(order.attempt.clone());
            }
            round.fail(kind, words);
            return After::Plan;
        }
    };
    let token_id = minted.info.id.clone();
    info!(namespace = round.namespace(), role = round.name(), step = "Issue", token_id, "minted");
    failpoint::pass("Issue", "minted");
    let intent = round.role.status.as_ref().and_then(|s| s.intent.clone()).unwrap_or_default();
    let held = held(&intent, &minted);
    let frame = Frame { role: &round.role, installation: &world.installation, answers: intent.answers };
    let rendering = frame.render(&held, &minted.value);
    drop(minted);

    let written = store(world, round, &client, order, &token_id, &rendering).await;
    match written {
        Written::Won { meta, doubtful } => {
            // A write that was repeated may land once more: then the record is as good as one found in the Secret, not better. And what
            // was read after a conflict may have been edited since it was written.
            if doubtful {
                round.see_secret(world, Some(&meta.metadata));
            } else {
                round.see_own_write(world, &meta.metadata);
            }
            round.facts.minted = (!doubtful).then(|| order.attempt.clone());
            round.minted_token_id = Some(token_id);
            After::Plan
        }
        // Whoever edits the Secret all the time would have a token made and revoked each time: the next try waits as after a refusal.
        Written::Lost { may_land: false } if !order.subject.is_slot() => {
            revoke_own(round, &client, order, &token_id).await;
            let secret = round.role.secret_name();
            round.fail(
                TroubleKind::SecretRefused,
                format!("Secret {secret} was changed while a token for it was minted"),
            );
            After::Plan
        }
        Written::Refused(refusal) if !order.subject.is_slot() => {
            revoke_own(round, &client, order, &token_id).await;
            round.refused(TroubleKind::SecretRefused, secret_refused(round, &refusal), &refusal);
            After::Plan
        }
        // A slot's minter never revokes. The next round finds the slot ours and its value lost, and mints.
        Written::Refused(refusal) => {
            round.refused(TroubleKind::SecretRefused, secret_refused(round, &refusal), &refusal);
            After::Plan
        }
        Written::Lost { .. } | Written::Unknown => {
            warn!(namespace = round.namespace(), role = round.name(), token_id, "the token did not reach its Secret");
            round.fail(TroubleKind::Ambiguous, "the API server did not say whether the Secret was written".into());
            After::Plan
        }
    }
}

/// A client that sends nothing once too much time has passed since the intent.
fn in_time(world: &World, client: &Client, begun: BootInstant) -> Client {
    let leadership = world.leadership.clone();
    client.with_gate(Arc::new(move || {
        leadership.ensure().map_err(|e| e.to_string())?;
        let late = begun.elapsed() > MINT_WITHIN;
        if late { Err("the mint had to wait too long, and is begun anew".into()) } else { Ok(()) }
    }))
}

async fn mint(client: &Client, order: &Order) -> Result<Minted, tfc::Error> {
    let class = class(order.urgency);
    match (&order.subject, tfc_slot(&order.subject)) {
        (_, Some(slot)) => client.mint_slot(class, &slot, order.expires_at).await,
        (Subject::Team(id), None) => {
            client.mint(class, &Owner::Team { id: id.clone() }, &order.description, order.expires_at).await
        }
        (subject, None) => {
            let owner = Owner::User { id: subject.id().to_owned() };
            client.mint(class, &owner, &order.description, order.expires_at).await
        }
    }
}

fn held(intent: &Intent, minted: &Minted) -> Held {
    let mut held = Held::from(&intent.record);
    held.token_id = minted.info.id.clone();
    held.issued_at = Some(time(minted.info.created_at));
    // Without one it lives for ever as far as TFC says; what was asked for is when it is revoked at the latest.
    held.expires_at = minted.info.expired_at.map(time).or_else(|| intent.requested_expiry.clone());
    held.digest = minted.value.digest(&intent.record.attempt);
    held
}

enum Written {
    /// The Secret holds the token.
    Won { meta: Box<SecretMeta>, doubtful: bool },
    /// The Secret holds another attempt. A create of ours that got no answer may still land.
    Lost { may_land: bool },
    /// The API server refuses the Secret for good.
    Refused(Box<Refusal>),
    /// Nobody says.
    Unknown,
}

/// Writes the Secret, and repeats the same write until there is an answer: one that timed out may still land, and a conflict may be
/// with one's own write.
async fn store(
    world: &World,
    round: &Round,
    client: &Client,
    order: &Order,
    token_id: &str,
    rendering: &Rendering,
) -> Written {
    let (namespace, name) = (round.namespace(), round.role.secret_name());
    let started = BootInstant::now();
    let mut target = order.secret.clone();
    let mut doubtful = false;
    loop {
        let result = match &target {
            None => world.cluster.create_secret(namespace, rendering.create(), false).await,
            Some((uid, version)) => {
                let patch = rendering.patch(uid, version, order.former.as_ref());
                world.cluster.patch_secret(namespace, &name, patch, false).await
            }
        };
        match result {
            Ok(meta) => return Written::Won { meta: Box::new(meta), doubtful },
            Err(ClusterError::Refused(refusal)) if !doubtful => return Written::Refused(refusal),
            Err(ClusterError::Conflict | ClusterError::NotFound) => {
                match world.cluster.secret(namespace, &name).await {
                    Ok(meta) => {
                        let seen = crate::secret::view(
                            meta.as_ref().map(|m| &m.metadata),
                            &round.role,
                            &world.installation,
                            false,
                        );
                        let held = held_in(&seen);
                        // Read, not answered: what else the record says is as good as what tenants can write.
                        if let (Some(meta), true) = (meta, held.is_some() && held == rendering.held()) {
                            return Written::Won { meta: Box::new(meta), doubtful: true };
                        }
                        // A create without an answer may still land; and a Secret whose record was removed, or names this attempt in
                        // other words than ours, may hold this very token.
                        let illegible = matches!(&seen, Secret::Ours(secret) if secret.record.is_none());
                        let edited = held.is_some_and(|held| held.attempt == order.attempt);
                        let may_land = doubtful && (order.secret.is_none() || edited) || illegible;
                        if !order.subject.is_slot() || !still_ours(client, order, token_id).await {
                            return Written::Lost { may_land };
                        }
                        // The Secret's resourceVersion was read first and the slot after it, and the slot is ours: the value in hand is
                        // the one that lives.
                        target = match seen {
                            Secret::Ours(secret) => Some((secret.uid, secret.resource_version)),
                            Secret::Absent => None,
                            Secret::Foreign => return Written::Lost { may_land },
                        };
                    }
                    Err(_) => doubtful = true,
                }
            }
            Err(ClusterError::Unknown(_) | ClusterError::Refused(_)) => doubtful = true,
        }
        let too_late = started.elapsed() > REPEAT || round.begun_at.is_some_and(|begun| begun.elapsed() > WRITE_WITHIN);
        if too_late || world.leadership.ensure().is_err() {
            return Written::Unknown;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What a Secret says that it holds. The attempt's name alone says little: tenants read it in the role's status.
fn held_in(secret: &Secret) -> Option<&Held> {
    let Secret::Ours(secret) = secret else { return None };
    secret.record.as_ref()?.held.as_ref()
}

async fn still_ours(client: &Client, order: &Order, token_id: &str) -> bool {
    let Some(slot) = tfc_slot(&order.subject) else { return false };
    matches!(client.slot(Class::Dying, &slot).await, Ok(Some(token)) if token.id == token_id)
}

/// The loser revokes the token that it has just minted. Where that fails the attempt stays open, and is settled later.
async fn revoke_own(round: &mut Round, client: &Client, order: &Order, token_id: &str) {
    failpoint::pass("Issue", "lost");
    match client.revoke(Class::Revocation, token_id).await {
        Ok(()) => {
            info!(
                namespace = round.namespace(),
                role = round.name(),
                step = "Issue",
                token_id,
                "revoked: it did not reach the Secret"
            );
            round.facts.gone.insert(order.attempt.clone());
        }
        Err(error) => {
            warn!(namespace = round.namespace(), role = round.name(), token_id, %error, "not revoked yet: it did not reach the Secret");
        }
    }
}
