//! The wire between the operator and the API server cut, or deaf.

use std::time::Duration;

use serde_json::json;
use tfc_harness::proxy::Proxy;
use tfc_harness::wait_until;

use super::order::BOUND;
use super::unseen::Unseen;
use crate::bed::bed;
use crate::stage::{Setting, Stage};

/// A stage whose operator reaches the API server by a wire.
async fn by_a_wire() -> (Stage, Proxy) {
    let proxy = Proxy::start(bed().control_plane.address()).await.expect("the proxy starts");
    let kubeconfig = bed().control_plane.kubeconfig_through(&proxy.address()).expect("a kubeconfig");
    let setting = Setting { flags: &["--settling-time=2s"], kubeconfig: Some(&kubeconfig), ..Setting::default() };
    (Stage::set(setting, json!({})).await, proxy)
}

#[tokio::test]
async fn what_happens_while_the_watches_are_dropped_is_made_good_when_they_come_back() {
    let (stage, proxy) = by_a_wire().await;
    let unseen = Unseen::prepared(&stage).await;
    proxy.cut();
    unseen.happens(&stage).await;
    // Long enough for the watches to fail some times, and to wait before the next try.
    tokio::time::sleep(Duration::from_secs(5)).await;
    proxy.mend();
    unseen.is_made_good(&stage).await;
}

/// As when a firewall forgets its connections: nothing says that nothing will come any more.
#[tokio::test]
async fn a_wire_that_goes_deaf_without_a_word_is_given_up() {
    let (stage, proxy) = by_a_wire().await;
    let unseen = Unseen::prepared(&stage).await;
    proxy.deafen();
    unseen.happens(&stage).await;
    wait_until("the operator to listen again", BOUND, async || {
        let going = stage.roles().get_opt("going").await.map_err(|error| error.to_string())?;
        if going.is_none() { Ok(()) } else { Err("what is deleted stays".to_owned()) }
    })
    .await;
    unseen.is_made_good(&stage).await;
}
