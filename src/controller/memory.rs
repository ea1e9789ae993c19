//! What is kept of each role between its rounds. All of it can be lost: it saves reads and keeps the pace of retries, no more.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;

use crate::api::Answers;
use crate::boottime::BootInstant;
use crate::plan::observed::{Trouble, TroubleKind};

/// Longest pause after a refusal: what refused may be mended where no watch shows it, and all is to be in order within three
/// minutes of that.
const LONGEST: Duration = Duration::from_secs(150);
/// Longest pause after a failure to reach or to understand a server.
const LONGEST_OUTAGE: Duration = Duration::from_secs(60);

/// Namespace and name.
pub type Key = (String, String);

/// What is kept of all roles, by UID.
#[derive(Default)]
pub struct Memory {
    roles: Mutex<HashMap<String, Kept>>,
    /// What people were told of once: ids of tokens, and words.
    told: Mutex<HashSet<String>>,
}

#[derive(Default)]
struct Kept {
    entry: Entry,
    /// The Secret as its last event showed it. Kept apart: an event may come while a round is under way that has read it before.
    seen: Option<Seen>,
    /// A sweep pointed at this role, and no round has come to a rest on it since.
    swept: bool,
}

/// What an event says of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its resourceVersion; of one that went, the one at which it went.
    pub version: String,
    /// It went.
    pub gone: bool,
}

/// What is kept of one role.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Where it rests, if nothing has changed since.
    pub rested: Option<Rested>,
    /// The last failure, until its retry.
    pub trouble: Option<Waiting>,
    /// Rounds that failed in a row.
    pub failures: u32,
    /// The resourceVersion at which its Secret was read whole and found in order.
    pub verified: Option<String>,
}

/// A state that was looked at and needs nothing until something changes or it is time.
#[derive(Clone, Debug)]
pub struct Rested {
    /// The role's resourceVersion.
    pub role: String,
    /// The Secret's namespace and name.
    pub secret: Key,
    /// The Secret's resourceVersion; `None` where there is none of ours.
    pub secret_version: Option<String>,
    /// The config's epoch.
    pub epoch: Option<u64>,
    /// When to look again.
    pub until: Option<BootInstant>,
}

/// A failure that is waiting for its retry.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What went wrong.
    pub trouble: Trouble,
    /// When it may be tried again.
    pub until: BootInstant,
    /// What was tried: a person's change, or the config's, is tried at once.
    pub tried: Tried,
}

/// What a failure was met with.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// Generation of the role.
    pub generation: Option<i64>,
    /// Wishes of people.
    pub wishes: Answers,
    /// The config's epoch.
    pub epoch: Option<u64>,
    /// It was being deleted.
    pub going: bool,
}

impl Memory {
    /// What is kept of a role.
    pub fn get(&self, uid: &str) -> Entry {
        self.lock().get(uid).map(|kept| kept.entry.clone()).unwrap_or_default()
    }

    /// Keeps what a round came to. Says whether it may rest on that: not where its Secret was seen to change meanwhile.
    pub fn put(&self, uid: &str, mut entry: Entry) -> bool {
        let mut all = self.lock();
        let kept = all.entry(uid.to_owned()).or_default();
        let disturbed = is_disturbed(entry.rested.as_ref(), kept.seen.as_ref());
        if disturbed {
            entry.rested = None;
            // Each event disturbs once: what the next round reads is later than it.
            kept.seen = None;
        }
        kept.entry = entry;
        !disturbed
    }

    /// Forgets a role that is gone.
    pub fn remove(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// The role has to be looked at whatever it rested on.
    pub fn disturb(&self, uid: &str) {
        if let Some(kept) = self.lock().get_mut(uid) {
            kept.entry.rested = None;
        }
    }

    /// A sweep points at the role: its next round looks at its tokens.
    pub fn point_at(&self, uid: &str) {
        let mut all = self.lock();
        let kept = all.entry(uid.to_owned()).or_default();
        (kept.swept, kept.entry.rested) = (true, None);
    }

    /// Whether a sweep pointed at the role. Asked once a round; one that fails points at it again.
    pub fn take_pointer(&self, uid: &str) -> bool {
        self.lock().get_mut(uid).is_some_and(|kept| std::mem::take(&mut kept.swept))
    }

    /// Whether people know of this token.
    pub fn was_told(&self, token_id: &str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).contains(token_id)
    }

