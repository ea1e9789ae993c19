//! The whole cluster: control plane, node, DNS, and the way from a pod to the API server.
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use tempfile::TempDir;
use tfc_harness::proxy::Proxy;
use tfc_harness::{ControlPlane, Error};

use crate::command::{self, Output};
use crate::dns::Dns;
use crate::node::Node;
use crate::{images, sandbox};

/// Patience for a command that asks the cluster to do something.
const COMMAND_DEADLINE: Duration = Duration::from_secs(300);

/// A running cluster of one node; dropping it ends it.
pub struct Cluster {
    // In the order in which they are dropped.
    node: Node,
    _dns: Dns,
    _way: Proxy,
    control_plane: ControlPlane,
    kubectl: PathBuf,
    helm: PathBuf,
    folder: TempDir,
}

impl Cluster {
    /// Starts one from the programs of the test bed and of its node, with those names in its DNS.
    ///
    /// # Errors
    /// When this process is in no sandbox, a program is missing or a part is not ready in time.
    pub async fn start(
        programs: &Path,
        node_programs: &Path,
        names: BTreeMap<String, Ipv4Addr>,
    ) -> Result<Self, Error> {
        sandbox::name()?;
        let kubectl = command::find("kubectl", &[programs])?;
        let helm = command::find("helm", &[programs])?;
        let folder = TempDir::with_prefix("tfc-node-").map_err(|error| Error::new(format!("no folder: {error}")))?;
        let control_plane = ControlPlane::start(programs).await?;
        // What kube-proxy does elsewhere: the Service's address leads to the API server.
        let way = Proxy::listen((sandbox::API_SERVER, 443).into(), control_plane.address()).await?;
        let dns = Dns::start((sandbox::DNS, 53).into(), names, control_plane.client()).await?;
        let node = Node::start(node_programs, folder.path(), &control_plane).await?;
        Ok(Self { node, _dns: dns, _way: way, control_plane, kubectl, helm, folder })
    }

    /// A client of the admin, for the calling test's runtime.
    pub fn client(&self) -> Client {
        self.control_plane.client()
    }

    /// The URL of the store behind the API server, for the recorder of the invariants.
    pub fn etcd_url(&self) -> String {
        self.control_plane.etcd_url()
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// A folder that goes with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Brings an image's archive onto the node.
    ///
    /// # Errors
    /// When containerd does not take it.
    pub async fn import(&self, archive: &Path) -> Result<(), Error> {
        self.node.import(archive).await
    }

    /// Brings the image with terraform onto the node.
    ///
    /// # Errors
    /// When there is no terraform, or containerd does not take the image.
    pub async fn import_terraform(&self, node_programs: &Path) -> Result<(), Error> {
        let terraform = command::find("terraform", &[]).map_err(|_| {
            Error::new(
                "terraform is not on PATH: these tests show that it works with a token in a pod, so it has to be there",
            )
        })?;
        let archive = self.folder.path().join("terraform.tar");
        let image = images::terraform(&node_programs.join("busybox"), &terraform)?;
        std::fs::write(&archive, image).map_err(|error| Error::new(format!("{}: {error}", archive.display())))?;
        self.import(&archive).await
    }

    /// Runs helm as the admin.
    ///
    /// # Errors
    /// When it fails: with all that it said.
    pub async fn helm(&self, args: &[&str]) -> Result<String, Error> {
        let output = self.run(&self.helm, args, None).await?;
        output.ok(&format!("helm {}", args.first().unwrap_or(&"")))
    }

    /// Runs kubectl as the admin; the output says whether it succeeded.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn kubectl(&self, args: &[&str], input: Option<&str>) -> Result<Output, Error> {
        self.run(&self.kubectl, args, input).await
    }

    /// Runs a command in a pod; the output says whether it succeeded.
    ///
    /// # Errors
    /// When kubectl can't be run.
    pub async fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<Output, Error> {
        let args = ["--namespace", namespace, "exec", pod, "--"];
        self.kubectl(&[&args[..], command].concat(), None).await
    }

    /// Runs kubectl as the admin and gives what it says, whatever comes of it; for the message of a test that fails.
    pub fn describe(&self, args: &[&str]) -> String {
        let output = std::process::Command::new(&self.kubectl)
            .args(args)
            .env("KUBECONFIG", self.control_plane.kubeconfig_path())
            .output();
        match output {
            Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            Err(error) => error.to_string(),
        }
    }

    async fn run(&self, program: &Path, args: &[&str], input: Option<&str>) -> Result<Output, Error> {
        let kubeconfig = self.control_plane.kubeconfig_path();
        let home = self.folder.path();
        let env: [(&str, &OsStr); 2] = [("KUBECONFIG", kubeconfig.as_os_str()), ("HOME", home.as_os_str())];
        command::run(program, args, &env, input, COMMAND_DEADLINE).await
    }
}
