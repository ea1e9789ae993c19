//! What a candidate does about the Lease that it sees. Pure: no IO, no clock.

use std::time::Duration;

use crate::boottime::BootInstant;

/// A Lease as it was first seen in this form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The resourceVersion, which is all that tells one form from another.
    pub version: String,
    /// The holder; empty means handed over.
    pub holder: String,
    /// How long the holder may be silent, as the Lease says; zero where it does not.
    pub duration: Duration,
    /// When this form was first seen, by our own clock.
    pub since: BootInstant,
    /// An uninstall has marked it: for how long replicas stand back though nothing more is heard of it.
    pub stand_back: Option<Duration>,
}

/// What a candidate wants the Lease for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve roles.
    Serve,
    /// To uninstall. It goes before those that serve.
    Uninstall,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// There is no Lease: create it.
    Create,
    /// It is ours already: renew it.
    Renew,
    /// Nobody holds it, or its holder has been silent for its whole duration: take it.
    Take,
    /// Another holds it.
    Wait,
    /// Another holds it, and is to hand it over: mark it.
    Mark,
    /// An uninstall works, or has just worked: leave it alone, whoever holds it.
    StandBack,
}

/// Decides for `identity` at `now`. `own_duration` is what this process was told; the longer of the two durations counts, so
/// that two replicas with unlike flags never lead at once.
pub(super) fn decide(
    seen: Option<&Seen>,
    (identity, purpose): (&str, Purpose),
    own_duration: Duration,
    now: BootInstant,
) -> Action {
    let Some(seen) = seen else { return Action::Create };
    if seen.holder == identity {
        return Action::Renew;
    }
    let silent = now.saturating_duration_since(seen.since);
    let over = silent >= seen.duration.max(own_duration);
    match (purpose, seen.stand_back) {
        // Also where nobody holds it: the uninstall may be about to take it, or its pod to be replaced.
        (Purpose::Serve, Some(long)) if !over || silent < long => Action::StandBack,
        (Purpose::Serve, Some(_)) => Action::Take,
        _ if seen.holder.is_empty() || over => Action::Take,
        (Purpose::Uninstall, None) => Action::Mark,
        _ => Action::Wait,
    }
}

/// Takes in a reading: a form seen before keeps the time at which it was first seen.
pub(super) fn remember(before: Option<Seen>, read: Option<Seen>) -> Option<Seen> {
    match (before, read) {
        (Some(before), Some(read)) if before.version == read.version => Some(before),
        (_, read) => read,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Duration = Duration::from_secs(15);

    fn seen(version: &str, holder: &str, duration: u64, since: BootInstant) -> Seen {
        let duration = Duration::from_secs(duration);
        Seen { version: version.into(), holder: holder.into(), duration, since, stand_back: None }
    }

    const ME: (&str, Purpose) = ("me", Purpose::Serve);

    #[test]
    fn decides_by_what_is_seen_and_for_how_long() {
        let start = BootInstant::now();
        for (sentence, holder, duration, silent_for, want) in [
            ("ours is renewed", "me", 15, 0, Action::Renew),
            ("ours is renewed however old: a write without an answer may have landed", "me", 15, 1000, Action::Renew),
            ("one handed over is taken at once", "", 1, 0, Action::Take),
            ("another's is left alone", "other", 15, 0, Action::Wait),
            ("another's is left alone to its last moment", "other", 15, 14, Action::Wait),
            ("a silent holder's is taken", "other", 15, 15, Action::Take),
            ("a holder with a longer duration has it", "other", 60, 59, Action::Wait),
            ("and no longer", "other", 60, 60, Action::Take),
            ("a holder with a shorter duration has ours", "other", 1, 14, Action::Wait),
            ("no duration counts as ours", "other", 0, 15, Action::Take),
            ("a name that starts like ours is another's", "me2", 15, 0, Action::Wait),
        ] {
            let now = start + Duration::from_secs(silent_for);
            assert_eq!(decide(Some(&seen("1", holder, duration, start)), ME, OWN, now), want, "{sentence}");
        }
        assert_eq!(decide(None, ME, OWN, start), Action::Create, "no Lease is created");
    }

    #[test]
    fn an_uninstall_goes_before_the_replicas_and_they_stand_back_while_it_is_heard_of() {
        let start = BootInstant::now();
        let minute = Some(Duration::from_secs(60));
        let (serve, uninstall) = (Purpose::Serve, Purpose::Uninstall);
        for (sentence, holder, stand_back, silent_for, purpose, want) in [
            ("a replica's is marked", "other", None, 0, uninstall, Action::Mark),
            ("and waited for", "other", minute, 0, uninstall, Action::Wait),
            ("but not past its end", "other", minute, 15, uninstall, Action::Take),
            ("one handed over is taken, marked or not", "", minute, 0, uninstall, Action::Take),
            ("one handed over is taken without a mark", "", None, 0, uninstall, Action::Take),
            ("its own is renewed", "me", minute, 0, uninstall, Action::Renew),
            ("a leader renews a marked one until it has handed it over", "me", minute, 0, serve, Action::Renew),
            ("no replica takes a marked one, though nobody holds it", "", minute, 0, serve, Action::StandBack),
            ("nor though its holder is silent", "other", minute, 15, serve, Action::StandBack),
            ("to the last moment", "", minute, 59, serve, Action::StandBack),
            ("an uninstall that is not heard of any more is given up", "other", minute, 60, serve, Action::Take),
            ("whether it held the Lease or not", "", minute, 60, serve, Action::Take),
            ("a mark is worth the Lease's duration at least", "", Some(Duration::ZERO), 14, serve, Action::StandBack),
        ] {
            let seen = Seen { stand_back, ..seen("1", holder, 15, start) };
            let now = start + Duration::from_secs(silent_for);
            assert_eq!(decide(Some(&seen), ("me", purpose), OWN, now), want, "{sentence}");
        }
    }

    #[test]
    fn only_a_new_version_starts_the_time_anew() {
        let start = BootInstant::now();
        let later = start + OWN;
        let first = seen("1", "other", 15, start);
        let again = seen("1", "other", 15, later);
        let renewed = seen("2", "other", 15, later);
        assert_eq!(remember(None, Some(first.clone())), Some(first.clone()));
        assert_eq!(remember(Some(first.clone()), Some(again)), Some(first.clone()));
        assert_eq!(remember(Some(first.clone()), Some(renewed.clone())), Some(renewed));
        assert_eq!(remember(Some(first), None), None, "a deleted Lease is forgotten");
    }
}
