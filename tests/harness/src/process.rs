//! Child processes that never outlive this one: not when it panics, and not when it is killed.
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

use crate::Error;
use crate::wait::poll_until;

/// Asks a process that is not one of [`Process`] to end (SIGTERM), as the kubelet does.
///
/// # Errors
/// When there is none of that id.
pub fn terminate(pid: u32) -> Result<(), Error> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| Error::new("no process id"))?;
    kill_process(pid, Signal::TERM).map_err(Error::while_trying("could not send SIGTERM"))
}

/// A running child; dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    guard: Guard,
    log: PathBuf,
    exited: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`, its output appended to the file `log`, its input empty.
    ///
    /// Should this process be killed, the child is too; then `folder`, if any, is removed.
    ///
    /// # Errors
    /// When the program or its log file cannot be opened.
    pub fn spawn(name: &str, mut command: Command, log: &Path, folder: Option<&Path>) -> Result<Self, Error> {
        let output = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::while_trying(format_args!("could not open {}", log.display())))?;
        let errors = output.try_clone().map_err(Error::while_trying("could not duplicate a file descriptor"))?;
        let mut guard = Guard::spawn(folder)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            // Not in the terminal's foreground group: Ctrl-C reaches this process alone, which then ends its children.
            .process_group(0)
            .spawn()
            .map_err(Error::while_trying(format_args!("could not start {}", command.get_program().display())))?;
        guard.arm(child.id());
        Ok(Self { name: name.to_owned(), child, guard, log: log.to_owned(), exited: None })
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the child ended; `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = self.child.try_wait().ok().flatten();
            if self.exited.is_some() {
                self.guard.disarm();
            }
        }
        self.exited
    }

    /// Waits until the child has ended by itself.
    ///
    /// # Errors
    /// When it still runs after `deadline`: with the end of its log.
    pub async fn wait_for_exit(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        let what = format!("{} to exit", self.name);
        match poll_until(&what, deadline, async || self.exit_status()).await {
            Ok(status) => Ok(status),
            Err(error) => Err(Error::new(format!("{error}; {}", self.end_of_log()))),
        }
    }

    /// Sends `signal`.
    ///
    /// # Errors
    /// When the child has ended already.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if let Some(status) = self.exit_status() {
            return Err(Error::new(format!("{} has ended already ({status}); {}", self.name, self.end_of_log())));
        }
        // The child was not reaped: its id is still its own.
        i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(|| Error::new(format!("{} is no process id", self.pid())))
            .and_then(|pid| {
                kill_process(pid, signal).map_err(Error::while_trying(format_args!("could not signal {}", self.name)))
            })
    }

    /// Whether the child stands still (SIGSTOP).
    pub fn is_stopped(&self) -> bool {
        state(self.pid()) == Some('T')
    }

    /// Kills the child (SIGKILL) and returns when it is gone. Does nothing when it has ended already.
    pub fn kill(&mut self) {
        if self.exit_status().is_none() {
            // Cannot fail for a child that was not reaped.
            let _ = self.child.kill();
            self.guard.disarm();
            self.exited = self.child.wait().ok();
        }
    }

    /// Everything the child wrote so far.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String, Error> {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(Error::while_trying(format_args!("could not read {}", self.log.display())))
    }

    /// The last lines the child wrote, introduced, for an error's message.
    pub fn end_of_log(&self) -> String {
        let log = self.log().unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n  ");
        format!("the end of {}'s log ({}):\n  {end}", self.name, self.log.display())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A shell that waits on a pipe from this process. When the pipe closes without a word, this process was killed, and the
/// shell kills the child. (A parent-death signal would not do: it fires when the *thread* that started the child ends.)
struct Guard {
    shell: Child,
}

impl Guard {
    fn spawn(folder: Option<&Path>) -> Result<Self, Error> {
        let script = r#"read -r pid || exit 0; read -r _ && exit 0; kill -9 "$pid"; [ -z "$1" ] || rm -rf "$1""#;
        let shell = Command::new("sh")
            .args(["-c", script, "guard"])
            .arg(folder.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::while_trying("could not start sh"))?;
        Ok(Self { shell })
    }

    fn arm(&mut self, pid: u32) {
        self.tell(&format!("{pid}\n"));
    }

    /// Before the child is reaped, or just after: its id may soon be another process'.
    fn disarm(&mut self) {
        self.tell("done\n");
    }

    fn tell(&mut self, line: &str) {
        if let Some(pipe) = &mut self.shell.stdin {
            // Fails only when somebody killed the shell; then there is no guard, and nothing else to do about it.
            let _ = pipe.write_all(line.as_bytes());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Told or never armed, the shell ends when its pipe closes.
        self.shell.stdin.take();
        let _ = self.shell.wait();
    }
}

/// Whether a process with this id exists and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| !['Z', 'X'].contains(&state))
}

/// The state of a process, as in proc(5); none where there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // It follows the command's name, which is in parentheses and may hold any character.
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::wait_until;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn shell(folder: &Path, script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn("the script", command, &folder.join("log"), Some(folder)).expect("sh starts")
    }

    #[tokio::test]
    async fn an_exit_is_reported_with_its_code_and_log() {
        let folder = TempDir::new().expect("a folder");
        let mut process = shell(folder.path(), "echo last words; exit 3");
        let status = process.wait_for_exit(PATIENCE).await.expect("it exits");
        assert_eq!(status.code(), Some(3));
        let error = process.signal(Signal::TERM).expect_err("it has ended");
        assert!(error.to_string().contains("last words"), "{error}");
        assert!(folder.path().exists());
    }

    #[tokio::test]
    async fn a_stopped_process_goes_on_and_can_be_killed() {
        let folder = TempDir::new().expect("a folder");
        let mut process = shell(folder.path(), "sleep 1000");
        process.signal(Signal::STOP).expect("it runs");
        wait_until("it to stand still", PATIENCE, async || process.is_stopped().then_some(())).await;
        process.signal(Signal::CONT).expect("it is stopped");
        wait_until("it to go on", PATIENCE, async || (!process.is_stopped()).then_some(())).await;
        process.signal(Signal::STOP).expect("it runs");
        let pid = process.pid();
        drop(process);
        assert!(!is_alive(pid));
        assert!(folder.path().exists(), "only a killed parent's folder is removed by the guard");
    }

    /// Runs this test again in another process, which starts a child, reports it and is killed.
    #[tokio::test]
    async fn nothing_outlives_a_killed_parent() {
        const REPORT: &str = "TFC_HARNESS_TEST_REPORT";
        if let Some(report) = std::env::var_os(REPORT) {
            let folder = TempDir::new().expect("a folder");
            let process = shell(folder.path(), "exec sleep 1000");
            let text = format!("{} {} end", process.pid(), folder.path().display());
            std::fs::write(report, text).expect("the report can be written");
            return std::future::pending().await;
        }
        let folder = TempDir::new().expect("a folder");
        let report = folder.path().join("report");
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.args(["--exact", "process::tests::nothing_outlives_a_killed_parent"]).env(REPORT, &report);
        let mut parent = Process::spawn("the parent", command, &folder.path().join("log"), None).expect("it starts");

        let (pid, grandchilds_folder) = wait_until("the report", PATIENCE, async || {
            let text = std::fs::read_to_string(&report).map_err(|error| error.to_string())?;
            match text.split(' ').collect::<Vec<_>>()[..] {
                [pid, folder, "end"] => Ok((pid.parse::<u32>().expect("a number"), PathBuf::from(folder))),
                _ => Err(text),
            }
        })
        .await;
        assert!(is_alive(pid));
        parent.kill();
        wait_until("the child to be gone", PATIENCE, async || (!is_alive(pid)).then_some(())).await;
        wait_until("its folder to be gone", PATIENCE, async || (!grandchilds_folder.exists()).then_some(())).await;
    }
}
