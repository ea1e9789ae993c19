//! The scenarios. Each has a control plane of its own, but for those about many roles that are issued: they share one.

mod failover;
mod growth;
mod installations;
mod issue;
mod latency;
mod many;
mod rates;
mod spread;
mod urgent;

use crate::Result;
use crate::flags::Flags;
use crate::raw::{self, Limit};
use crate::report::Report;

/// Their names, as flags take them.
pub const NAMES: [&str; 13] = [
    "spread",
    "issue",
    "rates",
    "urgent",
    "latency",
    "many",
    "memory",
    "restart",
    "rest",
    "sweep",
    "failover",
    "growth",
    "installations",
];

/// Runs those that were asked for.
pub async fn run(flags: &Flags, report: &mut Report) -> Result<()> {
    let mut context = Context { flags, report, limit: None };
    if flags.wants("spread") {
        spread::run(&mut context)?;
    }
    if flags.wants("issue") {
        issue::run(&mut context).await?;
    }
    if flags.wants("latency") {
        latency::run(&mut context).await?;
    }
    if flags.wants("rates") {
        rates::run(&mut context).await?;
    }
    if flags.wants("urgent") {
        urgent::run(&mut context).await?;
    }
    if flags.wants("failover") {
        failover::run(&mut context).await?;
    }
    if ["many", "memory", "restart", "rest", "sweep"].into_iter().any(|name| flags.wants(name)) {
        many::run(&mut context).await?;
    }
    if flags.wants("growth") {
        growth::run(&mut context).await?;
    }
    if flags.wants("installations") {
        installations::run(&mut context).await?;
    }
    Ok(())
}

/// What the scenarios share.
pub struct Context<'a> {
    /// What is asked for.
    pub flags: &'a Flags,
    /// Where figures go.
    pub report: &'a mut Report,
    limit: Option<Limit>,
}

impl Context<'_> {
    /// The machine's own limit, measured once a run.
    pub async fn limit(&mut self) -> Result<Limit> {
        if let Some(limit) = self.limit {
            return Ok(limit);
        }
        self.report.progress("the machine's own limit: an issuance's requests by a client that does nothing else");
        let limit = raw::measure(self.flags).await?;
        self.report
            .progress(format!("  {:.1} issuances a second, {} requests at a time", limit.per_second, limit.at_a_time));
        self.limit = Some(limit);
        Ok(limit)
    }
}