    /// Whether nobody was told of this yet; from now on somebody was.
    pub fn is_news(&self, what: &str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned())
    }

    /// A Secret was seen to be there or to go; says whether the role that owns it has to look.
    pub fn see_secret(&self, uid: &str, seen: Seen) -> bool {
        let mut all = self.lock();
        let kept = all.entry(uid.to_owned()).or_default();
        let disturbed = kept.entry.rested.is_none() || is_disturbed(kept.entry.rested.as_ref(), Some(&seen));
        kept.seen = Some(seen);
        if disturbed {
            kept.entry.rested = None;
        }
        disturbed
    }

    /// After a watch began anew: the UIDs of roles in these namespaces whose Secret is not among those that exist.
    pub fn miss_secrets(&self, listed: &HashSet<Key>, namespace: Option<&str>) -> Vec<String> {
        let mut missed = Vec::new();
        for (uid, kept) in self.lock().iter_mut() {
            let misses = kept.entry.rested.as_ref().is_some_and(|rested| {
                rested.secret_version.is_some()
                    && namespace.is_none_or(|namespace| rested.secret.0 == namespace)
                    && !listed.contains(&rested.secret)
            });
            if misses {
                kept.entry.rested = None;
                missed.push(uid.clone());
            }
        }
        missed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Kept>> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a Secret was seen to be otherwise than a rest knows it.
fn is_disturbed(rested: Option<&Rested>, seen: Option<&Seen>) -> bool {
    let (Some(rested), Some(seen)) = (rested, seen) else { return false };
    match &rested.secret_version {
        Some(known) => is_newer(&seen.version, known),
        None => !seen.gone,
    }
}

/// Whether a resourceVersion is later than another one: they are numbers that rise (KEP-5504). Where they are not, any other is.
pub fn is_newer(seen: &str, known: &str) -> bool {
    match (seen.parse::<u64>(), known.parse::<u64>()) {
        (Ok(seen), Ok(known)) => seen > known,
        _ => seen != known,
    }
}

/// How long to wait after a failure. A refusal needs a person and is repeated less and less; an outage is probed by its config.
pub fn retry_in(kind: TroubleKind, failures: u32, seed: &str) -> SignedDuration {
    let (first, longest) = match kind {
        TroubleKind::Rejected | TroubleKind::NotPermitted | TroubleKind::SecretRefused | TroubleKind::Unauthorized => {
            (Duration::from_secs(5), LONGEST)
        }
        TroubleKind::Unreachable => (Duration::from_secs(5), LONGEST_OUTAGE),
        TroubleKind::Limited => (Duration::from_secs(2), LONGEST_OUTAGE),
        TroubleKind::Ambiguous | TroubleKind::Cluster | TroubleKind::Restart => {
            (Duration::from_millis(500), LONGEST_OUTAGE)
        }
    };
    let pause = first.saturating_mul(1 << failures.min(10)).min(longest);
    // Roles that failed together are not all tried again together: up to a quarter less, by the role's UID.
    let share = seed.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 256;
    SignedDuration::try_from(pause - pause * share / 1024).unwrap_or(SignedDuration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_backs_off_to_two_and_a_half_minutes_and_an_outage_to_one() {
        for (kind, longest) in [(TroubleKind::Rejected, 150), (TroubleKind::Cluster, 60)] {
            let pauses: Vec<i64> = (0..12).map(|n| retry_in(kind, n, "uid").as_secs()).collect();
            assert!(pauses.windows(2).all(|w| w[0] <= w[1]), "{pauses:?}");
            assert!(pauses[0] <= 5 && pauses[11] <= longest && pauses[11] >= longest * 3 / 4, "{pauses:?}");
        }
    }

    #[test]
    fn resource_versions_are_compared_as_numbers() {
        assert!(is_newer("100", "99") && !is_newer("99", "100") && !is_newer("99", "99"));
        assert!(is_newer("a", "b"));
    }

    #[test]
    fn a_secret_that_changed_or_went_disturbs_its_role() {
        let memory = Memory::default();
        let rested = Rested {
            role: "1".into(),
            secret: ("ns".into(), "s".into()),
            secret_version: Some("7".into()),
            epoch: None,
            until: None,
        };
        let rest = || memory.put("uid", Entry { rested: Some(rested.clone()), ..Entry::default() });
        let there = |version: &str| Seen { version: version.into(), gone: false };
        assert!(rest());
        assert!(!memory.see_secret("uid", there("7")), "its own write");
        assert!(!memory.see_secret("uid", there("6")), "an event from before");
        assert!(memory.see_secret("uid", there("8")));
        assert!(!rest(), "the round read the Secret before it changed");
        assert!(memory.get("uid").rested.is_none());

        memory.remove("uid");
        assert!(rest());
        assert!(memory.see_secret("uid", Seen { version: "9".into(), gone: true }));
        memory.remove("uid");
        assert!(rest());
        assert_eq!(memory.miss_secrets(&HashSet::from([("ns".into(), "s".into())]), None), Vec::<String>::new());
        assert_eq!(memory.miss_secrets(&HashSet::new(), Some("other")), Vec::<String>::new());
        assert_eq!(memory.miss_secrets(&HashSet::new(), Some("ns")), vec!["uid".to_owned()]);
    }
}
