//! The operator as users get it: its image, its chart, a real node, and `terraform` in pods. `make test-node` runs it.
//!
//! One cluster serves all tests, one after the other; each installs a release and leaves nothing behind.
mod life;
mod pods;
mod stage;
mod upgrade;
