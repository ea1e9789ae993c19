//! An upgrade from an earlier version while roles are made and rotated: no issuance fails, and every invariant holds.
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;
use tfc_harness::invariants::Recorder;

use crate::stage::{PLATFORM, RELEASE, SHOP, SOON, Stage, on_the_cluster};

#[test]
fn an_upgrade_under_load_fails_no_issuance() {
    on_the_cluster(async |stage| {
        let namespaces = [SHOP, PLATFORM, RELEASE].map(str::to_owned);
        let recorder = Recorder::start(stage.tfc.ledger(), &stage.cluster.etcd_url(), &namespaces).expect("it records");
        stage.install(&["image.tag=before"]).await;
        stage.config().await;
        stage.role("first").await;
        let before = stage.issued("first", None).await;

        // While helm replaces one pod after the other, somebody goes on asking.
        let upgraded = AtomicBool::new(false);
        let upgrade = async {
            stage.upgrade(&[]).await;
            upgraded.store(true, Ordering::Relaxed);
        };
        let ((), roles) = tokio::join!(upgrade, ask_until(&stage, &upgraded));
        assert!(roles.len() >= 5, "only {} roles were made during the upgrade", roles.len());
        for role in &roles {
            stage.issued(role, None).await;
        }
        rotate(&stage, "first").await;
        stage.issued("first", Some(&before)).await;
        no_failure_was_told(&stage).await;
        tokio::task::block_in_place(|| recorder.settles_blocking(SOON)).expect("all is settled");
        tokio::task::block_in_place(|| recorder.holds(true)).expect("every invariant held");
        drop(recorder);
        stage.uninstall().await;
        stage.namespaces_go().await;
    });
}

/// Makes roles and rotates them until the upgrade is over, one after the other; their names.
async fn ask_until(stage: &Stage, over: &AtomicBool) -> Vec<String> {
    let mut roles: Vec<String> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let name = format!("load-{}", roles.len());
        stage.role(&name).await;
        if let Some(former) = roles.last() {
            rotate(stage, former).await;
        }
        roles.push(name);
        // A pace that a person's pipelines may have, not a wait for anything.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    roles
}

async fn rotate(stage: &Stage, role: &str) {
    let patch = json!({"metadata": {"annotations": {"terraformcloud.dev/rotate": "now"}}}).to_string();
    let args = ["patch", "tfcrole", role, "--namespace", SHOP, "--type=merge", "--patch", &patch];
    stage.cluster.kubectl(&args, None).await.and_then(|said| said.ok("kubectl patch")).expect("it is taken");
}

/// The operator warns of whatever begins to fail.
async fn no_failure_was_told(stage: &Stage) {
    let events: Api<Event> = Api::namespaced(stage.client.clone(), SHOP);
    let events = events.list(&ListParams::default()).await.expect("events can be read");
    let of_roles = events.items.into_iter().filter(|event| {
        event.involved_object.kind.as_deref() == Some("TerraformCloudRole") && event.type_.as_deref() == Some("Warning")
    });
    let told: Vec<_> = of_roles.map(|event| (event.involved_object.name, event.reason, event.message)).collect();
    assert!(told.is_empty(), "{told:?}");
}
