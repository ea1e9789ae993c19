//! How fast an account may go: what the server grants, however it counts a second, what others leave of it, and what a person asked for.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// An upper bound that a person sets, under whatever the server grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateCap {
    /// Requests a second, on average. Zero counts as one.
    pub per_second: u32,
    /// Requests that may go at once after a pause. Zero counts as one.
    pub burst: u32,
}

/// The server's limit as long as it answers 429 without ever having named one: TFC's documented 30 a second.
const ASSUMED_LIMIT: f64 = 30.0;

/// The share of the server's limit that is used at most, and the part of a second's requests that may go at once after a pause.
const STEADY_SHARE: f64 = 0.98;
const BURST_SHARE: f64 = 0.1;
/// However the server counts a second: in no stretch of this length more requests are sent than it grants in one. What is longer than a
/// second is for requests that are on their way for unequal times.
const STRETCH: Duration = Duration::from_millis(1030);
/// Limits above this are kept to by the rate alone.
const COUNTED: f64 = 1000.0;

/// After a 429 somebody else uses the account too. What went through in the second before it is what is left; a share less is used for a
/// while, more less where refusals follow within a second, then it is tried for more, at first slowly: a share a second, and a share more for
/// each second squared.
const LESS: f64 = 0.02;
const LESS_AGAIN: f64 = 1.5;
const MOST_LESS: f64 = 0.16;
const HELD_FOR: f64 = 10.0;
const MORE_PER_SECOND: f64 = 0.01;
const MORE_PER_SECOND_SQUARED: f64 = 0.004;
/// Never less than half of what it was, nor than this.
const LEAST_SHARE: f64 = 1.0 / 32.0;

/// How long a 429 silences an account that does not say; and the longest that is believed.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The pace of one account.
pub struct Pace {
    cap: Option<RateCap>,
    /// The server's limit a second, once it is known.
    limit: Option<f64>,
    /// What the last 429 told.
    refused: Option<Refused>,
    tokens: f64,
    /// When requests went, in the last stretch.
    recent: VecDeque<Instant>,
    refilled: Instant,
    /// Nothing goes before.
    silent_until: Option<Instant>,
}

/// What a 429 told of the account, as shares of the server's limit.
#[derive(Clone, Copy)]
struct Refused {
    at: Instant,
    /// Used from then on.
    low: f64,
    /// What went through, which is used again after a while.
    known: f64,
    /// By what share the one is below the other.
    less: f64,
}

impl Pace {
    /// Without a limit but `cap`, until a reply names one.
    pub fn new(cap: Option<RateCap>, now: Instant) -> Pace {
        let mut pace = Pace {
            cap,
            limit: None,
            refused: None,
            tokens: 0.0,
            recent: VecDeque::new(),
            refilled: now,
            silent_until: None,
        };
        pace.tokens = pace.burst(now).unwrap_or(0.0);
        pace
    }

    /// Sets the upper bound that a person asked for.
    pub fn set_cap(&mut self, cap: Option<RateCap>, now: Instant) {
        self.refill(now);
        self.cap = cap;
        self.fit(now);
    }

    /// Takes what a reply says, requests a second; says whether it is news. Nonsense is none.
    pub fn learn_limit(&mut self, per_second: f64, now: Instant) -> bool {
        if !(per_second.is_finite() && (1.0..=1e6).contains(&per_second)) || self.limit == Some(per_second) {
            return false;
        }
        self.refill(now);
        let first = self.rate(now).is_none();
        self.limit = Some(per_second);
        if first {
            // The requests so far were not counted; to start with a whole burst could overrun the second in which they fell.
            self.tokens = 0.0;
        }
        self.fit(now);
        true
    }

    /// Takes a 429 that asks to wait.
    pub fn learn_refusal(&mut self, wait: Option<Duration>, now: Instant) {
        self.refill(now);
        if self.rate(now).is_none() {
            self.limit = Some(ASSUMED_LIMIT);
        }
        if self.silent_until.is_none_or(|until| until <= now) {
            self.yield_to_others(now);
        }
        let until = now + wait.unwrap_or(DEFAULT_WAIT).min(LONGEST_WAIT);
        self.silent_until = Some(self.silent_until.map_or(until, |silent| silent.max(until)));
        self.tokens = 0.0;
    }

