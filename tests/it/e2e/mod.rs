//! The operator's real binary between a real API server and the simulator: what a user does, and what comes of it.

mod issue;
mod scale;
