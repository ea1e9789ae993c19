//! Walks over TFC's lists of tokens, shared: one that begins after a role asked serves every role that asked before it began.
//!
//! After a crash with many mints in flight all their roles look for the same sort of token in the same list; each for itself they would
//! read it a hundred times over. A walk that is under way already does not count: who asks has read its Secret before the walk
//! has to begin.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex as AsyncMutex;

use crate::marker::Installation;
use crate::plan::observed::MarkedToken;
use crate::tfc::{Class, Client, Error, ListScope, TokenInfo};

/// How long a walk waits for others to ask: what went wrong for many at once comes due for many at once.
const GATHERING: Duration = Duration::from_millis(500);

/// A list as an account sees it: host, account, list.
pub type ListKey = (String, String, ListScope);

/// The tokens of a list that carry this installation's marker.
#[derive(Debug, Default)]
pub struct Found {
    /// Those found.
    pub tokens: Vec<Marked>,
    /// What is not among them does not exist.
    pub complete: bool,
}

/// A token that carries this installation's marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Hash of the role's UID, as the marker has it.
    pub role: String,
    /// The attempt that the marker names.
    pub attempt: String,
    /// TFC's id.
    pub id: String,
    /// It has authenticated a call.
    pub used: bool,
    /// When TFC made it.
    pub issued_at: Timestamp,
    /// When TFC lets it die.
    pub expires_at: Option<Timestamp>,
    /// The team whose token it is.
    pub team_id: Option<String>,
}

impl Marked {
    /// The token, if its description carries this installation's marker.
    pub fn read(installation: &Installation, info: TokenInfo) -> Option<Marked> {
        let (role, attempt) = installation.read(info.description.as_deref()?)?;
        Some(Marked {
            role: role.to_owned(),
            attempt: attempt.to_owned(),
            used: info.last_used_at.is_some(),
            issued_at: info.created_at,
            expires_at: info.expired_at,
            team_id: info.team_id,
            id: info.id,
        })
    }
}

impl From<Marked> for MarkedToken {
    fn from(marked: Marked) -> MarkedToken {
        let Marked { attempt, id, used, issued_at, expires_at, .. } = marked;
        MarkedToken { id, attempt, used, issued_at, expires_at }
    }
}

/// The walks of all lists.
#[derive(Default)]
pub struct Walks(Mutex<HashMap<ListKey, Arc<List>>>);

/// The walks of one list. They are numbered, and one runs at a time.
#[derive(Default)]
struct List {
    begun: AtomicUsize,
    waiting: AtomicUsize,
    last: AsyncMutex<Last>,
}

#[derive(Default)]
struct Last {
    number: usize,
    outcome: Option<Outcome>,
}

type Outcome = Result<Arc<Found>, Error>;

impl Walks {
    /// What a walk finds that begins after this call.
    ///
    /// # Errors
    /// As [`Client::list`]; all that waited for the walk get the same.
    pub async fn walk(&self, key: ListKey, client: &Client, installation: &Installation) -> Outcome {
        let scope = key.2.clone();
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        list.share(|| find(client, &scope, installation)).await
    }
}

impl List {
    async fn share<F: Future<Output = Result<Found, Error>>>(&self, walk: impl FnOnce() -> F) -> Outcome {
        let waiting = Waiting::new(&self.waiting);
        let asked = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        let outcome = match &last.outcome {
            Some(outcome) if last.number > asked => outcome.clone(),
            _ => {
                tokio::time::sleep(GATHERING).await;
                last.number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
                let outcome = walk().await.map(Arc::new);
                last.outcome = Some(outcome.clone());
                outcome
            }
        };
        if waiting.is_last() {
            last.outcome = None;
        }
        outcome
    }
}

/// Counts who waits, so that a list is not kept once nobody does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }

    fn is_last(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 1
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A list of one page is a snapshot; one of several is not, so absence takes two whole walks with equal counts.
async fn find(client: &Client, scope: &ListScope, installation: &Installation) -> Result<Found, Error> {
    let mut listing = client.list(Class::Revocation, scope).await?;
    // TFC counts an organization's tokens, and sends a user's uncounted on one page.
    let mut complete = listing.total.is_some() || matches!(scope, ListScope::User { .. });
    if listing.pages > 1 {
        let again = client.list(Class::Revocation, scope).await?;
        complete = listing.total.is_some() && listing.total == again.total;
        let known: std::collections::HashSet<String> = listing.tokens.iter().map(|token| token.id.clone()).collect();
        listing.tokens.extend(again.tokens.into_iter().filter(|token| !known.contains(&token.id)));
    }
    let tokens = listing.tokens.into_iter().filter_map(|info| Marked::read(installation, info)).collect();
    Ok(Found { tokens, complete })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_that_ask_before_a_walk_begins_share_it_and_who_asks_later_gets_another() {
        let list = List::default();
        let walks = AtomicU32::new(0);
        let walk = || async {
            walks.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(GATHERING).await;
            Ok(Found::default())
        };
        let late = async {
            tokio::time::sleep(GATHERING * 3 / 2).await;
            assert_eq!(walks.load(Ordering::SeqCst), 1, "one is under way");
            list.share(walk).await
        };
        let (first, second, third) = tokio::join!(list.share(walk), list.share(walk), late);
        assert!(first.is_ok() && second.is_ok() && third.is_ok());
        assert_eq!(walks.load(Ordering::SeqCst), 2, "the one under way may have missed what the third looks for");
        assert!(list.last.lock().await.outcome.is_none(), "nothing is kept");
        drop(list.share(walk).await);
        assert_eq!(walks.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_that_fails_fails_for_all_that_waited_for_it() {
        let list = List::default();
        let walk = || async { Err(Error::rejected("no")) };
        let (first, second) = tokio::join!(list.share(walk), list.share(|| async { Ok(Found::default()) }));
        assert!(first.is_err() && second.is_err());
        assert!(list.share(|| async { Ok(Found::default()) }).await.is_ok());
    }
}
