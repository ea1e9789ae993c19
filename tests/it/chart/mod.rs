//! The Helm chart: what it renders, what it refuses, what the API server and the linters say to it, and what its rights are good for.

mod accepted;
mod generated;
mod granted;
mod helm;
mod release;
mod rendered;
mod rights;
mod schema;
mod trial;
mod uninstall;
