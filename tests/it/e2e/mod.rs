//! The operator's real binary between a real API server and the simulator: what a user does, and what comes of it.

mod config;
mod issue;
mod replies;
mod scale;
mod slots;
