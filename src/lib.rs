//! The operator's library.
