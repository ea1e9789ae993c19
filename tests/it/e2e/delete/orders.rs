//! Role, config, admin Secret and namespaces go in every order, in every way, all at once.

use futures::future::join_all;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use tfc_harness::simulator::Outage;
use tfc_harness::wait_until;

use super::namespace_goes;
use crate::stage::{SOON, Setting, Stage};

const ORDERS: [[&str; 3]; 6] = [
    ["role", "config", "secret"],
    ["role", "secret", "config"],
    ["config", "role", "secret"],
    ["config", "secret", "role"],
    ["secret", "role", "config"],
    ["secret", "config", "role"],
];

async fn delete(stage: &Stage, what: &str, name: &str, how: &DeleteParams) {
    match what {
        "role" => stage.roles().delete(name, how).await.map(drop),
        "config" => stage.configs().delete(name, how).await.map(drop),
        _ => stage.secrets().delete(&format!("{name}-admin"), how).await.map(drop),
    }
    .expect("it can be deleted");
}

async fn all_go(stage: &Stage, name: &str) {
    stage.role_goes(name).await;
    let (configs, secrets, admin) = (stage.configs(), stage.secrets(), format!("{name}-admin"));
    wait_until(&format!("config {name} and its admin Secret to go"), SOON, async || {
        let config = configs.get_opt(name).await.map_err(|error| error.to_string())?;
        let secret = secrets.get_opt(&admin).await.map_err(|error| error.to_string())?;
        if config.is_none() && secret.is_none() { Ok(()) } else { Err(format!("{config:#?}")) }
    })
    .await;
}

#[tokio::test]
async fn role_config_and_admin_secret_go_in_every_order_and_way() {
    let mut stage = Stage::bare(&[]).await;
    stage.start().await;
    let ways = [DeleteParams::background(), DeleteParams::foreground(), DeleteParams::orphan()];
    let all: Vec<_> = ORDERS.iter().flat_map(|order| ways.iter().map(move |how| (order, how))).collect();
    let names: Vec<String> = (0..all.len()).map(|n| format!("tfc-{n}")).collect();
    join_all(names.iter().map(async |name| {
        stage.config(name, json!({})).await;
        stage.role(name, json!({"configRef": {"name": name}, "user": {"me": true}, "ttl": "1h"})).await;
        stage.issued(name).await;
    }))
    .await;
    assert_eq!(stage.alive().len(), all.len());

    join_all(names.iter().zip(&all).map(async |(name, (order, how))| {
        for what in **order {
            delete(&stage, what, name, how).await;
        }
        all_go(&stage, name).await;
    }))
    .await;
    assert_eq!(stage.alive(), Vec::new());
    assert_eq!(stage.tfc.minted().len(), all.len());
}

#[tokio::test]
async fn all_go_at_the_tokens_expiry_where_tfc_stays_away() {
    let stage = Stage::new().await;
    stage.role("tfc", json!({"user": {"me": true}, "ttl": "12s"})).await;
    stage.issued("tfc").await;
    stage.tfc.down(Outage::Refused).expect("it goes down");
    for what in ORDERS[5] {
        delete(&stage, what, "tfc", &DeleteParams::default()).await;
    }
    all_go(&stage, "tfc").await;
    assert_eq!(stage.alive(), Vec::new(), "its time is over");
}

#[tokio::test]
async fn the_roles_namespace_and_the_configs_go_at_once_in_either_order() {
    let allow =
        json!({"allow": [{"namespaces": {"from": "All"}, "users": ["me"], "teams": ["*"], "organizations": ["*"]}]});
    join_all([false, true].map(async |roles_first| {
        let stage = Stage::set(Setting { tenant: true, ..Setting::default() }, allow.clone()).await;
        stage.role("user", json!({"user": {"me": true}, "ttl": "1h"})).await;
        stage.role("team", json!({"team": {"id": "team-apps"}, "ttl": "1h"})).await;
        stage.role("slot", json!({"organization": {"name": "acme"}})).await;
        for name in ["user", "team", "slot"] {
            stage.issued(name).await;
        }
        let mut order = [&stage.namespace, &stage.tenant];
        if roles_first {
            order.reverse();
        }
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(stage.client.clone());
        for name in order {
            namespaces.delete(name, &DeleteParams::default()).await.expect("a namespace can be deleted");
        }
        for name in order {
            namespace_goes(&stage, name).await;
        }
        assert_eq!(stage.alive(), Vec::new(), "roles first: {roles_first}");
        assert_eq!(stage.tfc.minted().len(), 3, "nothing is minted in a namespace that goes");
    }))
    .await;
}
