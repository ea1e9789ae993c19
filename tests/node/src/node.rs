//! A node: containerd, kubelet, and the scheduler that gives it work.
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::Api;
use serde_json::json;
use tfc_harness::process::Process;
use tfc_harness::wait::poll_until;
use tfc_harness::{ControlPlane, Error};

use crate::{command, images, sandbox};

/// How long each part may take until it serves: many times what it takes on two idle cores.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// A running node. The sandbox ends what is left of its pods.
pub struct Node {
    // In the order in which they are dropped.
    kubelet: Process,
    _scheduler: Process,
    _containerd: Process,
    programs: PathBuf,
    socket: PathBuf,
}

impl Node {
    /// Starts a node of that control plane from the programs in `programs` (what `build.sh --node --path` prints), its state in
    /// `folder`, and waits until it is ready.
    ///
    /// # Errors
    /// When a program is missing, ends or is not ready in time: with the end of its log.
    pub async fn start(programs: &Path, folder: &Path, control_plane: &ControlPlane) -> Result<Self, Error> {
        let start = Start { programs, folder, cgroup: sandbox::name()? };
        for subfolder in ["kubelet", "cni", "pods"] {
            let path = folder.join(subfolder);
            std::fs::create_dir_all(&path).map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
        }
        let mut containerd = start.containerd()?;
        let socket = start.socket();
        poll_until("containerd to serve", START_DEADLINE, async || match containerd.exit_status() {
            Some(status) => Ok(Err(Error::new(format!("containerd ended ({status}); {}", containerd.end_of_log())))),
            None => ctr(programs, &socket, &[OsStr::new("version")]).await.map(Ok),
        })
        .await??;
        let pause = folder.join("pause.tar");
        let image = images::pause(&programs.join("busybox"))?;
        std::fs::write(&pause, image).map_err(|error| Error::new(format!("{}: {error}", pause.display())))?;
        import(programs, &socket, &pause).await?;

        let scheduler = start.scheduler(&control_plane.scheduler_kubeconfig_path())?;
        let kubelet = start.kubelet(&control_plane.node_kubeconfig_path())?;
        let mut node =
            Self { kubelet, _scheduler: scheduler, _containerd: containerd, programs: programs.to_owned(), socket };
        let nodes: Api<NodeObject> = Api::all(control_plane.client());
        poll_until("the node to be ready", START_DEADLINE, async || {
            if let Some(status) = node.kubelet.exit_status() {
                return Ok(Err(Error::new(format!("the kubelet ended ({status}); {}", node.kubelet.end_of_log()))));
            }
            let found = nodes.get_opt("node").await.map_err(|error| error.to_string())?;
            let conditions =
                found.and_then(|node| node.status).and_then(|status| status.conditions).unwrap_or_default();
            match conditions.iter().find(|condition| condition.type_ == "Ready") {
                Some(ready) if ready.status == "True" => Ok(Ok(())),
                Some(ready) => Err(ready.message.clone().unwrap_or_default()),
                None => Err("it is not registered".to_owned()),
            }
        })
        .await
        .flatten()
        .map_err(|error| Error::new(format!("{error}; {}", node.kubelet.end_of_log())))?;
        Ok(node)
    }

    /// Brings an image's archive onto the node; what is in it is never pulled.
    ///
    /// # Errors
    /// When containerd does not take it.
    pub async fn import(&self, archive: &Path) -> Result<(), Error> {
        import(&self.programs, &self.socket, archive).await
    }

    /// Kills (SIGKILL) the program whose environment names the pod as `POD_NAME`; the kubelet starts its container again.
    ///
    /// # Errors
    /// When no process has it.
    pub fn kill_program_of(&self, pod: &str) -> Result<(), Error> {
        let wanted = format!("POD_NAME={pod}");
        let processes = std::fs::read_dir("/proc").map_err(|error| Error::new(format!("/proc: {error}")))?;
        let found = processes.flatten().find(|process| {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        });
        let found = found.ok_or_else(|| Error::new(format!("no process has {wanted} in its environment")))?;
        let killed = Command::new("kill").arg("-9").arg(found.file_name()).status();
        match killed {
            Ok(status) if status.success() => Ok(()),
            other => Err(Error::new(format!("kill -9 of the program of {pod}: {other:?}"))),
        }
    }

