//! What befalls etcd: a kill, a compaction, a snapshot, and the way back to it.
use std::path::Path;
use std::process::Stdio;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{ControlPlane, wait_until_ready};
use crate::Error;

/// How far a restore moves all revisions on: more than were given out since the snapshot, so that no resourceVersion comes again.
const BUMP: u64 = 1_000_000_000;

impl ControlPlane {
    /// Kills etcd: kube-apiserver answers with errors until [`restart_etcd`](Self::restart_etcd).
    pub fn kill_etcd(&mut self) {
        self.etcd.kill();
    }

    /// Starts etcd again on the same port and data, and waits until kube-apiserver is ready.
    ///
    /// # Errors
    /// When it is not ready within 60 s: with the end of its log.
    pub async fn restart_etcd(&mut self) -> Result<(), Error> {
        self.etcd.kill();
        self.etcd = self.layout.start_etcd()?;
        wait_until_ready(&self.admin, &mut self.etcd, &mut self.apiserver).await
    }

    /// Forgets all revisions but the present one: whoever watches from an older one has to list anew.
    ///
    /// # Errors
    /// When etcd refuses.
    pub async fn compact(&self) -> Result<(), Error> {
        let read = parse(&self.ask_etcd("kv/range", json!({"key": BASE64.encode(b"/")})).await?)?;
        let revision = read["header"]["revision"].clone();
        self.ask_etcd("kv/compaction", json!({"revision": revision, "physical": true})).await.map(drop)
    }

    /// Takes a snapshot, as `etcdctl snapshot save` does.
    ///
    /// # Errors
    /// When etcd does not give it, or it can't be written.
    pub async fn snapshot(&self, path: &Path) -> Result<(), Error> {
        let text = self.ask_etcd("maintenance/snapshot", json!({})).await?;
        let mut bytes = Vec::new();
        for line in text.lines() {
            let part = parse(line)?;
            let blob = part["result"]["blob"].as_str().unwrap_or_default();
            bytes.extend(BASE64.decode(blob.as_bytes()).map_err(Error::while_trying("a snapshot's part"))?);
        }
        std::fs::write(path, bytes).map_err(Error::while_trying(format_args!("could not write {}", path.display())))
    }

    /// Restores a snapshot as etcd's documentation says for Kubernetes: everything stopped, revisions moved on and what is older
    /// marked as compacted, so that no cache and no lock that was taken on a resourceVersion takes the past for the present.
    ///
    /// # Errors
    /// When etcdutl fails, or kube-apiserver is not ready within 60 s.
    pub async fn restore(&mut self, snapshot: &Path) -> Result<(), Error> {
        self.controller_manager.kill();
        self.apiserver.kill();
        self.etcd.kill();
        let data = self.layout.path("etcd");
        std::fs::remove_dir_all(&data).map_err(Error::while_trying("could not remove etcd's data"))?;
        let peer_url = self.layout.peer_url();
        let restored = self
            .layout
            .program("etcdutl")?
            .args(["snapshot", "restore"])
            .arg(snapshot)
            .arg(format!("--data-dir={}", data.display()))
            .arg(format!("--bump-revision={BUMP}"))
            .arg("--mark-compacted")
            .arg(format!("--initial-cluster=default={peer_url}"))
            .arg(format!("--initial-advertise-peer-urls={peer_url}"))
            .stdin(Stdio::null())
            .output()
            .map_err(Error::while_trying("could not start etcdutl"))?;
        if !restored.status.success() {
            return Err(Error::new(format!("etcdutl: {}", String::from_utf8_lossy(&restored.stderr))));
        }
        self.etcd = self.layout.start_etcd()?;
        self.apiserver = self.layout.start_apiserver()?;
        wait_until_ready(&self.admin, &mut self.etcd, &mut self.apiserver).await?;
        self.controller_manager = self.layout.start_controller_manager()?;
        Ok(())
    }

    /// A request to etcd's JSON gateway: the text of the reply.
    async fn ask_etcd(&self, method: &str, request: Value) -> Result<String, Error> {
        let url = format!("{}/v3/{method}", self.etcd_url());
        let failed = || Error::while_trying::<reqwest::Error>(format!("POST {url}"));
        let http = reqwest::Client::builder().no_proxy().build().map_err(failed())?;
        let reply = http.post(&url).body(request.to_string()).send().await.map_err(failed())?;
        let status = reply.status();
        let text = reply.text().await.map_err(failed())?;
        if status.is_success() { Ok(text) } else { Err(Error::new(format!("POST {url}: {status}: {text}"))) }
    }
}

fn parse(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(Error::while_trying("a reply of etcd"))
}
