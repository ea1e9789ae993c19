//! When roles that were issued in one burst are renewed: the wake times that the planner gives, without a server.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tfc_harness::Error;
use tfc_token_operator::api::{Held, SecretRecord, TerraformCloudRole};
use tfc_token_operator::marker::Installation;
use tfc_token_operator::plan::observed::{Account, AccountKind, Config, Facts, Nonce, Observed, OurSecret, Secret};
use tfc_token_operator::plan::step::Step;
use tfc_token_operator::plan::{layout, plan};

use super::Context;
use crate::Result;
use crate::figure::Figure;

/// The roles of the bar, whatever the scale of the rest.
const ROLES: usize = 10_000;
const CYCLES: usize = 8;
/// How long a renewal takes from its time to its token.
const MINT: SignedDuration = SignedDuration::from_millis(300);

pub fn run(context: &mut Context<'_>) -> Result<()> {
    context.report.progress(format!("{ROLES} roles with ttl 1h, issued in one burst: {CYCLES} renewals of each"));
    let began = Timestamp::from_second(1_800_000_000).map_err(Error::while_trying("a time"))?;
    let (mut first, mut later, mut longest) = (Vec::new(), Vec::new(), SignedDuration::ZERO);
    for number in 0..ROLES {
        // 500 a second, which no TFC grants.
        let mut issued = began + SignedDuration::from_millis(2 * number as i64);
        // A uid of the API server's kind: what is spread by it must not hang on its random bits being in one place.
        let uid = format!("{:08x}-0000-4000-8000-{:012x}", number * 7919, number);
        for cycle in 0..CYCLES {
            let wake = wake(&uid, cycle, issued)?;
            longest = longest.max(wake.duration_since(issued));
            if cycle == 0 {
                first.push(wake)
            } else {
                later.push(wake)
            }
            issued = wake + MINT;
        }
    }
    // All have begun their second cycle when the longest first one is over, and none has ended its last.
    let minutes = longest.as_secs() / 60;
    let from = began + longest;
    let until = from + SignedDuration::from_mins(minutes * (CYCLES as i64 - 3));
    later.retain(|at| *at >= from && *at < until);
    context.report.add(worst("first renewals: the busiest minute, of the mean over the cycle", &first, began, minutes));
    context.report.add(worst(
        "later renewals: the busiest minute, of the mean",
        &later,
        from,
        minutes * (CYCLES as i64 - 3),
    ));
    let all = (later.len() as f64 / ROLES as f64) / (minutes * (CYCLES as i64 - 3)) as f64 * 40.0;
    context.report.add(
        Figure::new("spread", "renewals in the 40 minutes after which one is due at the latest", all, "").at_most(1.1),
    );
    Ok(())
}

fn worst(name: &str, times: &[Timestamp], from: Timestamp, minutes: i64) -> Figure {
    let mut counts = vec![0_usize; usize::try_from(minutes).unwrap_or(0) + 2];
    for at in times {
        let minute = usize::try_from(at.duration_since(from).as_secs() / 60).unwrap_or(0);
        if let Some(count) = counts.get_mut(minute) {
            *count += 1;
        }
    }
    let mean = times.len() as f64 / minutes as f64;
    let most = counts.into_iter().max().unwrap_or(0);
    Figure::new("spread", name, most as f64, "roles").of(mean).at_most(1.25)
}

/// When the planner wants to look at the role again whose token was issued then.
fn wake(uid: &str, cycle: usize, issued: Timestamp) -> Result<Timestamp> {
    match plan(&observed(uid, cycle, issued)?) {
        Step::Rest(rest) => {
            let wake = rest.wake_in.ok_or_else(|| Error::new("the planner never wants to look at the role again"))?;
            Ok(issued + wake)
        }
        step => Err(Error::new(format!("the planner does not rest: {step:?}"))),
    }
}

fn observed(uid: &str, cycle: usize, issued: Timestamp) -> Result<Observed> {
    let installation = Installation::new("bench");
    let (attempt, id) = (format!("attempt-{uid}-{cycle}"), format!("at-{uid}-{cycle}"));
    // TFC cuts an expiry to the second.
    let expires = Timestamp::from_second(issued.as_second() + 3600).map_err(Error::while_trying("a time"))?;
    let record = json!({
        "attempt": attempt, "tokenID": id, "host": "app.terraform.io", "account": "user-1", "subject": "user/user-1",
        "source": "Reply", "issuedAt": issued, "expiresAt": expires, "secretResourceVersion": "7", "digest": "x",
    });
    let role = json!({
        "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole",
        "metadata": {"name": "shop", "namespace": "apps", "uid": uid, "generation": 1, "resourceVersion": "8",
            "finalizers": ["terraformcloud.dev/revoke"]},
        "spec": {"configRef": {"name": "tfc"}, "user": {"me": true}, "ttl": "1h"},
        "status": {"subjectID": "user-1", "handled": {}, "current": record,
            "owner": installation.owner(uid)},
    });
    let role: TerraformCloudRole = serde_json::from_value(role).map_err(Error::while_trying("a role"))?;
    let current = role.status.as_ref().and_then(|status| status.current.as_ref());
    let held = current.map(Held::from).unwrap_or_default();
    let record = SecretRecord {
        v: 1,
        installation: installation.as_str().into(),
        role_uid: uid.into(),
        held: Some(held),
        layout: layout(&role.spec),
        ..SecretRecord::default()
    };
    let secret = OurSecret {
        uid: "secret".into(),
        resource_version: "7".into(),
        record: Some(record),
        pending: None,
        verified: true,
    };
    let hours = SignedDuration::from_hours;
    let config = Config {
        namespace: "apps".into(),
        name: "tfc".into(),
        deleting: false,
        host: "app.terraform.io".into(),
        allow: None,
        teams: Vec::new(),
        default_ttl: hours(24),
        max_ttl: hours(768),
        grace: SignedDuration::from_mins(10),
        revoke_wish: None,
        abandon_unproven: false,
        account: Ok(Account { id: "user-1".into(), kind: AccountKind::User, token_id: None }),
    };
    Ok(Observed {
        role,
        namespace_going: false,
        namespace_labels: None,
        namespaces_hidden: false,
        config: Some(config),
        secret: Secret::Ours(secret),
        facts: Facts::default(),
        trouble: None,
        now: Some(issued),
        api_now: Some(issued),
        wall: issued,
        nonce: Nonce { attempt: "next".into(), seconds: 0 },
        installation,
        settling_time: SignedDuration::from_mins(2),
        swept: false,
        restarts: false,
    })
}
