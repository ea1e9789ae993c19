//! The checker itself: for each invariant histories that break it, and their nearest innocent neighbours.
#![allow(clippy::unwrap_used, clippy::panic)]

mod expiry;
mod foreign;
mod gone;
mod in_use;
mod leaks;
mod order;
mod rest;
mod story;
mod values;
