//! The operator's library.
pub mod api;
