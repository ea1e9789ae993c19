//! The operator as users get it: its image, its chart, a real node, and `terraform` in pods. `make test-node` runs it.
//!
//! One cluster serves all tests, one after the other; each installs a release and leaves nothing behind.
#![allow(clippy::panic, reason = "a test that can't go on says so by a panic")]

mod life;
mod pods;
mod stage;
mod upgrade;
