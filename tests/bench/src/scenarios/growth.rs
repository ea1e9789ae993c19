//! How cost grows: CPU of an issuance and of an event, memory, a restart, at 100, 1,000, 10,000 and 30,000 roles.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use super::Context;
use crate::Result;
use crate::figure::{Figure, percentile};
use crate::ground::SECRETS;
use crate::stage::{SOON, Setting, Stage};

const STEPS: [usize; 4] = [100, 1_000, 10_000, 30_000];
/// The step that others are measured by.
const BASE: usize = 1_000;
/// The last of a step, over which CPU is counted.
const LAST: usize = 900;
/// Events of a batch, and batches, whose median counts: beside an API server that collects its garbage, one batch may cost a fifth more.
const EVENTS: usize = 500;
const BATCHES: usize = 5;
/// The Secrets that are edited. Few, for the next restart reads each of them: somebody else has written to it.
const EDITED: usize = 100;
const PATIENCE: Duration = Duration::from_secs(1_800);

pub async fn run(context: &mut Context<'_>) -> Result<()> {
    context.report.progress(format!("growth up to {} roles", context.flags.most));
    let setting = Setting { flags: vec!["--settling-time=1h".into()], ..Setting::default() };
    let mut stage = Stage::set(context.flags, setting).await?;
    let mut base: Option<(f64, f64)> = None;
    let mut done = 0;
    for step in STEPS.into_iter().filter(|step| *step <= context.flags.most) {
        let bulk = step.saturating_sub(LAST).max(done);
        stage.create_roles("role", done..bulk).await?;
        stage.start().await?;
        stage.issued(bulk, PATIENCE).await?;
        stage.at_rest(SOON * 2).await?;
        let meter = stage.meter()?;
        stage.create_roles("role", bulk..step).await?;
        stage.issued(step, PATIENCE).await?;
        stage.at_rest(SOON).await?;
        let issuance = meter.used()?.as_secs_f64() * 1e3 / (step - bulk) as f64;
        let memory = stage.memory()?.now;
        stage.stop().await?;
        let started = Instant::now();
        stage.start().await?;
        let settled = stage.at_rest(SOON * 5).await?;
        let restart = (settled - started).as_secs_f64();
        let restarted = stage.memory()?;
        let event = events(&stage, step).await?;
        stage.stop().await?;
        let name = |what: &str| format!("{what} at {step} roles");
        let (mut issuance_figure, mut event_figure) = (
            Figure::new("growth", name("CPU an issuance"), issuance, "ms"),
            Figure::new("growth", name("CPU an event"), event, "ms"),
        );
        if let Some((issuance, event)) = base {
            issuance_figure = issuance_figure.of(issuance).at_most(1.2);
            event_figure = event_figure.of(event).at_most(1.2);
        }
        if step == BASE {
            base = Some((issuance, event));
        }
        context.report.add(issuance_figure);
        context.report.add(event_figure);
        context.report.add(Figure::new("growth", name("memory"), memory, "MB"));
        context.report.add(Figure::new("growth", name("restart: at rest after"), restart, "s"));
        context.report.add(Figure::new("growth", name("restart: memory"), restarted.now, "MB"));
        context.report.add(Figure::new("growth", name("restart: memory at its peak"), restarted.peak, "MB"));
        done = step;
    }
    Ok(())
}

/// CPU in milliseconds for a Secret that a third party relabels.
async fn events(stage: &Stage, roles: usize) -> Result<f64> {
    let mut batches = Vec::new();
    for batch in 0..BATCHES {
        let meter = stage.meter()?;
        for number in batch * EVENTS..(batch + 1) * EVENTS {
            let name = format!("role-{:05}", number % EDITED * (roles / EDITED));
            let patch = json!({"metadata": {"labels": {"third-party": format!("n{number}")}}});
            stage.ground.send(Method::PATCH, &format!("{SECRETS}/{name}"), Some(&patch)).await?;
        }
        stage.at_rest(SOON).await?;
        batches.push(meter.used()?.as_secs_f64() * 1e3 / EVENTS as f64);
    }
    Ok(percentile(&mut batches, 0.5))
}
