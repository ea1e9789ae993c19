//! The operator's library.

pub mod boottime;
pub mod tfc;
