//! A client of the token API of HCP Terraform and Terraform Enterprise ("TFC"). It knows nothing of Kubernetes.
//!
//! - [`client`](Client): the calls.
//! - `exchange`: one call's requests: budget, gate, repetitions, judgement.
//! - `transport`: one HTTP request; `carrier`: what takes it there; `connection`: where to.
//! - `wire`: JSON:API as it is read; `model`: what comes of it.
//! - `error`: what a failure means for what comes next.
//! - [`Budget`]: how often an account may call, and who goes first. [`crate::clock::ServerClock`]: TFC's time.
//! - [`TokenValue`]: a token's value, the one secret here.
//!
//! What is deliberately absent: policy (when to mint or revoke), a cache, a repetition of a mint, and any log of a body or a header.

mod budget;
mod carrier;
mod client;

mod connection;
mod error;
mod exchange;
mod model;
mod observer;
mod subject;
mod token;
mod transport;
mod wire;

#[cfg(test)]
mod tests;

pub use budget::{Budget, Class, RateCap, Turn};
pub use carrier::{Arrived, BodyFault, Carrier, Failure};
pub use client::Client;

pub use connection::{ConnectError, Connection};
pub use error::{Error, Kind};
pub use exchange::Gate;
pub use model::{
    AccountInfo, AccountKind, Deleted, Listing, Minted, OrganizationInfo, Principal, ServerInfo, TeamInfo, TokenInfo,
};
pub use observer::{CallOutcome, NoObserver, Observer};
pub use subject::{ListScope, Owner, Slot};
pub use token::{TokenValue, TokenValueError};

/// The longest that one request takes, from the first step of connecting to the reply's last byte. After it a mutating request whose
/// reply did not come is on the network no more.
pub const REQUEST_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
