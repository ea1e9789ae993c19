//! etcd set back to an older snapshot: what TFC knows is ahead of what the cluster remembers.

use std::collections::BTreeSet;

use kube::api::DeleteParams;
use serde_json::json;
use tfc_harness::invariants::Person;
use tfc_harness::simulator::{Fault, Gate, When};

use super::order::is_in_order_but;
use crate::bed::Bed;
use crate::stage::{Setting, Stage, token_id};

/// Before the snapshot: roles that have their tokens, and one whose mint is under way. After it: one rotates, and its former token
/// dies; one rotates, and pods use its new token; one is deleted; one is made; the one under way gets its token.
#[tokio::test]
async fn after_etcd_was_set_back_no_secret_holds_a_dead_token_and_none_is_leaked() {
    let mut bed = Bed::of_its_own().await;
    let flags = ["--settling-time=2s", "--sweep-interval=3s"];
    let setting = Setting { flags: &flags, bed: Some(&bed), everywhere: true, ..Setting::default() };
    let stage = Stage::set(setting, json!({})).await;
    let spec = || json!({"user": {"me": true}, "ttl": "1h", "overlap": "1s"});
    let names = ["resting", "rotated", "used", "deleted"];
    for name in names {
        stage.role(name, spec()).await;
        stage.issued(name).await;
    }
    let gate = Gate::new();
    let held = stage.tfc.fault(When::mint().once(), Fault::DelayAfter((&gate).into()));
    stage.role("begun", spec()).await;
    held.reached(1).await;

    let snapshot = bed.control_plane.folder().join("snapshot.db");
    bed.control_plane.snapshot(&snapshot).await.expect("a snapshot");

    gate.open();
    stage.issued("begun").await;
    for name in ["rotated", "used"] {
        let former = token_id(&stage.issued(name).await);
        stage.annotate(name, "rotate", "1").await;
        stage.succeeded(name, &former).await;
    }
    let used = stage.token("used").await;
    assert_eq!(stage.use_token(&used).await, 200, "a pod uses it");
    let used = stage.tfc.token_id_of_value(&used).expect("TFC made it");
    stage.roles().delete("deleted", &DeleteParams::default()).await.expect("the role can be deleted");
    stage.role_goes("deleted").await;
    stage.role("later", spec()).await;
    stage.issued("later").await;
    // The former tokens are dead.
    stage.alive_become(5).await;

    // What the restore does to the cluster, no operator could.
    stage.declare(Person::StrippedFinalizer, "later");
    for name in names.into_iter().chain(["begun"]) {
        for act in [Person::WroteSecret, Person::WipedStatus] {
            stage.declare(act, name);
        }
    }
    bed.control_plane.restore(&snapshot).await.expect("etcd is set back");
    assert!(stage.roles().get_opt("later").await.expect("the API server answers").is_none(), "it was set back");
    is_in_order_but(&stage, &BTreeSet::from([used])).await;
    for name in names.into_iter().chain(["begun"]) {
        stage.issued(name).await;
    }
    stage.told("used", "UnknownToken").await;
}
