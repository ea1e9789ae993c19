//! The rate limit: so many requests per second and user (API docs, "API overview", section "Rate limiting").

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How requests are limited. The documentation states 30 requests per second and user, not how a second is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateLimit {
    /// No limit and no header, as a Terraform Enterprise whose administrator turned it off.
    Off,
    /// So many in each whole second.
    FixedWindow(u32),
    /// So many in any stretch of one second.
    SlidingWindow(u32),
    /// A bucket of that size, refilled at that rate per second.
    Bucket(u32),
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::FixedWindow(30)
    }
}

impl RateLimit {
    /// Requests per second, if limited.
    pub fn per_second(self) -> Option<u32> {
        match self {
            Self::Off => None,
            Self::FixedWindow(n) | Self::SlidingWindow(n) | Self::Bucket(n) => Some(n),
        }
    }
}

/// The verdict on one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub allowed: bool,
    /// Seconds until more is allowed; for `X-RateLimit-Reset`.
    pub reset_seconds: f64,
}

#[derive(Debug, Default)]
struct Account {
    window: u64,
    used: u32,
    recent: VecDeque<Duration>,
    level: f64,
    filled_at: Duration,
    seen: bool,
}

/// Counts by account. `at` is the time since the start, on a clock that only goes forward.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    accounts: HashMap<String, Account>,
}

impl Limiter {
    pub fn forget(&mut self) {
        self.accounts.clear();
    }

    pub fn admit(&mut self, limit: RateLimit, who: &str, at: Duration) -> Verdict {
        if limit == RateLimit::Off {
            return Verdict { allowed: true, reset_seconds: 0.0 };
        }
        if !self.accounts.contains_key(who) {
            self.accounts.insert(who.to_owned(), Account::default());
        }
        let Some(account) = self.accounts.get_mut(who) else {
            return Verdict { allowed: true, reset_seconds: 0.0 };
        };
        match limit {
            RateLimit::Off => Verdict { allowed: true, reset_seconds: 0.0 },
            RateLimit::FixedWindow(n) => account.fixed(n, at),
            RateLimit::SlidingWindow(n) => account.sliding(n, at),
            RateLimit::Bucket(n) => account.bucket(n, at),
        }
    }
}

impl Account {
    fn fixed(&mut self, n: u32, at: Duration) -> Verdict {
        if self.window != at.as_secs() {
            self.window = at.as_secs();
            self.used = 0;
        }
        let allowed = self.used < n;
        self.used += u32::from(allowed);
        Verdict { allowed, reset_seconds: 1.0 - f64::from(at.subsec_micros()) / 1e6 }
    }

    fn sliding(&mut self, n: u32, at: Duration) -> Verdict {
        let second = Duration::from_secs(1);
        while self.recent.front().is_some_and(|first| at.saturating_sub(*first) >= second) {
            self.recent.pop_front();
        }
        let allowed = self.recent.len() < n as usize;
        if allowed {
            self.recent.push_back(at);
        }
        let oldest = self.recent.front().copied().unwrap_or(at);
        Verdict { allowed, reset_seconds: (oldest + second).saturating_sub(at).as_secs_f64() }
    }

    fn bucket(&mut self, n: u32, at: Duration) -> Verdict {
        let size = f64::from(n);
        if !self.seen {
            self.seen = true;
            self.level = size;
        } else {
            self.level = (self.level + at.saturating_sub(self.filled_at).as_secs_f64() * size).min(size);
        }
        self.filled_at = at;
        let allowed = self.level >= 1.0;
        if allowed {
            self.level -= 1.0;
        }
        Verdict { allowed, reset_seconds: ((1.0 - self.level) / size.max(1.0)).max(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(limit: RateLimit, times_ms: impl IntoIterator<Item = u64>) -> usize {
        let mut limiter = Limiter::default();
        times_ms.into_iter().filter(|ms| limiter.admit(limit, "user-a", Duration::from_millis(*ms)).allowed).count()
    }

    #[test]
    fn a_fixed_window_lets_a_double_burst_through_around_its_edge_and_a_sliding_one_does_not() {
        let burst = || (0..60).map(|i| 950 + i * 2);
        assert_eq!(admitted(RateLimit::FixedWindow(20), burst()), 40);
        assert_eq!(admitted(RateLimit::SlidingWindow(20), burst()), 20);
    }

    #[test]
    fn a_bucket_starts_full_and_refills_at_its_rate() {
        assert_eq!(admitted(RateLimit::Bucket(10), std::iter::repeat_n(0, 50)), 10);
        assert_eq!(admitted(RateLimit::Bucket(10), std::iter::repeat_n(0, 50).chain([100, 100, 200])), 12);
    }

    #[test]
    fn accounts_do_not_share_a_limit() {
        let mut limiter = Limiter::default();
        let limit = RateLimit::FixedWindow(1);
        assert!(limiter.admit(limit, "user-a", Duration::ZERO).allowed);
        assert!(!limiter.admit(limit, "user-a", Duration::ZERO).allowed);
        assert!(limiter.admit(limit, "user-b", Duration::ZERO).allowed);
    }

    #[test]
    fn waiting_for_the_reset_is_enough() {
        for limit in [RateLimit::FixedWindow(3), RateLimit::SlidingWindow(3), RateLimit::Bucket(3)] {
            let mut limiter = Limiter::default();
            let mut at = Duration::from_millis(2_400);
            let refused = loop {
                let verdict = limiter.admit(limit, "user-a", at);
                if !verdict.allowed {
                    break verdict;
                }
            };
            at += Duration::from_secs_f64(refused.reset_seconds) + Duration::from_micros(2);
            assert!(limiter.admit(limit, "user-a", at).allowed, "{limit:?}");
        }
    }
}
