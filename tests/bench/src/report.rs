//! The table, and the files beside it.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tfc_harness::Error;

use crate::Result;
use crate::chart;
use crate::figure::{Bar, Figure};
use crate::flags::Flags;

/// All that was measured.
pub struct Report {
    started: Instant,
    short: bool,
    settings: Value,
    figures: Vec<Figure>,
}

impl Report {
    /// Nothing yet.
    pub fn new(flags: &Flags) -> Self {
        let settings = json!({
            "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            "etcd": "--unsafe-no-fsync", "audit log": "blocking, metadata",
            "roles": flags.roles, "many": flags.many, "most": flags.most, "rest minutes": flags.rest_minutes,
            "operator's environment": flags.operator_env, "short": flags.short, "time": jiff::Timestamp::now().to_string(),
        });
        println!("settings: {settings}");
        Self { started: Instant::now(), short: flags.short, settings, figures: Vec::new() }
    }

    /// Says what is being done.
    pub fn progress(&self, what: impl std::fmt::Display) {
        println!("[{:6.1} s] {what}", self.started.elapsed().as_secs_f64());
    }

    /// Takes a figure.
    pub fn add(&mut self, mut figure: Figure) {
        if self.short && figure.absolute {
            figure.bar = None;
        }
        self.progress(format!("  {}", line(&figure)));
        self.figures.push(figure);
    }

    /// How many bars are missed.
    pub fn missed(&self) -> usize {
        self.figures.iter().filter(|figure| figure.passes() == Some(false)).count()
    }

    /// Prints the table.
    pub fn print_table(&self) {
        println!(
            "\n{:<12} {:<58} {:>12} {:<10} {:>10} {:>7} {:>9}  bar kept",
            "scenario", "figure", "value", "", "limit", "ratio", "bar"
        );
        for figure in &self.figures {
            println!("{:<12} {}", figure.scenario, line(figure));
        }
        println!();
    }

    /// Writes report.json and chart.svg.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let failed = || Error::while_trying::<std::io::Error>(format!("{}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed())?;
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| json!({"figure": figure, "ratio": figure.ratio(), "passes": figure.passes()}))
            .collect();
        let whole =
            json!({"settings": self.settings, "seconds": self.started.elapsed().as_secs_f64(), "figures": figures});
        let text = serde_json::to_string_pretty(&whole).map_err(Error::while_trying("the report"))?;
        std::fs::write(folder.join("report.json"), text).map_err(failed())?;
        std::fs::write(folder.join("chart.svg"), chart::svg(&self.figures)).map_err(failed())?;
        println!("{0}/report.json and {0}/chart.svg have it all", folder.display());
        Ok(())
    }
}

fn line(figure: &Figure) -> String {
    let optional = |value: Option<f64>| value.map_or_else(String::new, number);
    let bar = match figure.bar {
        Some(Bar::AtLeast(least)) => format!(">= {}", number(least)),
        Some(Bar::AtMost(most)) => format!("<= {}", number(most)),
        None => String::new(),
    };
    let verdict = match figure.passes() {
        Some(true) => "yes",
        Some(false) => "MISSED",
        None => "",
    };
    format!(
        "{:<58} {:>12} {:<10} {:>10} {:>7} {:>9}  {verdict}",
        figure.name,
        number(figure.value),
        figure.unit,
        optional(figure.limit),
        optional(figure.ratio()),
        bar
    )
}

fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
