//! The simulator, asked over HTTP as a client would.
#![allow(clippy::unwrap_used, clippy::panic)]

mod access;
mod client;
mod faults;
mod lists;
mod tokens;
