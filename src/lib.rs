//! The operator's library.
pub mod api;
pub mod args;
pub mod boottime;
pub mod controller;
pub mod crds;
pub mod duration;
pub mod http;
pub mod leader;
pub mod log;
pub mod metrics;
pub mod signals;
