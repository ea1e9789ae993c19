//! The API server and etcd killed, compacted, and set back to a backup.

use std::time::Duration;

use serde_json::json;
use tfc_harness::proxy::Proxy;

use super::order::is_in_order;
use super::unseen::Unseen;
use crate::bed::Bed;
use crate::stage::{SOON, Setting, Stage};

/// The control plane that these tests break, one after the other. One that a failed test has left broken is not used again.
static BREAKABLE: tokio::sync::Mutex<Option<Bed>> = tokio::sync::Mutex::const_new(None);

async fn with_a_breakable_bed(test: impl AsyncFnOnce(&mut Bed)) {
    let mut slot = BREAKABLE.lock().await;
    let mut bed = match slot.take() {
        Some(bed) => bed,
        None => Bed::of_its_own().await,
    };
    test(&mut bed).await;
    *slot = Some(bed);
}

async fn stage_on(bed: &Bed) -> Stage {
    let setting = Setting { flags: &["--settling-time=2s"], bed: Some(bed), ..Setting::default() };
    Stage::set(setting, json!({})).await
}

async fn minted(stage: &Stage, count: usize) {
    assert!(stage.tfc.until(SOON, |tfc| tfc.minted().len() >= count).await, "{} tokens", stage.tfc.minted().len());
}

#[tokio::test]
async fn kube_apiserver_and_etcd_killed_during_issuance_cost_no_token() {
    with_a_breakable_bed(async |bed| {
        const ROLES: usize = 40;
        let stage = stage_on(bed).await;
        // So that it takes its time.
        stage.tfc.set_reply_delay(Duration::from_millis(300));
        for n in 0..ROLES {
            stage.role(&format!("role-{n}"), json!({"user": {"me": true}, "ttl": "24h"})).await;
        }
        minted(&stage, ROLES / 4).await;
        bed.control_plane.kill_apiserver();
        bed.control_plane.restart_apiserver().await.expect("it starts again");
        minted(&stage, ROLES / 2).await;
        bed.control_plane.kill_etcd();
        bed.control_plane.restart_etcd().await.expect("it starts again");
        is_in_order(&stage).await;
        assert_eq!(stage.alive().len(), ROLES);
    })
    .await;
}

#[tokio::test]
async fn a_watch_whose_place_was_compacted_away_begins_anew() {
    with_a_breakable_bed(async |bed| {
        let proxy = Proxy::start(bed.control_plane.address()).await.expect("the proxy starts");
        let kubeconfig = bed.control_plane.kubeconfig_through(&proxy.address()).expect("a kubeconfig");
        let setting = Setting {
            flags: &["--settling-time=2s"],
            bed: Some(bed),
            kubeconfig: Some(&kubeconfig),
            ..Setting::default()
        };
        let stage = Stage::set(setting, json!({})).await;
        let unseen = Unseen::prepared(&stage).await;
        proxy.cut();
        unseen.happens(&stage).await;
        bed.control_plane.compact().await.expect("etcd compacts");
        // Its cache of watches knows what came before.
        bed.control_plane.restart_apiserver().await.expect("it starts again");
        let from = jiff::Timestamp::now();
        proxy.mend();
        unseen.is_made_good(&stage).await;
        let listed = |event: &tfc_harness::audit::AuditEvent| {
            event.verb == "list"
                && event.resource == "terraformcloudroles"
                && event.user == "operator"
                && event.time > from
        };
        assert!(bed.audit_events().expect("the audit log").iter().any(listed), "410 has it list anew");
    })
    .await;
}
