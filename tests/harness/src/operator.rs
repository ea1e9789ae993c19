//! The operator's real binary as a child process.
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::error::Error;
use crate::port::free_port;
use crate::process::{Process, Signal};
use crate::wait::poll_until;

const READY_DEADLINE: Duration = Duration::from_secs(30);

/// How long a terminated operator may take: less than a pod's grace period of 30 s.
const EXIT_DEADLINE: Duration = Duration::from_secs(15);

/// What to start, and how.
#[derive(Debug, Clone, Default)]
pub struct OperatorOptions {
    /// The operator's binary.
    pub binary: PathBuf,
    /// Who it is, and where the API server is.
    pub kubeconfig: PathBuf,
    /// The namespaces it serves (`--namespace` each); none means all.
    pub namespaces: Vec<String>,
    /// The namespace it "runs" in (`POD_NAMESPACE`).
    pub own_namespace: String,
    /// More arguments, after `run`.
    pub args: Vec<String>,
    /// More environment; of this process' own, it inherits nothing.
    pub env: Vec<(String, String)>,
    /// Where its log goes when it has ended.
    pub logs: Logs,
}

/// The logs of operators that have ended: one of each.
#[derive(Debug, Clone, Default)]
pub struct Logs(Arc<Mutex<Vec<String>>>);

impl Logs {
    /// All so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, log: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(log);
    }
}

/// A running operator; dropping it kills it.
pub struct Operator {
    process: Process,
    metrics_port: u16,
    health_port: u16,
    http: reqwest::Client,
    logs: Logs,
    // After `process`: dropped when the process is gone.
    _folder: TempDir,
}

impl Operator {
    /// Starts the operator; [`wait_ready`](Self::wait_ready) tells when it serves.
    ///
    /// # Errors
    /// When the binary cannot be started.
    pub fn start(options: OperatorOptions) -> Result<Self, Error> {
        crate::install_tls_provider();
        let folder = TempDir::with_prefix("tfc-operator-").map_err(Error::while_trying("could not make a folder"))?;
        let (metrics_port, health_port) = (free_port()?, free_port()?);
        let mut command = Command::new(&options.binary);
        command
            .env_clear()
            .env("RUST_BACKTRACE", "1")
            .env("KUBECONFIG", &options.kubeconfig)
            .env("POD_NAMESPACE", &options.own_namespace)
            .envs(options.env)
            .arg("run")
            .arg("--log-format=json")
            .arg(format!("--metrics-bind-address=127.0.0.1:{metrics_port}"))
            .arg(format!("--health-probe-bind-address=127.0.0.1:{health_port}"))
            .args(options.namespaces.iter().map(|namespace| format!("--namespace={namespace}")))
            .args(options.args);
        let log = folder.path().join("operator.log");
        let process = Process::spawn("the operator", command, &log, Some(folder.path()))?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()
            .map_err(Error::while_trying("could not make an HTTP client"))?;
        Ok(Self { process, metrics_port, health_port, http, logs: options.logs, _folder: folder })
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Errors
    /// When the operator ends, or is not ready within 30 s: with the end of its log.
    pub async fn wait_ready(&mut self) -> Result<(), Error> {
        let url = format!("http://127.0.0.1:{}/readyz", self.health_port);
        let (process, http) = (&mut self.process, &self.http);
        let ready = poll_until("the operator to be ready", READY_DEADLINE, async || {
            if let Some(status) = process.exit_status() {
                return Ok(Err(Error::new(format!("the operator ended with {status}"))));
            }
            get(http, &url).await.map(|_| Ok(()))
        });
        ready.await.flatten().map_err(|error| Error::new(format!("{error}; {}", self.process.end_of_log())))
    }

    /// What `/readyz` says, whether it is ready or not.
    ///
    /// # Errors
    /// When the operator does not answer.
    pub async fn readyz(&self) -> Result<String, Error> {
        let url = format!("http://127.0.0.1:{}/readyz", self.health_port);
        let failed = || Error::while_trying::<reqwest::Error>(format!("GET {url}"));
        self.http.get(&url).send().await.map_err(failed())?.text().await.map_err(failed())
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// When the operator does not answer with it.
    pub async fn metrics(&self) -> Result<String, Error> {
        get(&self.http, &format!("http://127.0.0.1:{}/metrics", self.metrics_port)).await
    }

    /// Everything the operator logged so far: one JSON object a line.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn logs(&self) -> Result<String, Error> {
        self.process.log()
    }

    /// The operator's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The resident memory, in bytes (`VmRSS` of proc(5)).
    ///
    /// # Errors
    /// When the operator has ended.
    pub fn rss_bytes(&self) -> Result<u64, Error> {
        let path = format!("/proc/{}/status", self.pid());
        std::fs::read_to_string(&path)
            .map_err(Error::while_trying(format_args!("could not read {path}")))?
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .map(|kibibytes| kibibytes * 1024)
            .ok_or_else(|| Error::new(format!("{path} states no VmRSS: the operator has ended")))
    }

    /// How the operator ended; `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// Asks the operator to end, as the kubelet does (SIGTERM), and waits for it.
    ///
    /// # Errors
    /// When it still runs after 15 s, or had ended before: with the end of its log.
    pub async fn sigterm(&mut self) -> Result<ExitStatus, Error> {
        self.process.signal(Signal::TERM)?;
        self.process.wait_for_exit(EXIT_DEADLINE).await
    }

    /// Sends a signal, e.g. [`Signal::STOP`] and later [`Signal::CONT`].
    ///
    /// # Errors
    /// When the operator has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        self.process.signal(signal)
    }

