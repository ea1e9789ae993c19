//! A real Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager.
//!
//! No scheduler and no node: objects, RBAC, admission, garbage collection and namespace deletion are the real ones, and
//! pods stay pending. The programs are those that `make testbed` builds.
mod etcd;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::{Client, Config};
use tempfile::TempDir;

use crate::audit::{self, AuditEvent};
use crate::error::Error;
use crate::kubeconfig;
use crate::pki::Pki;
use crate::port::free_port;
use crate::process::Process;
use crate::wait::poll_until;

/// How long the control plane may take to become ready: some 20 times what it takes on two idle cores.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// User, group: whose static token is `USER-token`.
const USERS: [(&str, &str); 4] = [
    ("admin", "system:masters"),
    ("controller-manager", "system:masters"),
    ("operator", "system:masters"),
    ("tenant", "tenants"),
];

/// A running control plane; dropping it ends its processes and removes its folder.
pub struct ControlPlane {
    // In the order in which they are dropped: clients first, the folder last.
    controller_manager: Process,
    apiserver: Process,
    etcd: Process,
    layout: Layout,
    admin: Config,
}

impl ControlPlane {
    /// Starts a control plane from the programs in `bin_dir` (what `make testbed-path` prints) and waits until it is
    /// ready. Any number can run side by side.
    ///
    /// # Errors
    /// When a program is missing, ends or is not ready within 60 s: with the end of its log.
    pub async fn start(bin_dir: &Path) -> Result<Self, Error> {
        crate::install_tls_provider();
        let mut attempts = 3;
        loop {
            attempts -= 1;
            match Self::try_start(bin_dir).await {
                // Another process was given the same port in the meantime.
                Err(error) if attempts > 0 && error.to_string().contains("address already in use") => {}
                result => return result,
            }
        }
    }

    async fn try_start(bin_dir: &Path) -> Result<Self, Error> {
        let layout = Layout::create(bin_dir)?;
        let admin = kubeconfig::load(&layout.kubeconfig("admin")).await?;
        let mut etcd = layout.start_etcd()?;
        let mut apiserver = layout.start_apiserver()?;
        wait_until_ready(&admin, &mut etcd, &mut apiserver).await?;
        let mut controller_manager = layout.start_controller_manager()?;
        let client = new_client(admin.clone())?;
        let accounts = Api::<ServiceAccount>::namespaced(client, "default");
        poll_until("the controller-manager to create namespace default's ServiceAccount", START_DEADLINE, async || {
            give_up_if_ended(&mut controller_manager, accounts.get("default").await.map_err(|error| error.to_string()))
        })
        .await??;
        Ok(Self { controller_manager, apiserver, etcd, layout, admin })
    }

    /// A client of `admin`, who may do anything. It belongs to the tokio runtime it was made in: make one per test.
    pub fn client(&self) -> Client {
        new_client(self.admin.clone()).expect("the same configuration made a client when the control plane started")
    }

    /// A client of the user in the kubeconfig file `path`.
    ///
    /// # Errors
    /// When the file is no kubeconfig.
    pub async fn client_for(&self, path: &Path) -> Result<Client, Error> {
        new_client(kubeconfig::load(path).await?)
    }