    /// Requests that could go at once; `None` without a limit.
    pub fn left(&mut self, now: Instant) -> Option<f64> {
        self.refill(now);
        if self.silent_until.is_some_and(|until| now < until) {
            return Some(0.0);
        }
        self.rate(now).map(|_| self.tokens)
    }

    /// The part of the server's limit that is ours, up to 1.
    fn share(&self, now: Instant) -> f64 {
        let Some(refused) = self.refused else { return 1.0 };
        let since = now.saturating_duration_since(refused.at).as_secs_f64();
        let known = refused.low + (refused.known - refused.low) * (since / HELD_FOR).min(1.0);
        let beyond = (since - HELD_FOR).max(0.0);
        (known + MORE_PER_SECOND * beyond + MORE_PER_SECOND_SQUARED * beyond * beyond).min(1.0)
    }

    fn yield_to_others(&mut self, now: Instant) {
        let share = self.share(now);
        let second = Duration::from_secs(1);
        // The one that was refused is counted with those that went through: where a second begins is not known, and one less would be too
        // few as often as this is too many.
        let sent = self.recent.iter().filter(|at| now.saturating_duration_since(**at) < second).count();
        let known = match self.limit {
            Some(limit) if limit <= COUNTED => share.min(sent as f64 / limit),
            _ => share,
        };
        let less = match self.refused {
            Some(refused) if now.saturating_duration_since(refused.at) < second => refused.less * LESS_AGAIN,
            _ => LESS,
        };
        let less = less.min(MOST_LESS);
        let low = (known * (1.0 - less)).max(share / 2.0).max(LEAST_SHARE);
        self.refused = Some(Refused { at: now, low, known: known.max(low), less });
    }

    /// Requests a second that go at present, if anything limits them.
    pub fn rate(&self, now: Instant) -> Option<f64> {
        let granted = self.limit.map(|limit| limit * self.share(now).min(STEADY_SHARE));
        let asked = self.cap.map(|cap| f64::from(cap.per_second.max(1)));
        least(granted, asked)
    }

    /// The size of the bucket; at least one, or nothing would ever go.
    fn burst(&self, now: Instant) -> Option<f64> {
        let granted = self.limit.map(|limit| limit * BURST_SHARE * self.share(now));
        let asked = self.cap.map(|cap| f64::from(cap.burst));
        least(granted, asked).map(|burst| burst.max(1.0))
    }

    /// When the stretch has room again; `None` if it has.
    fn full_until(&mut self, now: Instant) -> Option<Instant> {
        let limit = self.limit.filter(|limit| *limit <= COUNTED)?;
        while self.recent.front().is_some_and(|first| now.saturating_duration_since(*first) >= STRETCH) {
            self.recent.pop_front();
        }
        let excess = self.recent.len().checked_sub(limit.floor().max(1.0) as usize)?;
        self.recent.get(excess).map(|at| *at + STRETCH)
    }

    /// A request that was let go just now did not go.
    pub fn give_back(&mut self, now: Instant) {
        self.tokens += 1.0;
        self.recent.pop_back();
        self.fit(now);
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        if let Some(rate) = self.rate(now) {
            self.tokens += rate * elapsed;
        }
        self.fit(now);
    }

    fn fit(&mut self, now: Instant) {
        if let Some(burst) = self.burst(now) {
            self.tokens = self.tokens.min(burst);
        }
    }

    /// Takes one request out of the bucket; if there is none, when to look again.
    pub fn take(&mut self, now: Instant) -> Option<Instant> {
        self.refill(now);
        if let Some(until) = self.silent_until.filter(|until| now < *until) {
            return Some(until);
        }
        let rate = self.rate(now)?;
        if let Some(until) = self.full_until(now) {
            return Some(until);
        }
        // The sum of many small refills may miss the whole by a rounding error.
        if self.tokens >= 1.0 - 1e-6 {
            self.tokens -= 1.0;
            if self.limit.is_some_and(|limit| limit <= COUNTED) {
                self.recent.push_back(now);
            }
            return None;
        }
        // The timer's granularity is a millisecond; to wake before the token is there would only wake again.
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / rate).max(Duration::from_millis(1));
        Some(now + wait)
    }
}

fn least(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
