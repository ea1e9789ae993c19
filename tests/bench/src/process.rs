//! CPU and memory of a process, from proc(5).

use std::time::{Duration, Instant};

use tfc_harness::Error;

use crate::Result;

/// Clock ticks a second: what Linux tells processes, whatever its own tick is.
const TICKS: f64 = 100.0;

/// CPU time of a process so far.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).map_err(Error::while_trying(&path))?;
    // The fields after the command's name, which may hold anything: utime and stime are the 14th and 15th of all.
    let fields: Vec<&str> = text.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
    let ticks: f64 = fields.get(11..13).into_iter().flatten().filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(Duration::from_secs_f64(ticks / TICKS))
}

/// A stretch over which CPU time is counted.
pub struct Meter {
    pid: u32,
    used: Duration,
    since: Instant,
}

impl Meter {
    /// Begins.
    pub fn start(pid: u32) -> Result<Self> {
        Ok(Self { pid, used: cpu(pid)?, since: Instant::now() })
    }

    /// CPU time since the start.
    pub fn used(&self) -> Result<Duration> {
        Ok(cpu(self.pid)?.saturating_sub(self.used))
    }

    /// The share of one core since the start.
    pub fn share(&self) -> Result<f64> {
        Ok(self.used()?.as_secs_f64() / self.since.elapsed().as_secs_f64())
    }
}

/// Resident memory now and at its peak, in megabytes (10^6 bytes).
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub now: f64,
    /// The most since the start, or since [`forget_peak`].
    pub peak: f64,
}

/// Memory of a process.
pub fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).map_err(Error::while_trying(&path))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim_start_matches(':').trim().strip_suffix(" kB")?.parse::<f64>().ok())
    };
    match (field("VmRSS"), field("VmHWM")) {
        (Some(now), Some(peak)) => Ok(Memory { now: now * 1024.0 / 1e6, peak: peak * 1024.0 / 1e6 }),
        _ => Err(Error::new(format!("{path} states no memory: the process has ended"))),
    }
}

/// Has the peak counted anew.
pub fn forget_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").map_err(Error::while_trying(&path))
}
