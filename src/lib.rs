//! The operator's library: all but the entry point, so that tests reach it.
//!
//! A round serves one role: [`observe`] gathers, [`plan`] decides, [`act`] does one step, and so on until the plan rests.
//!
//! | module | what it gives | knows |
//! | --- | --- | --- |
//! | [`api`] | the two kinds, their schema, names, reasons and records | nobody |
//! | [`plan`] | the next step for a role: pure, all policy | `api` |
//! | [`tfc`] | client of TFC's token API, budget, a token's value | nobody; no Kubernetes |
//! | [`cluster`] | the API server behind one door | `api` |
//! | [`secret`], [`marker`] | what stands in a Secret; how a token in TFC is told as ours | pure |
//! | [`observe`] | what the plan looks at | `cluster`, `plan` |
//! | [`act`] | does one step; takes no decision | all above |
//! | [`accounts`] | sessions of configs, budgets of accounts, clocks of hosts | `plan`, `tfc` |
//! | [`walks`] | walks over lists of tokens, shared by all that wait for one | `tfc` |
//! | [`controller`] | watches, and the loops of roles and configs | all above |
//! | [`uninstall`] | revokes or releases all, and takes the finalizers off | all above |
//! | [`place`] | which cluster, in whose name, in which namespace | `act`, `leader` |
//! | [`leader`] | the Lease, and whether anything may be sent | the API server |
//! | [`report`], [`metrics`], [`log`], [`http`] | events, metrics, logs, probes | |
//! | [`args`], [`crds`], [`check`], [`signals`] | flags and settings, the CRDs as YAML, a probe, SIGTERM | |
//! | [`failpoint`] | where tests kill the process; nothing in what ships | nobody |
//! | [`clock`], [`boottime`], [`duration`] | TFC's time, a clock that counts suspension, Go's durations | nobody |
//!
//! ARCHITECTURE.md has the files, the steps and the invariants; docs/protocol.md why the steps are in their order.

pub mod accounts;
pub mod act;
pub mod api;
pub mod args;
pub mod boottime;
pub mod check;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod crds;
pub mod duration;
pub mod failpoint;
pub mod http;
#[cfg(test)]
mod layers;
pub mod leader;
pub mod log;
pub mod marker;
pub mod metrics;
pub mod observe;
pub mod place;
pub mod plan;
pub mod report;
pub mod secret;
pub mod signals;
pub mod tfc;
pub mod uninstall;
pub mod walks;
