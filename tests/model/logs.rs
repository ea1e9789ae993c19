//! No log says a token's value. A process of its own: beside other tests tracing takes a place that logs for one that nobody hears.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod apiserver;
mod choices;
mod ends;
mod history;
mod moves;
mod passing;
mod people;
mod replica;
mod servers;
mod time;
mod wire;

use std::io::Write;
use std::sync::{Arc, Mutex};

use history::Kind;

/// Histories of each kind whose logs are searched.
const LOGGED: u64 = 10;

#[test]
fn no_value_of_a_token_is_in_a_log_at_any_level() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    for kind in [Kind::User, Kind::Team, Kind::Organization, Kind::Legacy] {
        for seed in 0..LOGGED {
            let history = history::run(kind, seed, &choices::of(kind, seed), true).expect("it survives");
            let text = log.take();
            assert!(text.contains("call to TFC") && text.contains("step="), "the log is not heard");
            assert!(!history.servers.names_a_value(&text), "{kind:?} {seed}: a value is in the log");
            assert!(!text.contains("does not come to a rest"), "{kind:?} {seed}");
        }
    }
}

/// What was logged, in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).expect("text")
    }
}

impl Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
