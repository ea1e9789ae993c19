//! Roles that are there when the operator starts are issued: as fast as the API server takes it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tfc_harness::Error;

use super::Context;
use crate::Result;
use crate::figure::Figure;
use crate::flags::Flags;
use crate::ground::NAMESPACE;
use crate::stage::{Setting, Stage};

/// TFC's time to reply, and the part of the machine's limit that is reached.
const KINDS: [(u64, f64); 2] = [(1, REACHED), (150, 0.5)];
/// With few roles the start of the process counts, and the short form measures a build for tests: half of it is asked for then.
const SHORT: f64 = 0.5;
/// The part of the machine's limit that is reached where TFC replies at once.
const REACHED: f64 = 0.6;

/// The bar on issuances at once.
pub fn reached(flags: &Flags) -> f64 {
    if flags.short { REACHED * SHORT } else { REACHED }
}

pub async fn run(context: &mut Context<'_>) -> Result<()> {
    let limit = context.limit().await?.per_second;
    for (reply, bar) in KINDS {
        let count = context.flags.roles;
        context.report.progress(format!("issue {count} roles, TFC replies in {reply} ms"));
        let setting = Setting { reply: Duration::from_millis(reply), ..Setting::default() };
        let mut stage = Stage::set(context.flags, setting).await?;
        stage.create_roles("role", 0..count).await?;
        let started = Instant::now();
        stage.start().await?;
        let meter = stage.meter()?;
        let ended = stage.issued(count, Duration::from_secs(600)).await?;
        let rate = count as f64 / (ended - started).as_secs_f64();
        let cpu = meter.used()?.as_secs_f64() / count as f64;
        all_are_issued_once(&stage, count).await?;
        let name = format!("{count} roles issued, TFC replies in {reply} ms");
        let bar = if context.flags.short { bar * SHORT } else { bar };
        context.report.add(Figure::new("issue", name, rate, "1/s").of(limit).at_least(bar));
        context.report.add(Figure::new("issue", "the operator's CPU an issuance", cpu * 1e3, "ms"));
        let calls = stage.tfc.call_count() as f64 / count as f64;
        context.report.add(Figure::new("issue", "calls to TFC a token", calls, "").at_most(1.01));
        stage.stop().await?;
    }
    Ok(())
}

/// Each role has one token, each of one mint, and says so.
pub async fn all_are_issued_once(stage: &Stage, count: usize) -> Result<()> {
    let alive = stage.alive();
    let markers: BTreeSet<_> = alive.iter().map(|token| token.description.clone()).collect();
    let issued = stage.ground.ready_by(NAMESPACE, "Issued").await?;
    match (alive.len() == count, markers.len() == count, issued == count) {
        (true, true, true) => Ok(()),
        _ => Err(Error::new(format!(
            "{count} roles, but {} tokens that live, of {} attempts, and {issued} roles that are Issued",
            alive.len(),
            markers.len()
        ))),
    }
}
