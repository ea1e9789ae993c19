//! How often an account may call, and who goes first.
//!
//! TFC counts requests per user, not per token, 30 a second by default (API page "API Overview", "Rate Limiting"). One [`Budget`]
//! stands for one account, whatever number of configs and clients use it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Why a call is made, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A token in use is about to end.
    Dying,
    /// A person asked for it.
    Asked,
    /// A token is due to be revoked.
    Revocation,
    /// A token's successor.
    Renewal,
    /// A role's first token, and all that only informs.
    First,
}

impl Class {
    /// All, most urgent first.
    pub const ALL: [Class; 5] = [Class::Dying, Class::Asked, Class::Revocation, Class::Renewal, Class::First];

    /// A metric's label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Class::Dying => "dying",
            Class::Asked => "asked",
            Class::Revocation => "revocation",
            Class::Renewal => "renewal",
            Class::First => "first",
        }
    }
}

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

/// The shares of the server's limit that are used steadily and at once; together they make the whole limit, so that no window of a
/// second holds more requests than it, while a busy second keeps a fifth for what else runs as this account.
const STEADY_SHARE: f64 = 0.8;
const BURST_SHARE: f64 = 0.2;

/// A class that waits is passed over at most this often. The five classes can reach the bound together, so each that waits gets at least
/// one of any 16 grants.
const PASSED_OVER: u32 = 12;

/// After a 429 half of the rate is left, never less than this share of it, and this much comes back in a second.
const LEAST_SHARE: f64 = 1.0 / 32.0;
const RECOVERY_PER_SECOND: f64 = 0.05;

/// How long a 429 silences an account that does not say; and the longest that is believed.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The calls that one account may make.
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the dispatcher: someone came, or the rate changed.
    changed: Notify,
}

struct State {
    cap: Option<RateCap>,
    /// The server's limit a second, once it is known.
    limit: Option<f64>,
    /// What 429s left of the rate, up to 1.
    share: f64,
    tokens: f64,
    refilled: Instant,
    /// Nothing goes before.
    silent_until: Option<Instant>,
    queues: [Queue; 5],
    dispatching: bool,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<oneshot::Sender<()>>,
    passed_over: u32,
}

