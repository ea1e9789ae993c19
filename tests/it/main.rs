//! The one integration test binary.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test that can't go on says so by a panic")]

mod admission;
mod bed;
mod chart;
mod docs;
mod e2e;
mod faults;
mod manifests;
mod objects;
mod recipes;
mod recorder;
mod stage;
