//! The test bed itself: what the other tests rely on.
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::api::{Api, DeleteParams, PostParams};
use kube::core::ObjectMeta;
use tfc_harness::process::is_alive;
use tfc_harness::{ControlPlane, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn two_control_planes_side_by_side_serve_audit_and_go() {
    let bin = testbed_bin();
    let (first, second) = tokio::join!(ControlPlane::start(&bin), ControlPlane::start(&bin));
    let planes = [first.expect("the first starts"), second.expect("the second starts")];
    assert_ne!(planes[0].url(), planes[1].url());

    tokio::join!(delete_a_namespace_with_a_secret(&planes[0]), delete_a_namespace_with_a_secret(&planes[1]));

    let folders = planes.each_ref().map(|plane| plane.folder().to_owned());
    let pids = planes.each_ref().map(ControlPlane::pids).concat();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    drop(planes);
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "a process outlived its control plane");
    assert!(!folders.iter().any(|folder| folder.exists()), "a folder outlived its control plane");
}

/// The controller-manager empties a namespace that is deleted, and every step is in the audit log.
async fn delete_a_namespace_with_a_secret(plane: &ControlPlane) {
    let namespaces = Api::<Namespace>::all(plane.client());
    let secrets = Api::<Secret>::namespaced(plane.client(), "doomed");
    create(&namespaces, Namespace { metadata: named("doomed"), ..Default::default() }).await;
    create(&secrets, Secret { metadata: named("token"), ..Default::default() }).await;
    namespaces.delete("doomed", &DeleteParams::default()).await.expect("the namespace is deleted");
    wait_until("the namespace to be gone", PATIENCE, async || {
        match namespaces.get_opt("doomed").await.map_err(|error| error.to_string())? {
            Some(namespace) => Err(format!("{:?}", namespace.status)),
            None => Ok(()),
        }
    })
    .await;

    let event = wait_until("the audit event of the Secret's creation", PATIENCE, async || {
        let events = plane.audit_events().expect("the audit log is readable");
        events.into_iter().find(|event| event.resource == "secrets" && event.verb == "create" && event.user == "admin")
    })
    .await;
    assert_eq!((event.namespace.as_str(), event.code, event.is_write()), ("doomed", 201, true));
}

#[tokio::test]
async fn rbac_binds_the_tenant_and_service_accounts() {
    let plane = ControlPlane::start(&testbed_bin()).await.expect("it starts");
    let accounts = Api::<ServiceAccount>::namespaced(plane.client(), "default");
    create(&accounts, ServiceAccount { metadata: named("app"), ..Default::default() }).await;

    let kubeconfigs = [
        ("tenant", plane.tenant_kubeconfig_path()),
        (
            "system:serviceaccount:default:app",
            plane.kubeconfig_for_service_account("default", "app").await.expect("a token is issued"),
        ),
    ];
    for (user, kubeconfig) in kubeconfigs {
        let client = plane.client_for(&kubeconfig).await.expect("the kubeconfig is usable");
        let error = Api::<Secret>::namespaced(client, "default").get("x").await.expect_err("nothing is granted");
        assert!(error.to_string().contains(&format!("User \"{user}\" cannot get resource \"secrets\"")), "{error}");
    }
}

#[tokio::test]
async fn a_restarted_api_server_has_its_address_and_data() {
    let mut plane = ControlPlane::start(&testbed_bin()).await.expect("it starts");
    let client = plane.client();
    let secrets = Api::<Secret>::namespaced(client, "default");
    create(&secrets, Secret { metadata: named("kept"), ..Default::default() }).await;

    plane.kill_apiserver();
    secrets.get("kept").await.expect_err("nobody listens");
    plane.restart_apiserver().await.expect("it starts again");
    wait_until("the same client to find the Secret", PATIENCE, async || secrets.get("kept").await).await;
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let error = ControlPlane::start("/nonexistent".as_ref()).await.err().expect("nothing to start");
    assert_eq!(error.to_string(), "/nonexistent/etcd is missing: run `make testbed`");
}

fn testbed_bin() -> PathBuf {
    std::env::var_os("TESTBED_BIN").expect("TESTBED_BIN names the control plane's programs: run `make test`").into()
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..Default::default() }
}

async fn create<K>(api: &Api<K>, object: K)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    api.create(&PostParams::default(), &object).await.expect("it is created");
}
