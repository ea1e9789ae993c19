//! One role at a time on an idle system: from the request that creates it to the news of its Secret.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use http::Method;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, WatchEvent, WatchParams};
use tfc_harness::Error;

use super::Context;
use crate::Result;
use crate::figure::{Figure, percentile};
use crate::ground::{NAMESPACE, ROLES, role};
use crate::stage::{SOON, Setting, Stage, user};

const RUNS: usize = 5;
/// Roles of a run.
const ROLES_A_RUN: usize = 100;
/// TFC's time to reply, which is not the operator's.
const REPLY: Duration = Duration::from_millis(1);

pub async fn run(context: &mut Context<'_>) -> Result<()> {
    let roles = if context.flags.short { 20 } else { ROLES_A_RUN };
    context.report.progress(format!("from a role to its Secret, one at a time, {RUNS} runs of {roles}"));
    let mut stage = Stage::set(context.flags, Setting { reply: REPLY, ..Setting::default() }).await?;
    stage.start().await?;
    stage.at_rest(SOON).await?;
    let (mut middles, mut ends) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let mut took = Vec::new();
        for number in 0..roles {
            took.push(once(&stage, &format!("run-{run}-{number:03}")).await?.as_secs_f64() * 1e3);
        }
        middles.push(percentile(&mut took, 0.5));
        ends.push(percentile(&mut took, 0.99));
    }
    let reply = REPLY.as_secs_f64() * 1e3;
    let figure = |name: &str, values: &mut Vec<f64>, bar: f64| {
        let value = percentile(values, 0.5) - reply;
        Figure::new("latency", format!("{name} of a role to its Secret, above TFC's reply"), value, "ms")
            .at_most(bar)
            .absolute()
    };
    context.report.add(figure("p50", &mut middles, 12.0));
    context.report.add(figure("p99", &mut ends, 60.0));
    stage.stop().await
}

async fn once(stage: &Stage, name: &str) -> Result<Duration> {
    let secrets = Api::<Secret>::namespaced(stage.ground.client.clone(), NAMESPACE);
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let events = secrets.watch_metadata(&params, "0").await.map_err(Error::while_trying("a watch"))?;
    let mut events = std::pin::pin!(events);
    let started = Instant::now();
    stage.ground.send(Method::POST, ROLES, Some(&role(name, &user()))).await?;
    let told = tokio::time::timeout(SOON, async {
        while let Some(event) = events.try_next().await.map_err(Error::while_trying("a watch"))? {
            if matches!(event, WatchEvent::Added(_)) {
                return Ok(started.elapsed());
            }
        }
        Err(Error::new(format!("the watch of Secret {name} ended")))
    });
    let took = told.await.map_err(|_| Error::new(format!("Secret {name} did not come")))??;
    // The next one meets an idle system: the record and its event are written.
    stage.issued(0, SOON).await?;
    Ok(took)
}
