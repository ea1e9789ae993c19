//! Harness.

pub mod simulator;
