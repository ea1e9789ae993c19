//! The one integration test binary.
mod admission;
mod bed;
mod docs;
mod e2e;
mod manifests;
mod stage;
