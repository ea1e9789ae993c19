//! Free loopback ports, for programs that cannot report which port they were given.
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::Error;

/// Below Linux' ephemeral ports (32768 and up): no outgoing connection takes such a port between now and its use.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static HANDED_OUT: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port of 127.0.0.1 that nobody listens on and that this process was not given before.
///
/// Another process may still take it before it is used; a random start makes that unlikely, and
/// [`ControlPlane::start`](crate::ControlPlane::start) tries again.
///
/// # Errors
/// When no port is free.
pub fn free_port() -> Result<u16, Error> {
    let mut handed_out = HANDED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let handed_out = handed_out.get_or_insert_default();
    let start = RandomState::new().hash_one(std::process::id()) % u64::from(COUNT);
    (0..COUNT)
        .map(|step| FIRST + (start as u16 + step) % COUNT)
        .find(|port| !handed_out.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .inspect(|port| {
            handed_out.insert(*port);
        })
        .ok_or_else(|| Error::new(format!("no port of 127.0.0.1 from {FIRST} on is free")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_distinct_and_not_ephemeral() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port().expect("a machine has free ports")).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)));
    }
}
