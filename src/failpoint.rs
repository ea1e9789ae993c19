//! Places at which tests have the process die or stand still, to the instruction. Compiled in by the feature `failpoints` alone,
//! which no build that ships has.
//!
//! A place is named after its step: `Issue:minted` lies between a mint and the Secret's write, `Issue:done` after the step.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("fail points are for tests: what ships is built without the feature `failpoints`");

#[cfg(feature = "failpoints")]
pub use armed::pass;

/// The process comes by a place. Without the feature nothing happens here.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn pass(_step: &str, _place: &str) {}

#[cfg(feature = "failpoints")]
mod armed {
    use std::collections::HashMap;
    use std::sync::{Mutex, OnceLock, PoisonError};

    use rustix::process::{Signal, getpid, kill_process};
    use tracing::{error, trace};

    /// Arms one place: `KILL@Issue:minted#2` ends the process, as a node that fails does, when it comes by `Issue:minted` for the
    /// second time; `STOP@Issue:minted#2` has it stand still there, as a machine that is suspended.
    const VARIABLE: &str = "TFC_TOKEN_OPERATOR_FAILPOINT";

    /// The process comes by a place: here it dies or stands still, where the environment says so.
    pub fn pass(step: &str, place: &str) {
        static PASSED: Mutex<Option<HashMap<String, u32>>> = Mutex::new(None);
        static ARMED: OnceLock<String> = OnceLock::new();
        let place = format!("{step}:{place}");
        let passing = {
            let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
            let count = passed.get_or_insert_default().entry(place.clone()).or_default();
            *count += 1;
            format!("{place}#{count}")
        };
        trace!(passing, "fail point");
        let armed = ARMED.get_or_init(|| std::env::var(VARIABLE).unwrap_or_default());
        let signal = match armed.split_once('@') {
            Some(("KILL", at)) if at == passing => Signal::KILL,
            Some(("STOP", at)) if at == passing => Signal::STOP,
            _ => return,
        };
        if let Err(errno) = kill_process(getpid(), signal) {
            error!(%errno, passing, "the fail point could not strike");
        }
    }
}
