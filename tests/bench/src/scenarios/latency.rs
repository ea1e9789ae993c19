//! One role at a time on an idle system: from the request that creates it to the watch's news of its Secret, beside the same requests made
//! one after the other by a client that does nothing else.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use http::Method;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::ResourceExt;
use kube::api::{Api, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;
use tfc_harness::Error;
use tokio::task::JoinHandle;

use super::Context;
use crate::Result;
use crate::figure::{Figure, percentile};
use crate::ground::{NAMESPACE, ROLES, role};
use crate::raw;
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
    // In as many runs: one slow request in a hundred decides what p99 is.
    let mut alone = raw::one_at_a_time(&mut stage, roles * RUNS).await?;
    stage.start().await?;
    stage.at_rest(SOON).await?;
    let mut news = News::of_kind::<Secret>(&stage, |secret| secret.name_any()).await?;
    let mut told =
        News::of_kind::<Event>(&stage, |event| event.involved_object.name.clone().unwrap_or_default()).await?;
    let (mut middles, mut ends) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let mut took = Vec::new();
        for number in 0..roles {
            let name = format!("run-{run}-{number:03}");
            let started = Instant::now();
            stage.ground.send(Method::POST, ROLES, Some(&role(&name, &user()))).await?;
            took.push(news.of(&name).await?.duration_since(started).as_secs_f64() * 1e3);
            // The next one meets an idle system: the event is the last thing that is written.
            told.of(&name).await?;
        }
        middles.push(percentile(&mut took, 0.5));
        ends.push(percentile(&mut took, 0.99));
    }
    let above = |values: &mut [f64]| percentile(values, 0.5) - REPLY.as_secs_f64() * 1e3;
    let (middle, end) = (above(&mut middles), above(&mut ends));
    let figure = |name: &str, value: f64| Figure::new("latency", name, value, "ms");
    let report = &mut *context.report;
    report.add(figure("p50 of a role to its Secret, above TFC's reply", middle).at_most(12.0).absolute());
    report.add(figure("p99 of a role to its Secret, above TFC's reply", end).at_most(60.0).absolute());
    let mut floors = |share: f64| {
        let mut runs: Vec<f64> = alone.chunks_mut(roles).map(|run| percentile(run, share)).collect();
        percentile(&mut runs, 0.5)
    };
    let (middle_alone, end_alone) = (floors(0.5), floors(0.99));
    report.add(figure("p50, of the same requests one after the other", middle).of(middle_alone).at_most(1.5));
    report.add(figure("p99, of the same requests one after the other", end).of(end_alone));
    stage.stop().await
}

/// New objects of a kind as one watch tells of them, which is open all the time: to open one costs more than what is measured.
struct News {
    told: UnboundedReceiver<(String, Instant)>,
    watch: JoinHandle<()>,
}

impl News {
    /// `name` says of which role an object is.
    async fn of_kind<K>(stage: &Stage, name: impl Fn(&K) -> String + Send + 'static) -> Result<Self>
    where
        K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send,
        K: 'static,
    {
        let api = Api::<K>::namespaced(stage.ground.client.clone(), NAMESPACE);
        let events = api.watch(&WatchParams::default(), "0").await.map_err(Error::while_trying("a watch"))?;
        let (tell, told) = unbounded();
        let watch = tokio::spawn(events.for_each(move |event| {
            if let Ok(WatchEvent::Added(object)) = event {
                let _ = tell.unbounded_send((name(&object), Instant::now()));
            }
            std::future::ready(())
        }));
        Ok(Self { told, watch })
    }

    /// When it told of the object of this role.
    async fn of(&mut self, name: &str) -> Result<Instant> {
        let told = async {
            while let Some((told, at)) = self.told.next().await {
                if told == name {
                    return Ok(at);
                }
            }
            Err(Error::new(format!("the watch ended before what {name} leads to came")))
        };
        tokio::time::timeout(SOON, told).await.map_err(|_| Error::new(format!("what {name} leads to did not come")))?
    }
}

impl Drop for News {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
