//! The one integration test binary.
mod admission;
mod bed;
mod manifests;
