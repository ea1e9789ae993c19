//! The control plane that all tests of this binary share: started once, the CRDs installed, ended with the process.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::conditions;
use kube::{Client, ResourceExt};
use tfc_harness::audit::AuditEvent;
use tfc_harness::{ControlPlane, wait_until};
use tfc_token_operator::api;

/// Patience for what the API server does by itself.
const DEADLINE: Duration = Duration::from_secs(60);

/// The control plane, with both CRDs established.
pub struct Bed {
    /// Its processes.
    pub control_plane: ControlPlane,
}

/// The one bed of this process. Nobody drops it: the harness ends its processes with this one.
pub fn bed() -> &'static Bed {
    // A start that failed is kept too: each further test then fails at once, with the same words.
    static BED: OnceLock<Result<Bed, String>> = OnceLock::new();
    // On a thread of its own: the caller may already be inside a runtime, which can't block.
    let bed =
        BED.get_or_init(|| std::thread::spawn(start).join().unwrap_or_else(|_| Err("see the panic above".into())));
    bed.as_ref().expect("the test bed starts")
}

/// The folder of the test bed's programs.
pub fn programs() -> Result<PathBuf, String> {
    let programs = std::env::var_os("TESTBED_BIN").map(PathBuf::from);
    programs.ok_or_else(|| "TESTBED_BIN names the folder of the control plane's programs: run `make test`".into())
}

fn start() -> Result<Bed, String> {
    let programs = programs()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Bed::of_programs(&programs))
}

async fn install_crds(client: Client) {
    let installed = Api::<CustomResourceDefinition>::all(client);
    for crd in api::crds() {
        installed.create(&PostParams::default(), &crd).await.expect("the API server takes the CRD");
    }
    for crd in api::crds() {
        wait_until("the CRD to be established", DEADLINE, async || {
            let crd = installed.get(&crd.name_any()).await.map_err(|error| error.to_string())?;
            let established =
                kube::runtime::wait::Condition::matches_object(&conditions::is_crd_established(), Some(&crd));
            established.then_some(()).ok_or_else(|| format!("{:?}", crd.status))
        })
        .await;
    }
}

impl Bed {
    /// One more control plane, for a test that breaks it.
    pub async fn of_its_own() -> Bed {
        Bed::of_programs(&programs().expect("a test bed")).await.expect("the control plane starts")
    }

    async fn of_programs(programs: &Path) -> Result<Bed, String> {
        let control_plane = ControlPlane::start(programs).await.map_err(|error| error.to_string())?;
        install_crds(control_plane.client()).await;
        Ok(Bed { control_plane })
    }

    /// A client of the admin, for the calling test's runtime.
    pub fn client(&self) -> Client {
        self.control_plane.client()
    }

    /// A client of the user `tenant`, who may do what a test binds to that name.
    pub async fn tenant_client(&self) -> Client {
        let kubeconfig = self.control_plane.tenant_kubeconfig_path();
        self.control_plane.client_for(&kubeconfig).await.expect("the tenant's kubeconfig")
    }

    /// The admin's kubeconfig, for child processes.
    pub fn kubeconfig(&self) -> PathBuf {
        self.control_plane.kubeconfig_path()
    }

    /// The URL of the store behind the API server.
    pub fn etcd_url(&self) -> String {
        self.control_plane.etcd_url()
    }

    /// What the API server was asked so far.
    pub fn audit_events(&self) -> Result<Vec<AuditEvent>, tfc_harness::Error> {
        self.control_plane.audit_events()
    }

    /// A new namespace, for one test alone.
    pub async fn fresh_namespace(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.create_namespace(&name).await;
        name
    }

    /// A namespace of that name.
    pub async fn create_namespace(&self, name: &str) {
        let namespace =
            Namespace { metadata: ObjectMeta { name: Some(name.into()), ..Default::default() }, ..Default::default() };
        Api::all(self.client()).create(&PostParams::default(), &namespace).await.expect("a namespace");
    }
}

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn the_kubeconfig_is_the_admins() {
    let client = bed().control_plane.client_for(&bed().kubeconfig()).await.expect("a kubeconfig");
    Api::<Namespace>::all(client).get("default").await.expect("the admin reads namespaces");
}
