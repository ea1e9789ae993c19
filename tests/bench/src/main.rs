//! The benchmark: the operator that ships between a real control plane and the simulator of TFC, beside the machine's own limit.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`flags`] | what is asked for: scenarios, scale, where the programs are |
//! | [`figure`] | a figure, its limit and its bar |
//! | [`report`], [`chart`] | the table, the JSON, the SVG |
//! | [`ground`] | a control plane of a scenario's own |
//! | [`stage`] | the operator between that control plane and a simulator |
//! | [`raw`] | the machine's own limit: an issuance's requests, made by nobody but a client |
//! | [`neighbour`] | another client on the operator's account |
//! | [`steady`] | what a steady pace gets out of a limit that is shared |
//! | [`process`] | CPU and memory of a process |
//! | [`scenarios`] | one file a theme |

mod chart;
mod figure;
mod flags;
mod ground;
mod neighbour;
mod process;
mod raw;
mod report;
mod scenarios;
mod stage;
mod steady;

use std::process::ExitCode;

use clap::Parser;

use crate::flags::Flags;
use crate::report::Report;

/// What went wrong is told as a sentence.
type Result<T> = std::result::Result<T, tfc_harness::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    tfc_harness::install_tls_provider();
    let mut report = Report::new(&flags);
    let outcome = scenarios::run(&flags, &mut report).await;
    report.print_table();
    if let Err(error) = report.write(&flags.out) {
        eprintln!("the report could not be written: {error}");
        return ExitCode::FAILURE;
    }
    match outcome {
        Ok(()) if report.missed() == 0 => ExitCode::SUCCESS,
        Ok(()) => {
            eprintln!("{} of the bars are missed", report.missed());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("the benchmark broke off: {error}");
            ExitCode::FAILURE
        }
    }
}