    /// The kubeconfig of `admin`, who may do anything.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.layout.kubeconfig("admin")
    }

    /// The kubeconfig of `operator`, who may do anything by way of `address` (`127.0.0.1:PORT`).
    ///
    /// # Errors
    /// When it can't be written.
    pub fn kubeconfig_through(&self, address: &str) -> Result<PathBuf, Error> {
        let path = self.layout.kubeconfig(&format!("through-{}", address.replace(':', "-")));
        kubeconfig::write(&path, &format!("https://{address}"), &self.layout.pki.ca, "operator", "operator-token")?;
        Ok(path)
    }

    /// The kubeconfig of `tenant`, who may do nothing until a test binds a role to this user (group `tenants`).
    pub fn tenant_kubeconfig_path(&self) -> PathBuf {
        self.layout.kubeconfig("tenant")
    }

    /// Writes a kubeconfig for the ServiceAccount `name`, which must exist; its token is good for an hour.
    ///
    /// # Errors
    /// When the API server issues no token.
    pub async fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(3600), ..Default::default() }),
            ..Default::default()
        };
        let token = Api::<ServiceAccount>::namespaced(self.client(), namespace)
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .map_err(Error::while_trying(format_args!("no token for ServiceAccount {namespace}/{name}")))?
            .status
            .and_then(|status| status.token)
            .ok_or_else(|| Error::new(format!("an empty token for ServiceAccount {namespace}/{name}")))?;
        self.layout.write_kubeconfig(&format!("sa-{namespace}-{name}"), &token)
    }

    /// Where the API server listens, `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.layout.apiserver_port)
    }

    /// The API server's URL, `https://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.layout.url()
    }

    /// The URL of the store behind the API server, for who asks for its revision.
    pub fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.layout.etcd_port)
    }

    /// Every request the API server has finished, the control plane's own included.
    ///
    /// A client may be ahead of the log by an instant: wait for what must be in it before counting the rest.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn audit_events(&self) -> Result<Vec<AuditEvent>, Error> {
        audit::read(&self.layout.audit_log())
    }

    /// The folder of the logs: `etcd.log`, `kube-apiserver.log`, `kube-controller-manager.log` and `audit.log`.
    pub fn logs_dir(&self) -> PathBuf {
        self.layout.logs()
    }

    /// The folder of everything; it goes with the control plane.
    pub fn folder(&self) -> &Path {
        self.layout.folder.path()
    }

    /// The ids of the processes.
    pub fn pids(&self) -> [u32; 3] {
        [self.etcd.pid(), self.apiserver.pid(), self.controller_manager.pid()]
    }

    /// Kills kube-apiserver: its clients are refused until [`restart_apiserver`](Self::restart_apiserver).
    pub fn kill_apiserver(&mut self) {
        self.apiserver.kill();
    }

    /// Starts kube-apiserver again, on the same port and data, and waits until it is ready.
    ///
    /// # Errors
    /// When it is not ready within 60 s: with the end of its log.
    pub async fn restart_apiserver(&mut self) -> Result<(), Error> {
        self.apiserver.kill();
        self.apiserver = self.layout.start_apiserver()?;
        wait_until_ready(&self.admin, &mut self.etcd, &mut self.apiserver).await
    }
}

async fn wait_until_ready(admin: &Config, etcd: &mut Process, apiserver: &mut Process) -> Result<(), Error> {
    let client = new_client(admin.clone())?;
    poll_until("kube-apiserver to be ready", START_DEADLINE, async || {
        let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
        if let ended @ Ok(_) = give_up_if_ended(etcd, Err(String::new())) {
            return ended;
        }
        give_up_if_ended(apiserver, client.request_text(request).await.map_err(|error| error.to_string()))
    })
    .await?
    .map(|_: String| ())
    .map_err(|error| Error::new(format!("kube-apiserver did not become ready: {error}")))
}

/// The look's own result; or, wrapped as a value that ends the waiting, the error that `process` has ended.
fn give_up_if_ended<T>(process: &mut Process, look: Result<T, String>) -> Result<Result<T, Error>, String> {
    match process.exit_status() {
        Some(status) => Ok(Err(Error::new(format!("a process ended ({status}); {}", process.end_of_log())))),
        None => look.map(Ok),
    }
}

fn new_client(config: Config) -> Result<Client, Error> {
    Client::try_from(config).map_err(Error::while_trying("could not make a Kubernetes client"))
}

/// Where things are: files, ports, programs.
struct Layout {
    programs: PathBuf,
    folder: TempDir,
    pki: Pki,
    etcd_port: u16,
    etcd_peer_port: u16,
    apiserver_port: u16,
}

impl Layout {
    fn create(programs: &Path) -> Result<Self, Error> {
        let folder = TempDir::with_prefix("tfc-testbed-").map_err(Error::while_trying("could not make a folder"))?;
        let layout = Self {
            programs: programs.to_owned(),
            pki: Pki::create(folder.path())?,
            etcd_port: free_port()?,
            etcd_peer_port: free_port()?,
            apiserver_port: free_port()?,
            folder,
        };
        std::fs::create_dir(layout.logs()).map_err(Error::while_trying("could not make the folder of the logs"))?;
        layout.write("audit-policy.yaml", audit::POLICY)?;
        let tokens: String =
            USERS.iter().map(|(user, group)| format!("{user}-token,{user},{user},\"{group}\"\n")).collect();
        layout.write("tokens.csv", &tokens)?;
        for (user, _) in USERS {
            layout.write_kubeconfig(user, &format!("{user}-token"))?;
        }
        Ok(layout)
    }

