//! Many roles on one stage: issued, at rest, after a restart, relisted, swept.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use tfc_harness::Error;
use tfc_harness::wait::poll_until;

use super::Context;
use super::issue::{all_are_issued_once, reached};
use crate::Result;
use crate::figure::Figure;
use crate::ground::{Mark, NAMESPACE, SECRETS};
use crate::process;
use crate::raw;
use crate::stage::{SOON, Setting, Stage, team};

const PATIENCE: Duration = Duration::from_secs(900);

/// Roles of the first step.
const FEW: usize = 1_000;
/// Tokens that the organization's teams have before the first role's.
const OTHERS: usize = 2;

pub async fn run(context: &mut Context<'_>) -> Result<()> {
    let (many, few) = (context.flags.many, FEW.min(context.flags.many / 2));
    let wants = |name: &str| context.flags.wants(name);
    let (memory, restart_, rest_, sweep_) = (wants("memory"), wants("restart"), wants("rest"), wants("sweep"));
    context.report.progress(format!("{many} roles: idle, the first {few}, then all"));
    let at_a_time = context.limit().await?.at_a_time;
    let limit = raw::measure_many(context.flags, few, many - few, at_a_time).await?;
    context.report.progress(format!("  {limit:.1} issuances a second by a client that does nothing else"));
    // The first sweep comes two minutes after the start; it has a scenario of its own.
    let setting = Setting { flags: vec!["--settling-time=1h".into()], ..Setting::default() };
    let mut stage = Stage::set(context.flags, setting).await?;
    stage.start().await?;
    stage.at_rest(SOON).await?;
    let megabytes = |name: String, value: f64| Figure::new("memory", name, value, "MB");
    if memory {
        context.report.add(megabytes("idle".into(), stage.memory()?.now).at_most(12.0).absolute());
    }
    issue(&mut stage, 0..few).await?;
    if memory {
        context
            .report
            .add(megabytes(format!("{few} roles issued and settled"), stage.memory()?.now).at_most(20.0).absolute());
    }
    stage.stop().await?;
    stage.ground.create_roles(NAMESPACE, "team", few..many, &team()).await?;
    let started = Instant::now();
    stage.start().await?;
    let ended = stage.issued(many, PATIENCE).await?;
    let rate = (many - few) as f64 / (ended - started).as_secs_f64();
    let name = format!("{} roles issued, TFC replies in 1 ms", many - few);
    context.report.add(Figure::new("issue", name, rate, "1/s").of(limit).at_least(reached(context.flags)));
    stage.at_rest(SOON).await?;
    all_are_issued_once(&stage, many).await?;
    if memory {
        let settled = stage.memory()?;
        context.report.add(megabytes(format!("{many} roles issued and settled"), settled.now).at_most(60.0).absolute());
        context.report.add(megabytes(format!("the peak while {} were issued", many - few), settled.peak));
    }
    if restart_ || memory {
        restart(context, &mut stage, memory).await?;
    }
    if memory {
        relist(context, &mut stage).await?;
    }
    if rest_ {
        rest(context, &stage).await?;
    }
    if sweep_ {
        sweep(context, &mut stage).await?;
    }
    stage.stop().await
}

async fn issue(stage: &mut Stage, numbers: std::ops::Range<usize>) -> Result<()> {
    let count = numbers.end;
    stage.ground.create_roles(NAMESPACE, "team", numbers, &team()).await?;
    stage.issued(count, PATIENCE).await?;
    stage.at_rest(SOON).await.map(drop)
}

