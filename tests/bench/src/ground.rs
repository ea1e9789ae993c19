//! A control plane of a scenario's own: fresh, so that none pays for what another left behind.

use std::path::Path;
use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use http::{Method, Request, header};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use kube::client::Body;
use kube::runtime::conditions;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tfc_harness::audit::{self, AuditEvent};
use tfc_harness::wait::poll_until;
use tfc_harness::{ControlPlane, Error};
use tfc_token_operator::api;

use crate::Result;

/// The namespace of everything.
pub const NAMESPACE: &str = "bench";
/// Path of the roles.
pub const ROLES: &str = "/apis/terraformcloud.dev/v1alpha1/namespaces/bench/terraformcloudroles";
/// Path of the Secrets.
pub const SECRETS: &str = "/api/v1/namespaces/bench/secrets";
/// Objects that are created at a time, before anything is measured.
const CREATORS: usize = 24;

const DEADLINE: Duration = Duration::from_secs(60);

/// A control plane with the CRDs and a namespace.
pub struct Ground {
    /// Its processes.
    pub plane: ControlPlane,
    /// Its admin.
    pub client: Client,
}

impl Ground {
    /// Starts one.
    pub async fn start(programs: &Path) -> Result<Self> {
        let plane = ControlPlane::start(programs).await?;
        let client = plane.client();
        let ground = Self { plane, client };
        ground.install_crds().await?;
        ground.namespace(NAMESPACE).await?;
        Ok(ground)
    }

    async fn install_crds(&self) -> Result<()> {
        let installed = Api::<CustomResourceDefinition>::all(self.client.clone());
        for crd in api::crds() {
            installed.create(&PostParams::default(), &crd).await.map_err(Error::while_trying("a CRD"))?;
        }
        for crd in api::crds() {
            poll_until("the CRD to be established", DEADLINE, async || {
                let crd = installed.get(&crd.name_any()).await.map_err(|error| error.to_string())?;
                let is_established = conditions::is_crd_established();
                let established = kube::runtime::wait::Condition::matches_object(&is_established, Some(&crd));
                established.then_some(()).ok_or_else(|| format!("{:?}", crd.status))
            })
            .await?;
        }
        Ok(())
    }

    /// Makes a namespace.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.send(Method::POST, "/api/v1/namespaces", Some(&object)).await.map(drop)
    }

    /// A request of the admin, and its reply.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let what = format!("{method} {path}");
        let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, content);
        let bytes = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let request = request.body(bytes).map_err(Error::while_trying(&what))?;
        self.client.request(request).await.map_err(Error::while_trying(&what))
    }

    /// Creates roles `PREFIX-N`, the numbers from `first` on. `namespace` holds them; `spec` goes over the config's reference.
    pub async fn create_roles(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: std::ops::Range<usize>,
        spec: &Value,
    ) -> Result<()> {
        let path = ROLES.replace(NAMESPACE, namespace);
        stream::iter(numbers)
            .map(|number| {
                let role = role(&format!("{prefix}-{number:05}"), spec);
                let path = &path;
                async move { self.send(Method::POST, path, Some(&role)).await.map(drop) }
            })
            .buffer_unordered(CREATORS)
            .try_collect()
            .await
    }

    /// All objects of a list, page by page, each shown to `visit`.
    pub async fn visit(&self, path: &str, mut visit: impl FnMut(&Value)) -> Result<()> {
        let mut next = String::new();
        loop {
            let page = self.send(Method::GET, &format!("{path}?limit=500&continue={next}"), None).await?;
            page["items"].as_array().into_iter().flatten().for_each(&mut visit);
            next = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if next.is_empty() {
                return Ok(());
            }
        }
    }

    /// How many roles of a namespace are Ready by this reason.
    pub async fn ready_by(&self, namespace: &str, reason: &str) -> Result<usize> {
        let mut count = 0;
        let is_so = |condition: &Value| condition["type"] == "Ready" && condition["reason"] == reason;
        self.visit(&ROLES.replace(NAMESPACE, namespace), |role| {
            let conditions = role["status"]["conditions"].as_array();
            count += usize::from(conditions.is_some_and(|all| all.iter().any(is_so)));
        })
        .await?;
        Ok(count)
    }

    /// Where the audit log ends by now: what comes later begins there.
    pub async fn mark(&self) -> Result<Mark> {
        let log = self.plane.logs_dir().join("audit.log");
        // The log may lag by an instant: what is asked for now is seen in it before its end counts.
        let name = format!("mark-{}", jiff::Timestamp::now().as_nanosecond());
        let missing = self.send(Method::GET, &format!("{SECRETS}/{name}"), None).await;
        drop(missing);
        let from = std::fs::metadata(&log).map_err(Error::while_trying("the audit log"))?.len().saturating_sub(1 << 20);
        poll_until("the audit log to catch up", DEADLINE, async || {
            let (events, end) = audit::read_from(&log, from).map_err(|error| error.to_string())?;
            events.iter().any(|event| event.name == name).then_some(Mark(end)).ok_or_else(|| "it lags".to_owned())
        })
        .await
    }

    /// The requests since a mark.
    pub async fn since(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        self.mark().await?;
        let (events, _) = audit::read_from(&self.plane.logs_dir().join("audit.log"), mark.0)?;
        Ok(events.into_iter().filter(|event| !event.name.starts_with("mark-")).collect())
    }
}

/// A place in the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// A role of the config `tfc` in the namespace [`NAMESPACE`].
pub fn role(name: &str, spec: &Value) -> Value {
    let mut whole = json!({"configRef": {"name": "tfc", "namespace": NAMESPACE}});
    if let (Some(whole), Some(spec)) = (whole.as_object_mut(), spec.as_object()) {
        whole.extend(spec.clone());
    }
    json!({
        "apiVersion": "terraformcloud.dev/v1alpha1", "kind": "TerraformCloudRole",
        "metadata": {"name": name}, "spec": whole,
    })
}

/// A request as bytes, for who counts each.
pub fn request(method: Method, path: &str, accept: &str, body: Option<&Value>) -> Result<Request<Body>> {
    let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, accept)
        .header(header::CONTENT_TYPE, content)
        .body(Body::from(body.map_or_else(Vec::new, |body| body.to_string().into_bytes())))
        .map_err(Error::while_trying("a request"))
}
