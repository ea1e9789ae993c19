//! kubectl, as a person would type it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::Error;

/// kubectl against one API server.
pub(super) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

/// What kubectl answered.
pub(super) struct Answer {
    pub ok: bool,
    pub out: String,
    pub err: String,
}

impl Kubectl {
    /// The test bed's kubectl, or the machine's where the test bed has none. Its cache goes under `home`.
    pub fn new(testbed: &Path, kubeconfig: PathBuf, home: PathBuf) -> Self {
        let built = testbed.join("kubectl");
        let program = if built.is_file() { built } else { "kubectl".into() };
        Self { program, kubeconfig, home }
    }

    /// Runs it with these words, and with `input` as its standard input.
    ///
    /// # Errors
    /// When it can't be run; a refusal is an answer.
    pub async fn ask(&self, words: &[&str], input: &str) -> Result<Answer, Error> {
        let failed = || Error::while_trying(format!("could not run {}", self.program.display()));
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(failed())?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may end before it has read everything; its answer tells.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(failed())?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
        Ok(Answer { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) })
    }

    /// The same; a refusal is an error.
    pub async fn run(&self, words: &[&str], input: &str) -> Result<String, Error> {
        let answer = self.ask(words, input).await?;
        if answer.ok {
            return Ok(answer.out);
        }
        Err(Error::new(format!("kubectl {}: {}", words.join(" "), answer.err)))
    }
}