/// Another process, all roles as they were.
async fn restart(context: &mut Context<'_>, stage: &mut Stage, memory: bool) -> Result<()> {
    let many = context.flags.many;
    context.report.progress(format!("restart with {many} roles"));
    stage.stop().await?;
    let (mark, calls) = (stage.ground.mark().await?, stage.tfc.call_count());
    let started = Instant::now();
    stage.start().await?;
    let settled = stage.at_rest(SOON * 5).await?;
    let writes = writes(stage, mark).await?;
    let name = |what: &str| format!("{what} after a restart with {many} roles");
    let seconds = (settled - started).as_secs_f64();
    context.report.add(Figure::new("restart", name("at rest"), seconds, "s").at_most(5.0).absolute());
    let calls = (stage.tfc.call_count() - calls) as f64;
    context.report.add(Figure::new("restart", name("calls to TFC"), calls, "").at_most(1.0));
    context.report.add(Figure::new("restart", name("writes"), writes.len() as f64, "").at_most(0.0));
    if let Some(write) = writes.first() {
        context.report.progress(format!("  the first write: {write}"));
    }
    if memory {
        let peak = stage.memory()?.peak;
        let name = format!("the peak while {many} are listed at the start");
        context.report.add(Figure::new("memory", name, peak, "MB").at_most(90.0).absolute());
    }
    Ok(())
}

/// The revisions that the watches stand on are forgotten, and the API server starts anew: all is listed once more.
async fn relist(context: &mut Context<'_>, stage: &mut Stage) -> Result<()> {
    let many = context.flags.many;
    context.report.progress("all is listed anew after a 410");
    let pid = stage.operator()?.pid();
    process::forget_peak(pid)?;
    let mark = stage.ground.mark().await?;
    stage.ground.plane.kill_apiserver();
    stage.ground.plane.compact().await?;
    stage.ground.plane.restart_apiserver().await?;
    poll_until("the roles to be listed", SOON * 2, async || {
        let events = stage.ground.since(mark).await.map_err(|error| error.to_string())?;
        let lists = events.iter().filter(|event| {
            event.verb == "list" && event.resource == "terraformcloudroles" && event.user == "operator"
        });
        let pages = lists.count();
        if pages * 250 >= many { Ok(()) } else { Err(format!("{pages} pages")) }
    })
    .await?;
    stage.at_rest(SOON * 2).await?;
    let memory = stage.memory()?;
    let name = format!("the peak while {many} are listed anew after a 410");
    context.report.add(Figure::new("memory", name, memory.peak, "MB").at_most(90.0).absolute());
    context.report.add(Figure::new("memory", format!("{many} roles after that"), memory.now, "MB"));
    Ok(())
}

/// Nothing is due. In the first half a third party relabels Secrets.
async fn rest(context: &mut Context<'_>, stage: &Stage) -> Result<()> {
    /// Secrets that are relabelled a second.
    const A_SECOND: u64 = 5;
    let minutes = context.flags.rest_minutes;
    context.report.progress(format!("{minutes} minutes at rest, in the first half a third party relabels Secrets"));
    stage.at_rest(SOON).await?;
    let half = Duration::from_secs(minutes * 30);
    let (mark, calls) = (stage.ground.mark().await?, stage.tfc.call_count());
    let meter = stage.meter()?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / u32::try_from(A_SECOND).unwrap_or(1));
    let end = Instant::now() + half;
    let mut relabelled = 0;
    while Instant::now() < end {
        ticks.tick().await;
        let name = format!("team-{:05}", relabelled * 7 % context.flags.many);
        let patch = json!({"metadata": {"labels": {"third-party": format!("n{relabelled}")}}});
        stage.ground.send(Method::PATCH, &format!("{SECRETS}/{name}"), Some(&patch)).await?;
        relabelled += 1;
    }
    stage.at_rest(SOON).await?;
    let cpu = meter.used()?.as_secs_f64() * 1e3 / relabelled as f64;
    context.report.add(Figure::new("rest", "CPU for a Secret that a third party relabels", cpu, "ms"));
    let meter = stage.meter()?;
    tokio::time::sleep(half).await;
    let share = meter.share()?;
    let writes = writes(stage, mark).await?;
    let calls = (stage.tfc.call_count() - calls) as f64;
    context
        .report
        .add(Figure::new("rest", "a core's share without the third party", share * 100.0, "%").at_most(0.5).absolute());
    context.report.add(Figure::new("rest", "writes but the Lease's", writes.len() as f64, "").at_most(0.0));
    context.report.add(Figure::new("rest", "calls to TFC", calls, "").at_most(0.0));
    Ok(())
}

