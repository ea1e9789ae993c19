//! Logs to standard error, as text or JSON, and what may never be logged, whatever the user asks for.

use std::panic::PanicHookInfo;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, FilterFn, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Targets (with all below them) that are held back, whatever RUST_LOG says, and the most that each may say. kube's client
/// logs the whole body of a reply that it can't parse at WARN, which may hold a Secret; the HTTP and TLS crates dump what
/// goes over the wire at DEBUG and TRACE.
const CAPS: [(&str, Level); 9] = [
    ("kube_client::client", Level::ERROR),
    ("kube_client", Level::INFO),
    ("kube_runtime", Level::DEBUG),
    ("hyper", Level::INFO),
    ("hyper_util", Level::INFO),
    ("h2", Level::INFO),
    ("rustls", Level::INFO),
    ("reqwest", Level::INFO),
    ("tower", Level::INFO),
];

/// What RUST_LOG can't be read as.
#[derive(Debug, thiserror::Error)]
#[error("RUST_LOG can't be read: {0}; write it like info or warn,tfc_token_operator=debug")]
pub struct LogError(#[from] tracing_subscriber::filter::ParseError);

/// Starts logging to standard error and has panics logged. RUST_LOG chooses what, by default `info`; `CAPS` stay.
/// A second call changes nothing.
///
/// # Errors
/// Where RUST_LOG is not a filter.
pub fn init(format: LogFormat) -> Result<(), LogError> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    // Fails only where a subscriber stands already.
    let _ = tracing_subscriber::registry().with(layer(format, &wanted, std::io::stderr)?).try_init();
    std::panic::set_hook(Box::new(|info| {
        let (message, location) = describe_panic(info);
        tracing::error!(location, "panicked: {message}");
    }));
    Ok(())
}

fn layer<S, W>(format: LogFormat, wanted: &str, writer: W) -> Result<impl Layer<S>, LogError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wanted = if wanted.trim().is_empty() { "info" } else { wanted };
    // A filter of its own, not directives added to the user's: a more specific one would win over those.
    let filter = wanted.parse::<Targets>()?.and(caps());
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    Ok(lines.with_filter(filter))
}

fn caps() -> FilterFn {
    filter_fn(|metadata: &Metadata<'_>| *metadata.level() <= cap(metadata.target()))
}

fn cap(target: &str) -> Level {
    let below =
        |prefix: &str| target.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    CAPS.iter().find(|(prefix, _)| below(prefix)).map_or(Level::TRACE, |(_, most)| *most)
}

/// A panic's message only where it is a literal: one with arguments may hold anything, such as the `Debug` of a value.
fn describe_panic(info: &PanicHookInfo<'_>) -> (String, String) {
    let message = info.payload().downcast_ref::<&'static str>().copied();
    let location = info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    (message.unwrap_or("(message withheld: it was built from values)").to_owned(), location)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("no panic while it was held").clone()).expect("logs are text")
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic while it was held").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn captured(format: LogFormat, wanted: &str, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let layer = layer(format, wanted, move || writer.clone()).expect("a filter");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        captured.text()
    }

    fn say_all() {
        let _inside = tracing::error_span!("work", role = "one").entered();
        tracing::warn!(target: "kube_client::client", "leak-1");
        tracing::warn!(target: "kube_client::client::builder", "leak-2");
        tracing::debug!(target: "kube_client::api", "leak-3");
        tracing::trace!(target: "kube_runtime::watcher", "leak-4");
        for_wire();
        tracing::error!(target: "kube_client::client", "kept-1");
        tracing::info!(target: "hyper::client", "kept-2");
        tracing::trace!(target: "kube_clients", "kept-3");
        tracing::trace!(target: "tfc_token_operator::plan", "kept-4");
    }

    fn for_wire() {
        tracing::debug!(target: "hyper", "leak-5");
        tracing::debug!(target: "hyper_util::client::legacy", "leak-6");
        tracing::debug!(target: "h2::codec", "leak-7");
        tracing::trace!(target: "rustls::conn", "leak-8");
        tracing::trace!(target: "reqwest::connect::verbose", "leak-9");
        tracing::trace!(target: "tower::buffer::worker", "leak-10");
    }

    #[test]
    fn no_rust_log_turns_on_what_may_hold_a_token() {
        for wanted in [
            "trace",
            "kube_client::client=trace,trace",
            "kube_client::client::builder=trace,kube_client=trace,hyper=trace,h2::codec=trace,trace",
        ] {
            for format in [LogFormat::Text, LogFormat::Json] {
                let text = captured(format, wanted, say_all);
                assert!(!text.contains("leak"), "{wanted}: {text}");
                for kept in ["kept-1", "kept-2", "kept-3", "kept-4"] {
                    assert!(text.contains(kept), "{wanted}: {kept} is missing in {text}");
                }
            }
        }
    }

    #[test]
    fn info_is_the_default_and_rust_log_is_obeyed() {
        let say = || {
            tracing::info!(role = "a/b", "told");
            tracing::debug!("detail");
        };
        assert!(captured(LogFormat::Text, "", say).contains("told"));
        assert!(!captured(LogFormat::Text, "", say).contains("detail"));
        assert!(captured(LogFormat::Text, "debug", say).contains("detail"));
        assert!(!captured(LogFormat::Text, "error", say).contains("told"));
        let line = captured(LogFormat::Json, "info", say);
        let json: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
        assert_eq!((&json["message"], &json["role"], &json["level"]), (&"told".into(), &"a/b".into(), &"INFO".into()));
    }

    #[test]
    fn a_broken_rust_log_is_told() {
        // Levels are chosen by target alone, not by what a span holds.
        for wanted in ["a=b=c", "trace,[work{role=one}]=trace"] {
            let error = layer::<tracing_subscriber::Registry, _>(LogFormat::Text, wanted, std::io::sink).err();
            assert!(error.expect("not a filter").to_string().contains("write it like"), "{wanted}");
        }
    }

    #[test]
    fn a_panic_shows_its_literal_and_never_its_values() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| sink.lock().expect("kept").push(describe_panic(info).0)));
        let refused = || Err::<(), _>("s3cret");
        let built = std::thread::spawn(move || refused().expect("shows the value")).join();
        let literal = std::thread::spawn(|| assert!(std::hint::black_box(false), "index out of luck")).join();
        std::panic::set_hook(before);
        assert!(built.is_err() && literal.is_err());
        let seen = seen.lock().expect("kept");
        assert!(seen.iter().any(|message| message == "index out of luck"), "{seen:?}");
        assert!(!seen.iter().any(|message| message.contains("s3cret")), "{seen:?}");
    }
}
