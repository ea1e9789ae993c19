//! Programs that are run to their end.
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tfc_harness::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Where a program is: in the first of `folders` that has it, else on PATH.
///
/// # Errors
/// When it is nowhere.
pub fn find(program: &str, folders: &[&Path]) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .iter()
        .map(|folder| folder.to_path_buf())
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or_else(|| Error::new(format!("{program} is neither in the test bed nor on PATH")))
}

/// What a program said.
#[derive(Debug)]
pub struct Output {
    /// Whether it ended with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs a program with nothing of this process' environment but what is given. `input` is its standard input.
///
/// # Errors
/// When it can't be started, or has not ended in time.
pub async fn run<S: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = S>,
    env: &[(&str, &OsStr)],
    input: Option<&str>,
    deadline: Duration,
) -> Result<Output, Error> {
    let name = program.display();
    let failed = |error: std::io::Error| Error::new(format!("could not run {name}: {error}"));
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(input.as_bytes()).await.map_err(failed)?;
    }
    let output = tokio::time::timeout(deadline, child.wait_with_output())
        .await
        .map_err(|_| Error::new(format!("{name} has not ended after {} s", deadline.as_secs())))?
        .map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Output { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

impl Output {
    /// The standard output of a program that succeeded.
    ///
    /// # Errors
    /// When it did not: with all that it said.
    pub fn ok(self, what: &str) -> Result<String, Error> {
        if self.success {
            Ok(self.stdout)
        } else {
            Err(Error::new(format!("{what} failed:\n{}{}", self.stdout, self.stderr)))
        }
    }
}
