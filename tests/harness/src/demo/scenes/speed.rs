//! How long a person waits from apply to Secret.

use std::fmt;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use super::super::stage::{SOON, Stage, token_in};
use super::{NAMESPACE, Tfc, role};
use crate::Error;

pub(super) const ROLES: usize = 50;
/// What the operator is built for, on two idle cores. Said in the summary and no claim: a busy machine is no fault.
const P50_AT_MOST: Duration = Duration::from_millis(25);
const P90_AT_MOST: Duration = Duration::from_millis(60);

const SECOND: Duration = Duration::from_secs(1);

/// One at a time, and no faster than the account's budget of calls: a person's wait is measured, not a queue.
const PACE: Duration = Duration::from_millis(100);

/// Times from apply to Secret, shortest first.
pub(in super::super) struct Speed(Vec<Duration>);

impl Speed {
    /// The shortest time that this share of all does not exceed (nearest rank).
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    fn meets_aim(&self) -> bool {
        self.percentile(50) <= P50_AT_MOST && self.percentile(90) <= P90_AT_MOST
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(
            f,
            "apply -> Secret, {} roles one by one, TFC answering in 1 ms: p50 {:.1} ms, p90 {:.1} ms, max {:.1} ms \
             (aim: {} and {} ms: {})",
            self.0.len(),
            ms(self.percentile(50)),
            ms(self.percentile(90)),
            ms(self.percentile(100)),
            P50_AT_MOST.as_millis(),
            P90_AT_MOST.as_millis(),
            if self.meets_aim() { "met" } else { "MISSED" },
        )
    }
}

pub(super) async fn play(stage: &mut Stage, tfc: &Tfc) -> Result<Speed, Error> {
    tfc.simulator.set_reply_delay(Duration::from_millis(1));
    let measured = measure(stage).await;
    tfc.simulator.set_reply_delay(Duration::ZERO);
    let speed = measured?;
    stage.show.say(&speed);
    let slowest = speed.percentile(100);
    stage.show.claim("each role has its token within a second", slowest <= SECOND, format!("{slowest:.0?}"));
    Ok(speed)
}

/// The clock starts before the API server is asked to create the role, and stops when a watch of the Secrets shows the token.
async fn measure(stage: &mut Stage) -> Result<Speed, Error> {
    let secrets: Api<Secret> = Api::namespaced(stage.client.clone(), NAMESPACE);
    let failed = "could not watch the Secrets";
    let here = secrets.list_metadata(&ListParams::default()).await.map_err(Error::while_trying(failed))?;
    let version = here.metadata.resource_version.unwrap_or_default();
    let events = secrets.watch(&WatchParams::default(), &version).await.map_err(Error::while_trying(failed))?;
    let mut events = pin!(events);
    let roles = stage.roles(NAMESPACE);
    let mut times = Vec::with_capacity(ROLES);
    for number in 0..ROLES {
        let name = format!("speed-{number}");
        let object = role(&name, json!({"user": {"me": true}, "description": "demo: speed", "ttl": "10m"}));
        let object = serde_json::from_value(object).map_err(Error::while_trying("not an object"))?;
        let started = Instant::now();
        roles.create(&PostParams::default(), &object).await.map_err(Error::while_trying("could not create a role"))?;
        let seen = tokio::time::timeout(SOON, token_seen(&mut events, &name)).await;
        seen.map_err(|_| Error::new(format!("no token in Secret {name} after {} s", SOON.as_secs())))??;
        times.push(started.elapsed());
        stage.wait_reason(NAMESPACE, &name, "Issued", SOON).await?;
        tokio::time::sleep(PACE.saturating_sub(started.elapsed())).await;
    }
    times.sort();
    Ok(Speed(times))
}

async fn token_seen(
    events: &mut (impl Stream<Item = kube::Result<WatchEvent<Secret>>> + Unpin),
    name: &str,
) -> Result<(), Error> {
    while let Some(event) = events.next().await {
        if let WatchEvent::Added(secret) | WatchEvent::Modified(secret) =
            event.map_err(Error::while_trying("the watch of the Secrets broke off"))?
            && secret.metadata.name.as_deref() == Some(name)
            && token_in(&secret).is_some()
        {
            return Ok(());
        }
    }
    Err(Error::new("the watch of the Secrets ended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let speed = Speed((1..=50).map(Duration::from_millis).collect());
        assert_eq!([50, 90, 100].map(|percent| speed.percentile(percent).as_millis()), [25, 45, 50]);
        assert_eq!(Speed(vec![Duration::from_millis(7)]).percentile(50).as_millis(), 7);
    }

    #[test]
    fn a_missed_aim_is_said() {
        assert!(Speed(vec![P50_AT_MOST]).to_string().ends_with("(aim: 25 and 60 ms: met)"));
        assert!(Speed(vec![P90_AT_MOST]).to_string().ends_with("(aim: 25 and 60 ms: MISSED)"));
    }
}