/// One walk over the organization's tokens, within TFC's limit.
async fn sweep(context: &mut Context<'_>, stage: &mut Stage) -> Result<()> {
    let many = context.flags.many;
    context.report.progress(format!("the sweep over {many} tokens"));
    stage.stop().await?;
    stage.tfc.set_rate_limit(tfc_harness::simulator::RateLimit::FixedWindow(30));
    let mut operator = stage.another(|options| {
        options.args.retain(|arg| !arg.starts_with("--settling-time"));
        options.args.push("--settling-time=10s".into());
    })?;
    operator.wait_ready().await?;
    let pid = operator.pid();
    let from = stage.tfc.call_count();
    let is_page = |route: &str, method: &str| {
        method == "GET"
            && ["/users/:user/authentication-tokens", "/organizations/:organization/team-tokens"].contains(&route)
    };
    let pages_of = |stage: &Stage| {
        let calls = stage.tfc.log_since(from);
        calls.into_iter().filter(|call| is_page(call.route, &call.method)).collect::<Vec<_>>()
    };
    let expected = (many + OTHERS).div_ceil(100);
    poll_until("the sweep to begin", SOON * 2, async || (!pages_of(stage).is_empty()).then_some(())).await?;
    process::forget_peak(pid)?;
    let before = process::memory(pid)?.now;
    poll_until("the sweep's end", SOON * 5, async || {
        let text = operator.metrics().await.map_err(|error| error.to_string())?;
        let done = crate::stage::sum(&text, "tfc_token_operator_sweeps_total");
        if done >= 1.0 { Ok(()) } else { Err(format!("{} pages", pages_of(stage).len())) }
    })
    .await?;
    let pages = pages_of(stage);
    let peak = process::memory(pid)?.peak;
    let refused = stage.tfc.log_since(from).iter().filter(|call| call.status == Some(429)).count();
    let revoked = stage.alive().len();
    operator.sigterm().await?;
    if revoked != many {
        return Err(Error::new(format!("{revoked} of {many} tokens live after the sweep")));
    }
    // The user's own list is one page more.
    context.report.add(
        Figure::new("sweep", format!("pages for {many} tokens"), pages.len() as f64, "")
            .of(expected as f64 + 1.0)
            .at_most(1.0),
    );
    context.report.add(Figure::new("sweep", "refused", refused as f64, "").at_most(0.0));
    context
        .report
        .add(Figure::new("sweep", "memory at its peak, of that before", peak, "MB").of(before).at_most(1.1).absolute());
    if let (Some(first), Some(last)) = (pages.first(), pages.last()) {
        let seconds = last.at.duration_since(first.at).as_secs_f64();
        let rate = if seconds == 0.0 { 0.0 } else { pages.len() as f64 / seconds };
        context.report.add(Figure::new("sweep", "pages a second, of TFC's 30", rate, "1/s").of(30.0).at_most(1.0));
    }
    Ok(())
}

/// The operator's writes since a mark, but for its Lease.
async fn writes(stage: &Stage, mark: Mark) -> Result<Vec<String>> {
    let events = stage.ground.since(mark).await?;
    let ours = events.into_iter().filter(|event| event.user == "operator" && event.is_write());
    Ok(ours
        // A review is a question that is put as a create: nothing is stored.
        .filter(|event| !["leases", "selfsubjectaccessreviews"].contains(&event.resource.as_str()))
        .map(|event| format!("{} {}/{} {}", event.verb, event.resource, event.subresource, event.name))
        .collect())
}
