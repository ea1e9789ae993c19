//! A backlog of first mints within TFC's limit, however TFC counts a second, alone and beside another client.

use std::time::Duration;

use jiff::Timestamp;
use tfc_harness::simulator::{Call, RateLimit};

use super::Context;
use crate::Result;
use crate::figure::Figure;
use crate::neighbour::{AGENT, Neighbour};
use crate::stage::{Setting, Stage};
use crate::steady::best_share;

const LIMIT: u32 = 30;
/// What the other client asks for a second.
const NEIGHBOUR: u32 = 10;
/// The time over which a connection's requests under way come in, after one of them was refused.
const UNDER_WAY: f64 = 0.1;
/// Mints of what is left, and the part of calls that is refused, alone and beside another client. The short form allows for a machine that
/// stands still for a moment.
const BARS: (f64, f64, f64) = (0.95, 0.005, 0.03);
const SHORT_BARS: (f64, f64, f64) = (0.85, 0.03, 0.06);

pub async fn run(context: &mut Context<'_>) -> Result<()> {
    let windows = [
        ("fixed window", RateLimit::FixedWindow(LIMIT)),
        ("sliding window", RateLimit::SlidingWindow(LIMIT)),
        ("bucket", RateLimit::Bucket(LIMIT)),
    ];
    // The short form takes the first alone.
    for (name, limit) in windows.into_iter().take(if context.flags.short { 1 } else { 3 }) {
        for neighbour in [false, true] {
            backlog(context, name, limit, neighbour).await?;
        }
    }
    Ok(())
}

async fn backlog(context: &mut Context<'_>, name: &str, limit: RateLimit, neighbour: bool) -> Result<()> {
    let count = context.flags.roles;
    let beside = if neighbour { format!(", another client asks {NEIGHBOUR}/s") } else { String::new() };
    context.report.progress(format!("{count} roles at TFC's {LIMIT}/s, {name}{beside}"));
    let mut stage = Stage::set(context.flags, Setting { limit, ..Setting::default() }).await?;
    stage.create_roles("role", 0..count).await?;
    let other = match neighbour {
        true => Some(Neighbour::start(&stage.tfc.address(), &stage.ids.ci_token, NEIGHBOUR)?),
        false => None,
    };
    stage.start().await?;
    stage.issued(count, Duration::from_secs(60 + 2 * count as u64 / 10)).await?;
    let refused_to_other = other.as_ref().map(Neighbour::refused);
    drop(other);
    let calls = stage.tfc.log();
    stage.stop().await?;

    let (others, ours): (Vec<Call>, Vec<Call>) =
        calls.into_iter().partition(|call| call.agent.as_deref() == Some(AGENT));
    let mints: Vec<Timestamp> = ours.iter().filter(|call| call.status == Some(201)).map(|call| call.at).collect();
    let (Some(first), Some(last)) = (mints.first().copied(), mints.last().copied()) else { return Ok(()) };
    let inside = |call: &&Call| call.at >= first && call.at <= last;
    let seconds = last.duration_since(first).as_secs_f64();
    let taken = others.iter().filter(inside).filter(|call| call.status == Some(200)).count() as f64;
    let left = f64::from(LIMIT) * seconds - taken;
    let refused = ours.iter().filter(inside).filter(|call| call.status == Some(429)).count();
    let title = |what: &str| format!("{name}{}: {what}", if neighbour { " and another client" } else { "" });
    let (mints_of_left, refused_alone, refused_beside) = if context.flags.short { SHORT_BARS } else { BARS };
    let report = &mut *context.report;
    report.add(
        Figure::new("rates", title("mints of what is left of the budget"), mints.len() as f64, "")
            .of(left)
            .at_least(mints_of_left),
    );
    if neighbour && matches!(limit, RateLimit::SlidingWindow(_)) {
        let best = best_share(LIMIT, NEIGHBOUR, refused_beside);
        report.add(
            Figure::new("rates", title("of what the best steady pace gets"), mints.len() as f64, "").of(left * best),
        );
    }
    report.add(
        Figure::new("rates", title("refused, of all calls"), refused as f64, "")
            .of(ours.len() as f64)
            .at_most(if neighbour { refused_beside } else { refused_alone }),
    );
    report.add(
        Figure::new("rates", title("sent before a refusal's time was over"), blind(&ours) as f64, "").at_most(0.0),
    );
    if let Some(refused) = refused_to_other {
        let asked = refused as f64 + taken;
        report.add(Figure::new("rates", title("of the other client's requests refused"), refused as f64, "").of(asked));
    }
    Ok(())
}

/// Calls that came after a refusal and before the time that it named, but for those that were under way.
fn blind(calls: &[Call]) -> usize {
    let refusals = calls.iter().filter_map(|call| Some((call.at, call.reset?)));
    refusals
        .map(|(at, reset)| {
            let after = |call: &&Call| {
                let later = call.at.duration_since(at).as_secs_f64();
                later > UNDER_WAY && later < reset - 0.005
            };
            calls.iter().filter(after).count()
        })
        .sum()
}