impl Budget {
    /// A budget without a limit but `cap`, until a reply names one.
    #[must_use]
    pub fn new(cap: Option<RateCap>) -> Budget {
        let state = State {
            cap,
            limit: None,
            share: 1.0,
            tokens: 0.0,
            refilled: Instant::now(),
            silent_until: None,
            queues: Default::default(),
            dispatching: false,
        };
        let budget = Budget { shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }) };
        let mut state = budget.shared.lock();
        state.tokens = state.burst().unwrap_or(0.0);
        drop(state);
        budget
    }

    /// Waits for leave to send one request. Within a class first come, first served; a more urgent class goes before, but each class that
    /// waits gets at least one of 16 grants. Dropping the future gives the place up.
    pub async fn acquire(&self, class: Class) {
        let granted = {
            let mut state = self.shared.lock();
            let now = Instant::now();
            state.refill(now);
            if !state.anyone_waits() && state.take(now).is_none() {
                return;
            }
            let (grant, granted) = oneshot::channel();
            state.queues[class as usize].waiting.push_back(grant);
            if state.dispatching {
                self.shared.changed.notify_one();
            } else {
                state.dispatching = true;
                tokio::spawn(dispatch(Arc::clone(&self.shared)));
            }
            granted
        };
        // The dispatcher drops no sender that waits, but where the runtime itself goes down; then there is nothing to limit.
        let _ = granted.await;
    }

    /// Sets the upper bound that a person asked for.
    pub fn set_cap(&self, cap: Option<RateCap>) {
        let mut state = self.shared.lock();
        state.refill(Instant::now());
        state.cap = cap;
        state.fit();
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Takes what a reply says: `X-RateLimit-Limit`, requests a second. Nonsense is ignored.
    pub fn learn_limit(&self, per_second: f64) {
        if !(per_second.is_finite() && (1.0..=1e6).contains(&per_second)) {
            return;
        }
        let mut state = self.shared.lock();
        if state.limit == Some(per_second) {
            return;
        }
        state.refill(Instant::now());
        let first = state.rate().is_none();
        state.limit = Some(per_second);
        if first {
            // The requests so far were not counted; to start with a whole burst could overrun the second in which they fell.
            state.tokens = 0.0;
        }
        state.fit();
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Takes a 429 that asks to wait for `wait` (`X-RateLimit-Reset`): nothing goes until then, and the rate is halved. It recovers by
    /// a twentieth a second. The replies to requests that were already under way count as one.
    pub fn learn_refusal(&self, wait: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.shared.lock();
        state.refill(now);
        if state.rate().is_none() {
            state.limit = Some(ASSUMED_LIMIT);
        }
        if state.silent_until.is_none_or(|until| until <= now) {
            state.share = (state.share / 2.0).max(LEAST_SHARE);
        }
        let until = now + wait.unwrap_or(DEFAULT_WAIT).min(LONGEST_WAIT);
        state.silent_until = Some(state.silent_until.map_or(until, |silent| silent.max(until)));
        state.tokens = 0.0;
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Requests that could go at once; `None` without a limit.
    #[must_use]
    pub fn left(&self) -> Option<f64> {
        let mut state = self.shared.lock();
        let now = Instant::now();
        state.refill(now);
        if state.silent_until.is_some_and(|until| now < until) { Some(0.0) } else { state.rate().map(|_| state.tokens) }
    }

    /// Requests a second that go at present; `None` without a limit.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        let mut state = self.shared.lock();
        state.refill(Instant::now());
        state.rate()
    }

    /// How many calls of a class wait.
    #[must_use]
    pub fn waiting(&self, class: Class) -> usize {
        self.shared.lock().queues[class as usize].waiting.iter().filter(|grant| !grant.is_closed()).count()
    }
}

/// Hands out grants while anyone waits.
async fn dispatch(shared: Arc<Shared>) {
    loop {
        let wake = {
            let mut state = shared.lock();
            let now = Instant::now();
            state.refill(now);
            loop {
                state.forget_who_left();
                if !state.anyone_waits() {
                    state.dispatching = false;
                    return;
                }
                match state.take(now) {
                    Some(wake) => break wake,
                    None => state.grant(),
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(wake) => {}
            () = shared.changed.notified() => {}
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Requests a second, if anything limits them.
    fn rate(&self) -> Option<f64> {
        let granted = self.limit.map(|limit| limit * STEADY_SHARE);
        let asked = self.cap.map(|cap| f64::from(cap.per_second.max(1)));
        least(granted, asked).map(|rate| rate * self.share)
    }

    /// The size of the bucket; at least one, or nothing would ever go.
    fn burst(&self) -> Option<f64> {
        let granted = self.limit.map(|limit| limit * BURST_SHARE);
        let asked = self.cap.map(|cap| f64::from(cap.burst));
        least(granted, asked).map(|burst| (burst * self.share).max(1.0))
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        if let Some(rate) = self.rate() {
            self.tokens += rate * elapsed;
        }
        if self.silent_until.is_none_or(|until| until <= now) {
            self.share = (self.share + RECOVERY_PER_SECOND * elapsed).min(1.0);
        }
        self.fit();
    }

    fn fit(&mut self) {
        if let Some(burst) = self.burst() {
            self.tokens = self.tokens.min(burst);
        }
    }

    /// Takes one request out of the bucket; if there is none, when to look again.
    fn take(&mut self, now: Instant) -> Option<Instant> {
        if let Some(until) = self.silent_until.filter(|until| now < *until) {
            return Some(until);
        }
        let rate = self.rate()?;
        // The sum of many small refills may miss the whole by a rounding error.
        if self.tokens >= 1.0 - 1e-6 {
            self.tokens -= 1.0;
            return None;
        }
        // The timer's granularity is a millisecond; to wake before the token is there would only wake again.
        let wait = Duration::from_secs_f64((1.0 - self.tokens) / rate).max(Duration::from_millis(1));
        Some(now + wait)
    }

    fn anyone_waits(&self) -> bool {
        self.queues.iter().any(|queue| !queue.waiting.is_empty())
    }

    fn forget_who_left(&mut self) {
        for queue in &mut self.queues {
            while queue.waiting.front().is_some_and(oneshot::Sender::is_closed) {
                queue.waiting.pop_front();
            }
            if queue.waiting.is_empty() {
                queue.passed_over = 0;
            }
        }
    }

    /// Serves the class that was passed over too often, else the most urgent one.
    fn grant(&mut self) {
        let waits = |queue: &Queue| !queue.waiting.is_empty();
        let starving = (0..self.queues.len())
            .filter(|&class| waits(&self.queues[class]) && self.queues[class].passed_over >= PASSED_OVER)
            .max_by_key(|&class| (self.queues[class].passed_over, std::cmp::Reverse(class)));
        let Some(chosen) = starving.or_else(|| self.queues.iter().position(waits)) else { return };
        for (class, queue) in self.queues.iter_mut().enumerate() {
            if class == chosen {
                queue.passed_over = 0;
            } else if waits(queue) {
                queue.passed_over += 1;
            }
        }
        if let Some(grant) = self.queues[chosen].waiting.pop_front()
            && grant.send(()).is_err()
        {
            // Who left between the look and the grant has used nothing.
            self.tokens += 1.0;
            self.fit();
        }
    }
}

fn least(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
