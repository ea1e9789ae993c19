//! The operator's library.
pub mod api;
pub mod boottime;
pub mod duration;
pub mod marker;
pub mod plan;
pub mod tfc;
