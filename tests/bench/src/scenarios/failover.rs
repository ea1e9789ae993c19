//! The leader is killed under load: another one mints, and nothing is leaked.

use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use tfc_harness::Error;
use tfc_harness::wait::poll_until;

use super::Context;
use super::issue::all_are_issued_once;
use crate::Result;
use crate::figure::Figure;
use crate::ground::NAMESPACE;
use crate::stage::{SOON, Setting, Stage};

/// The Lease's length.
const LEASE: SignedDuration = SignedDuration::from_secs(5);
const FLAGS: [&str; 4] = [
    "--leader-elect-lease-duration=5s",
    "--leader-elect-renew-deadline=4s",
    "--leader-elect-retry-period=500ms",
    // Lost mints are looked for soon.
    "--settling-time=20s",
];

pub async fn run(context: &mut Context<'_>) -> Result<()> {
    let count = context.flags.roles;
    context.report.progress(format!("the leader is killed while it issues {count} roles"));
    let flags = FLAGS.map(str::to_owned).to_vec();
    let mut stage =
        Stage::set(context.flags, Setting { flags, reply: Duration::from_millis(50), ..Setting::default() }).await?;
    stage.create_roles("role", 0..count).await?;
    stage.start().await?;
    let mut standby = stage.another(|options| options.env.push(("POD_NAME".into(), "standby".into())))?;
    standby.wait_ready().await?;
    stage.minted(count / 4, SOON).await?;
    stage.kill();
    let killed = stage.tfc.now();
    let lease_end = lease_renewed(&stage).await? + LEASE;
    let before = stage.tfc.minted_count();
    let (calls, mut late) = (stage.tfc.call_count(), None);
    poll_until("another leader's first mint", SOON, async || {
        late = stage
            .tfc
            .log_since(calls)
            .into_iter()
            .find(|call| call.made.len() == 1 && call.at > killed + SignedDuration::from_millis(500));
        late.is_some().then_some(())
    })
    .await?;
    let mint = late.ok_or_else(|| Error::new("no mint"))?.at;
    let delay = mint.duration_since(lease_end).as_secs_f64();
    context.report.add(
        Figure::new("failover", "the first mint of another leader, after the Lease ran out", delay, "s").at_most(5.0),
    );
    context.report.progress(format!("  {before} of {count} had been minted when the leader was killed"));
    stage.issued(count, SOON * 10).await?;
    let settled = poll_until("what was lost in flight to be found and revoked", SOON * 3, async || {
        let alive = stage.alive().len();
        if alive == count { Ok(()) } else { Err(format!("{alive} tokens live")) }
    })
    .await;
    let leaked = stage.alive().len().saturating_sub(count);
    context.report.add(Figure::new("failover", "tokens leaked", leaked as f64, "").at_most(0.0));
    settled?;
    all_are_issued_once(&stage, count).await?;
    let lost = stage.tfc.minted_count() - count;
    context.report.add(Figure::new("failover", "minted and lost in flight, then revoked", lost as f64, ""));
    drop(standby);
    Ok(())
}

async fn lease_renewed(stage: &Stage) -> Result<Timestamp> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/tfc-token-operator");
    let lease = stage.ground.send(Method::GET, &path, None).await?;
    lease["spec"]["renewTime"]
        .as_str()
        .unwrap_or_default()
        .parse()
        .map_err(Error::while_trying("the Lease's renewTime"))
}