    fn start_etcd(&self) -> Result<Process, Error> {
        let client_url = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer_url = self.peer_url();
        let mut command = self.program("etcd")?;
        command
            .arg(format!("--data-dir={}", self.path("etcd").display()))
            .arg(format!("--listen-client-urls={client_url}"))
            .arg(format!("--advertise-client-urls={client_url}"))
            .arg(format!("--listen-peer-urls={peer_url}"))
            .arg(format!("--initial-advertise-peer-urls={peer_url}"))
            .arg(format!("--initial-cluster=default={peer_url}"))
            // Nothing here is to survive a power cut.
            .arg("--unsafe-no-fsync");
        Process::spawn("etcd", command, &self.log("etcd"), Some(self.folder.path()))
    }

    fn start_apiserver(&self) -> Result<Process, Error> {
        let mut command = self.program("kube-apiserver")?;
        command
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port))
            .arg("--bind-address=127.0.0.1")
            .arg(format!("--secure-port={}", self.apiserver_port))
            // The Service `kubernetes` gets no endpoint: one on loopback is refused.
            .arg("--endpoint-reconciler-type=none")
            .arg("--service-cluster-ip-range=10.0.0.0/24")
            .arg(format!("--tls-cert-file={}", self.pki.certificate.display()))
            .arg(format!("--tls-private-key-file={}", self.pki.key.display()))
            .arg(format!("--token-auth-file={}", self.path("tokens.csv").display()))
            .arg("--authorization-mode=Node,RBAC")
            // The second is OpenShift's, among others': who gives an object an owner needs more rights.
            .arg("--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement")
            .arg("--allow-privileged=true")
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!("--service-account-key-file={}", self.pki.service_account_public_key.display()))
            .arg(format!("--service-account-signing-key-file={}", self.pki.service_account_key.display()))
            .arg(format!("--audit-policy-file={}", self.path("audit-policy.yaml").display()))
            .arg(format!("--audit-log-path={}", self.audit_log().display()))
            // Written before the next request is served, and never rotated away under a test that counts.
            .arg("--audit-log-mode=blocking")
            .arg("--audit-log-maxsize=10000");
        Process::spawn("kube-apiserver", command, &self.log("kube-apiserver"), None)
    }

    fn start_controller_manager(&self) -> Result<Process, Error> {
        let mut command = self.program("kube-controller-manager")?;
        command
            .arg(format!("--kubeconfig={}", self.kubeconfig("controller-manager").display()))
            .arg(format!("--service-account-private-key-file={}", self.pki.service_account_key.display()))
            .arg(format!("--root-ca-file={}", self.pki.ca.display()))
            .arg("--use-service-account-credentials=false")
            .arg("--leader-elect=false")
            // Serves nothing: one port less.
            .arg("--secure-port=0");
        Process::spawn("kube-controller-manager", command, &self.log("kube-controller-manager"), None)
    }

    /// Proxies of the environment are not for loopback.
    fn program(&self, name: &str) -> Result<Command, Error> {
        let path = self.programs.join(name);
        if !path.is_file() {
            return Err(Error::new(format!("{} is missing: run `make testbed`", path.display())));
        }
        let mut command = Command::new(path);
        command.env_clear().current_dir(self.folder.path());
        Ok(command)
    }

    fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        let path = self.path(name);
        std::fs::write(&path, content).map_err(Error::while_trying(format_args!("could not write {}", path.display())))
    }

    fn write_kubeconfig(&self, user: &str, token: &str) -> Result<PathBuf, Error> {
        let path = self.kubeconfig(user);
        kubeconfig::write(&path, &self.url(), &self.pki.ca, user, token).map(|()| path)
    }

    fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd_peer_port)
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver_port)
    }

    fn kubeconfig(&self, user: &str) -> PathBuf {
        self.path(&format!("{user}.kubeconfig"))
    }

    fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    fn log(&self, program: &str) -> PathBuf {
        self.logs().join(format!("{program}.log"))
    }

    fn audit_log(&self) -> PathBuf {
        self.logs().join("audit.log")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