    /// Whether the operator stands still (SIGSTOP).
    pub fn is_stopped(&self) -> bool {
        self.process.is_stopped()
    }

    /// Kills the operator, as a node that fails does (SIGKILL). Its log can still be read.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The log goes with the folder, and a failed test is read from its output.
            eprintln!("{}", self.process.end_of_log());
        }
        self.process.kill();
        if let Ok(log) = self.process.log() {
            self.logs.add(log);
        }
    }
}

async fn get(http: &reqwest::Client, url: &str) -> Result<String, Error> {
    let failed = || Error::while_trying::<reqwest::Error>(format!("GET {url}"));
    let response = http.get(url).send().await.map_err(failed())?;
    let status = response.status();
    let body = response.text().await.map_err(failed())?;
    if status.is_success() { Ok(body) } else { Err(Error::new(format!("GET {url}: {status}: {body}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script in the operator's place.
    fn start(script: &str) -> (TempDir, Operator) {
        let folder = TempDir::new().expect("a folder");
        let binary = folder.path().join("operator");
        // Written by another process: a child that another test forks meanwhile would hold it open, and it could not be run.
        let written = Command::new("sh")
            .args(["-c", r#"printf '#!/bin/sh\n%s\n' "$1" >"$2" && chmod +x "$2""#, "sh", script])
            .arg(&binary)
            .status();
        assert!(written.expect("sh starts").success());
        let options = OperatorOptions {
            binary,
            kubeconfig: "/the/kubeconfig".into(),
            namespaces: vec!["a".into(), "b".into()],
            own_namespace: "home".into(),
            args: vec!["--leader-elect=false".into()],
            env: vec![("EXTRA".into(), "more".into())],
            logs: Logs::default(),
        };
        let operator = Operator::start(options).expect("it starts");
        (folder, operator)
    }

    #[tokio::test]
    async fn the_operator_gets_its_arguments_and_environment_and_an_early_end_is_told() {
        let (_folder, mut operator) = start(r#"echo "$KUBECONFIG $POD_NAMESPACE $EXTRA $*"; exit 4"#);
        let error = operator.wait_ready().await.expect_err("it ends").to_string();
        assert!(error.contains("ended with exit status: 4"), "{error}");
        let log = operator.logs().expect("the log is readable");
        assert!(
            log.starts_with("/the/kubeconfig home more run --log-format=json --metrics-bind-address=127.0.0.1:"),
            "{log}"
        );
        assert!(log.ends_with(" --namespace=a --namespace=b --leader-elect=false\n"), "{log}");
    }

    #[tokio::test]
    async fn termination_is_awaited_and_memory_is_read() {
        let (_folder, mut operator) = start("trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done");
        crate::wait_until("its first words", READY_DEADLINE, async || {
            operator.logs().ok().filter(|log| !log.is_empty())
        })
        .await;
        assert!(operator.rss_bytes().expect("it runs") > 100_000);
        assert_eq!(operator.sigterm().await.expect("it ends").code(), Some(7));
        operator.rss_bytes().expect_err("it has ended");
    }
}