    /// The last lines of the kubelet's log, for the message of a test that fails.
    pub fn end_of_log(&self) -> String {
        self.kubelet.end_of_log()
    }
}

async fn import(programs: &Path, socket: &Path, archive: &Path) -> Result<(), Error> {
    let args = ["--namespace", "k8s.io", "images", "import", "--local"].map(OsStr::new);
    ctr(programs, socket, &[&args[..], &[archive.as_os_str()]].concat()).await.map(|_| ())
}

async fn ctr(programs: &Path, socket: &Path, args: &[&OsStr]) -> Result<String, Error> {
    let address = [OsStr::new("--address"), socket.as_os_str()];
    let output = command::run(&programs.join("ctr"), [&address, args].concat(), &[], None, START_DEADLINE).await?;
    output.ok("ctr")
}

/// What the starts of all parts need.
struct Start<'a> {
    programs: &'a Path,
    folder: &'a Path,
    cgroup: String,
}

impl Start<'_> {
    fn socket(&self) -> PathBuf {
        self.folder.join("containerd.sock")
    }

    fn containerd(&self) -> Result<Process, Error> {
        let folder = self.folder.display();
        let programs = self.programs.display();
        let network = json!({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [{
                "type": "bridge",
                "bridge": "pods",
                "isGateway": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": self.folder.join("cni/addresses"),
                    "ranges": [[{"subnet": sandbox::PODS}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        });
        self.write("cni/pods.conflist", &network.to_string())?;
        let pause = images::PAUSE;
        let config = self.write(
            "containerd.toml",
            &format!(
                r#"version = 3
root = "{folder}/images"
state = "{folder}/containers"
[grpc]
  address = "{folder}/containerd.sock"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{pause}"
[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{programs}"]
  conf_dir = "{folder}/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#
            ),
        )?;
        self.spawn("containerd", &[format!("--config={}", config.display())])
    }

    fn scheduler(&self, kubeconfig: &Path) -> Result<Process, Error> {
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        // Serves nothing: one port less.
        self.spawn("kube-scheduler", &[kubeconfig, "--leader-elect=false".into(), "--secure-port=0".into()])
    }

    fn kubelet(&self, kubeconfig: &Path) -> Result<Process, Error> {
        let config = self.write("kubelet.json", &self.kubelet_configuration().to_string())?;
        self.spawn(
            "kubelet",
            &[
                format!("--config={}", config.display()),
                format!("--kubeconfig={}", kubeconfig.display()),
                format!("--root-dir={}", self.folder.join("kubelet").display()),
                "--hostname-override=node".to_owned(),
                format!("--node-ip={}", sandbox::NODE),
            ],
        )
    }

    fn kubelet_configuration(&self) -> serde_json::Value {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": sandbox::NODE,
            "containerRuntimeEndpoint": format!("unix://{}", self.socket().display()),
            "clusterDNS": [sandbox::DNS],
            "clusterDomain": "cluster.local",
            "resolvConf": "",
            "podLogsDir": self.folder.join("pods"),
            // Only this sandbox can reach it.
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "readOnlyPort": 0,
            "healthzPort": 0,
            // How often a pod's Secrets are brought up to date at the latest; the default is a minute.
            "syncFrequency": "5s",
            // Any machine will do: with cgroups of either version, with swap, and with a disk that is nearly full.
            "cgroupRoot": format!("/{}", self.cgroup),
            "cgroupsPerQOS": false,
            "enforceNodeAllocatable": [],
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": false,
            "failSwapOn": false,
            "localStorageCapacityIsolation": false,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "0%",
                "nodefs.available": "0%",
                "nodefs.inodesFree": "0%",
                "imagefs.available": "0%",
            },
        })
    }

    fn spawn(&self, program: &str, args: &[String]) -> Result<Process, Error> {
        let path = self.programs.join(program);
        if !path.is_file() {
            return Err(Error::new(format!("{} is missing: run `make testbed-node`", path.display())));
        }
        let mut command = Command::new(path);
        let search = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.programs.display());
        command.env_clear().env("PATH", search).current_dir(self.folder).args(args);
        Process::spawn(program, command, &self.folder.join(format!("{program}.log")), None)
    }

    fn write(&self, name: &str, content: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        std::fs::write(&path, content).map_err(|error| Error::new(format!("{}: {error}", path.display())))?;
        Ok(path)
    }
}
