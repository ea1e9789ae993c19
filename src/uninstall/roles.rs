//! One role: observe, plan, act, until nothing of the operator's is left on it.

use jiff::SignedDuration;
use tracing::debug;

use super::{Key, Uninstall};
use crate::act::{self, After, act};
use crate::api::Record;
use crate::failpoint;
use crate::observe::Round;
use crate::plan::uninstall::{Next, plan};

/// More steps than any role can need in one round.
const MOST_STEPS: usize = 80;
/// Rounds in a row that end with the same tokens unproven: what nobody can show three times, nobody will.
const IN_VAIN: usize = 3;
/// Before what failed is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(2);

/// What became of a role.
pub enum End {
    /// Nothing of the operator's is left on it.
    Released,
    /// It is gone.
    Gone,
    /// A token of it may live on, in words; the config that it needs.
    Unproven(String, Key),
    /// It could not be finished, in words; the config that it needs, where that is known.
    Unfinished(String, Option<Key>),
}

/// Where a round ended.
enum Ended {
    Released,
    Gone,
    Wait(SignedDuration, String),
    Unproven(Vec<Record>),
}

/// Serves a role to its end.
pub async fn serve(work: &Uninstall, key: &Key) -> End {
    let mut in_vain = 0;
    let mut config = None;
    loop {
        let over = work.is_over();
        let give_up = work.settings.allow_unproven && (over || in_vain >= IN_VAIN);
        let (pause, end) = match round(work, key, give_up, &mut config).await {
            Ended::Released => return End::Released,
            Ended::Gone => return End::Gone,
            Ended::Unproven(records) => {
                in_vain += 1;
                (RETRY, End::Unproven(named(&records), config.clone().unwrap_or_default()))
            }
            Ended::Wait(pause, words) => {
                in_vain = 0;
                (pause, End::Unfinished(words, config.clone()))
            }
        };
        if !work.settings.allow_unproven && in_vain >= IN_VAIN || over {
            return end;
        }
        work.pause(pause).await;
    }
}

async fn round(work: &Uninstall, key: &Key, give_up: bool, config: &mut Option<Key>) -> Ended {
    let world = &work.world;
    let place = match work.namespace(&key.0).await {
        Ok(place) => place,
        Err(error) => return Ended::Wait(RETRY, format!("reading the namespace: {error}")),
    };
    let mut round = match Round::begin(world, (&key.0, &key.1), None, place).await {
        Ok(Some(round)) => round,
        Ok(None) => return Ended::Gone,
        Err(unread) => return Ended::Wait(RETRY, unread.error.to_string()),
    };
    *config = Some(round.role.config_key());
    for _ in 0..MOST_STEPS {
        let step = match plan(&round.observed(world), work.settings.policy, give_up) {
            Next::Do(step) => step,
            Next::Done(status) => {
                if let Some(status) = status
                    && let Err(error) = act::status::write(world, &mut round, &status).await
                {
                    return Ended::Wait(RETRY, format!("writing the status: {error}"));
                }
                return Ended::Released;
            }
            Next::Wait(pause) => {
                let words = round.trouble.as_ref().map(|trouble| trouble.words.clone());
                return Ended::Wait(pause, words.unwrap_or_else(|| waits(&round)));
            }
            Next::Unproven(records) => return Ended::Unproven(records),
        };
        let name = act::name(&step);
        let after = act(world, &mut round, step).await;
        failpoint::pass(name, "done");
        if let Some(trouble) = round.trouble.as_mut().filter(|trouble| trouble.retry_in.is_zero()) {
            trouble.retry_in = RETRY;
            debug!(namespace = key.0, role = key.1, step = name, "{}", trouble.words);
        }
        if after != After::Plan {
            return Ended::Wait(SignedDuration::ZERO, "it changes all the time".into());
        }
    }
    Ended::Wait(RETRY, "the plan does not come to a rest".into())
}

fn waits(round: &Round) -> String {
    let status = round.role.status.as_ref();
    let said = status.and_then(|status| status.conditions.iter().find(|c| c.type_ != "Ready" || c.status != "True"));
    said.map_or_else(|| "waiting for its config".to_owned(), |condition| condition.message.clone())
}

/// The tokens by id, with whom they act for and when they end. Ids are no secret.
fn named(records: &[Record]) -> String {
    let one = |record: &Record| {
        let id = record.token_id.as_deref().unwrap_or("of unknown id");
        let until = record.expires_at.as_ref().map_or_else(|| "its expiry".to_owned(), |t| t.0.to_string());
        format!("token {id} of {} on {} may live until {until}", record.subject, record.host)
    };
    records.iter().map(one).collect::<Vec<_>>().join("; ")
}
