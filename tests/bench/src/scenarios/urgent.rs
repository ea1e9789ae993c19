//! What is urgent goes before a backlog of first mints, and does not starve it.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tfc_harness::Error;
use tfc_harness::simulator::{Call, RateLimit};
use tfc_harness::wait::poll_until;

use super::Context;
use crate::Result;
use crate::figure::Figure;
use crate::ground::{NAMESPACE, ROLES, role};
use crate::stage::{SOON, Setting, Stage};

/// Seconds within which urgent work begins.
const WITHIN: f64 = 2.0;
const STRETCH: Duration = Duration::from_secs(5);

pub async fn run(context: &mut Context<'_>) -> Result<()> {
    let count = context.flags.roles;
    context.report.progress(format!("urgent work during a backlog of {count} first mints at 30/s"));
    let setting = Setting { limit: RateLimit::FixedWindow(30), ..Setting::default() };
    let mut stage = Stage::set(context.flags, setting).await?;
    stage.start().await?;
    let user = |name: &str| json!({"user": {"me": true}, "description": name});
    let specs = [
        ("asked-rotate", user("asked-rotate")),
        ("asked-revoke", user("asked-revoke")),
        ("deleted", user("deleted")),
        ("overlap", json!({"user": {"me": true}, "description": "overlap", "overlap": "25s"})),
        ("dying", json!({"user": {"me": true}, "description": "dying", "ttl": "60s", "renewBefore": "20s"})),
    ];
    for (name, spec) in &specs {
        stage.ground.send(Method::POST, ROLES, Some(&role(name, spec))).await?;
    }
    stage.issued(specs.len(), SOON).await?;
    stage.create_roles("role", 0..count).await?;
    annotate(&stage, "overlap", "rotate").await?;
    stage.minted(specs.len() + 60, SOON).await?;
    let backlog = stage.tfc.call_count();
    let deleted_token = token(&stage, "deleted").await?;

    let asked = stage.tfc.now();
    annotate(&stage, "asked-rotate", "rotate").await?;
    annotate(&stage, "asked-revoke", "revoke").await?;
    stage.ground.send(Method::DELETE, &format!("{ROLES}/deleted"), None).await?;
    let rotated = first(&stage, backlog, |call| minted_for(call, "asked-rotate")).await?;
    let revoked = first(&stage, backlog, |call| minted_for(call, "asked-revoke")).await?;
    let gone = first(&stage, backlog, |call| call.killed.contains(&deleted_token)).await?;
    let mut delays =
        vec![("a rotation asked for", since(asked, &rotated)), ("a revocation asked for", since(asked, &revoked))];
    delays.push(("a role that goes", since(asked, &gone)));

    let predecessor = poll_until("the predecessor of role overlap", SOON, async || {
        let status =
            stage.ground.send(Method::GET, &format!("{ROLES}/overlap"), None).await.map_err(|e| e.to_string())?;
        let record = status["status"]["predecessors"][0].clone();
        if record.is_null() { Err(format!("{}", status["status"])) } else { Ok(record) }
    })
    .await?;
    let due = time(&predecessor["revokeAt"])?;
    let id = predecessor["tokenID"].as_str().unwrap_or_default().to_owned();
    let killed = first(&stage, 0, |call| call.killed.contains(&id)).await?;
    delays.push(("a revocation that is due", since(due, &killed)));

    let dying = stage.ground.send(Method::GET, &format!("{ROLES}/dying"), None).await?;
    let due = time(&dying["status"]["renewAt"])?;
    let renewed = first(&stage, 0, |call| minted_for(call, "dying") && call.at >= due).await?;
    delays.push(("a token about to expire", since(due, &renewed)));
    for (what, delay) in delays {
        context.report.add(Figure::new("urgent", format!("{what} begins after"), delay, "s").at_most(WITHIN));
    }
    stage.issued(specs.len() + count, Duration::from_secs(60 + count as u64 / 10)).await?;
    let is_urgent = |call: &Call| specs.iter().any(|(name, _)| minted_for(call, name));
    let first_mints: Vec<Call> = stage.tfc.log_since(backlog).into_iter().filter(|call| !is_urgent(call)).collect();
    let slowest = slowest_stretch(&first_mints);
    let name = format!("first mints in the slowest {} s of the backlog, of those in the mean", STRETCH.as_secs());
    if let Some((slowest, mean)) = slowest {
        context.report.add(Figure::new("urgent", name, slowest, "").of(mean).at_least(0.5));
    }
    stage.stop().await
}

fn minted_for(call: &Call, description: &str) -> bool {
    let sent = call.sent.as_ref().and_then(|sent| sent.description.as_ref());
    call.status == Some(201) && sent.is_some_and(|text| text.ends_with(description))
}

/// The first call of that sort, once it came.
async fn first(stage: &Stage, from: u64, which: impl Fn(&Call) -> bool) -> Result<Call> {
    poll_until("a call of urgent work", SOON * 2, async || stage.tfc.log_since(from).into_iter().find(&which)).await
}

fn since(at: Timestamp, call: &Call) -> f64 {
    call.at.duration_since(at).as_secs_f64()
}

fn time(value: &Value) -> Result<Timestamp> {
    value.as_str().unwrap_or_default().parse().map_err(Error::while_trying(format!("{value} is no time")))
}

async fn annotate(stage: &Stage, name: &str, wish: &str) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {format!("terraformcloud.dev/{wish}"): "now"}}});
    stage.ground.send(Method::PATCH, &format!("{ROLES}/{name}"), Some(&patch)).await.map(drop)
}

async fn token(stage: &Stage, name: &str) -> Result<String> {
    let role = stage
        .ground
        .send(
            Method::GET,
            &format!("/apis/terraformcloud.dev/v1alpha1/namespaces/{NAMESPACE}/terraformcloudroles/{name}"),
            None,
        )
        .await?;
    role["status"]["current"]["tokenID"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| Error::new(format!("role {name} has no token")))
}

/// First mints in the slowest stretch, and in the mean; none where the backlog was over too soon.
fn slowest_stretch(calls: &[Call]) -> Option<(f64, f64)> {
    let mints: Vec<Timestamp> = calls.iter().filter(|call| call.status == Some(201)).map(|call| call.at).collect();
    let (first, last) = (*mints.first()?, *mints.last()?);
    let stretches = (last.duration_since(first).as_secs_f64() / STRETCH.as_secs_f64()).floor() as usize;
    let mut counts = vec![0_usize; stretches];
    for at in &mints {
        let stretch = (at.duration_since(first).as_secs_f64() / STRETCH.as_secs_f64()) as usize;
        if let Some(count) = counts.get_mut(stretch) {
            *count += 1;
        }
    }
    let mean = counts.iter().sum::<usize>() as f64 / stretches as f64;
    Some((*counts.iter().min()? as f64, mean))
}
