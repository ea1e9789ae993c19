//! What is asked for.

use std::path::PathBuf;

use clap::Parser;

use crate::scenarios::NAMES;

/// Measures the operator beside the machine's own limit, and exits with 1 where a bar is missed.
#[derive(Debug, Parser)]
pub struct Flags {
    /// The operator's binary: what ships.
    #[arg(long)]
    pub operator: PathBuf,
    /// The folder of the control plane's programs, as `make testbed-path` prints it.
    #[arg(long)]
    pub testbed: PathBuf,
    /// The folder for report.json and chart.svg.
    #[arg(long, default_value = "target/bench")]
    pub out: PathBuf,
    /// Roles of a scenario that is done at once.
    #[arg(long, default_value_t = 2_000)]
    pub roles: usize,
    /// Roles of a scenario about scale.
    #[arg(long, default_value_t = 10_000)]
    pub many: usize,
    /// Roles up to which growth is followed.
    #[arg(long, default_value_t = 30_000)]
    pub most: usize,
    /// Minutes at rest.
    #[arg(long, default_value_t = 10)]
    pub rest_minutes: u64,
    /// A variable of the operator's environment, NAME=VALUE, to try a setting or another allocator with; may be repeated.
    #[arg(long = "operator-env", value_parser = variable)]
    pub operator_env: Vec<(String, String)>,
    /// The short form: few roles, and no bar that is in seconds or megabytes.
    #[arg(long)]
    pub short: bool,
    /// The scenarios to run; none means all.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    pub scenarios: Vec<String>,
}

impl Flags {
    /// Whether a scenario was asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|wanted| wanted == name)
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    parts.ok_or_else(|| format!("{text} is not NAME=VALUE"))
}
