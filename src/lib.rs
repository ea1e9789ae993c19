//! The operator's library.
pub mod api;
pub mod duration;
pub mod marker;
pub mod plan;
