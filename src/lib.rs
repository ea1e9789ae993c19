//! The operator's library.
pub mod accounts;
pub mod api;
pub mod boottime;
pub mod clock;
pub mod cluster;
pub mod duration;
pub mod marker;
pub mod plan;
pub mod secret;
pub mod tfc;
