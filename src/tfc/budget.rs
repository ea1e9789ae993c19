//! How often an account may call, and who goes first.
//!
//! TFC counts requests per user, not per token, 30 a second by default (API page "API Overview", "Rate Limiting"). One [`Budget`]
//! stands for one account, whatever number of configs and clients use it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// The share of what is left of the server's limit that is used, and the part of a second's requests that may go at once after a pause.
const STEADY_SHARE: f64 = 0.98;
const BURST_SHARE: f64 = 0.1;
/// However the server counts a second: in no stretch of this length more requests are sent than it grants in one. What is longer than a
/// second is for requests that are on their way for unequal times.
const STRETCH: Duration = Duration::from_millis(1030);
/// Limits above this are kept to by the rate alone.
const COUNTED: f64 = 1000.0;

/// A class that waits is passed over at most this often. The five classes can reach the bound together, so each that waits gets at least
/// one of any 16 grants.
const PASSED_OVER: u32 = 12;

/// After a 429 somebody else uses the account too. What went through in the second before it is what is left; a little less is used for a
/// while, then it is tried for more, at first slowly: a share a second, and a share more for each second squared.
const BELOW: f64 = 0.97;
const HELD_FOR: f64 = 10.0;
const MORE_PER_SECOND: f64 = 0.01;
const MORE_PER_SECOND_SQUARED: f64 = 0.004;
/// Never less than half of what it was, nor than this.
const LEAST_SHARE: f64 = 1.0 / 32.0;

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
    /// What the last 429 told.
    refused: Option<Refused>,
    tokens: f64,
    /// When leave was given, in the last stretch.
    recent: VecDeque<Instant>,
    refilled: Instant,
    /// Nothing goes before.
    silent_until: Option<Instant>,
    queues: [Queue; 5],
    dispatching: bool,
}

/// What a 429 told of the account, as shares of the server's limit.
#[derive(Clone, Copy)]
struct Refused {
    at: Instant,
    /// Used from then on.
    low: f64,
    /// What went through, which is used again after a while.
    known: f64,
}

/// Leave to send one request, got before it is known when exactly. Given back where nothing was sent.
pub struct Leave {
    shared: Arc<Shared>,
    given: Instant,
    spent: AtomicBool,
}

/// A leave that was not used for so long is none any more: in the stretch in which it would be used it was not counted.
const LEAVE_LASTS: Duration = Duration::from_secs(1);

impl Leave {
    /// Uses it, once; says whether it was still good.
    pub(super) fn spend(&self) -> bool {
        self.given.elapsed() <= LEAVE_LASTS && !self.spent.swap(true, Ordering::SeqCst)
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if !self.spent.load(Ordering::SeqCst) && self.given.elapsed() <= LEAVE_LASTS {
            self.shared.lock().give_back(self.given);
            self.shared.changed.notify_one();
        }
    }
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
            refused: None,
            tokens: 0.0,
            recent: VecDeque::new(),
            refilled: Instant::now(),
            silent_until: None,
            queues: Default::default(),
            dispatching: false,
        };
        let budget = Budget { shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }) };
        let mut state = budget.shared.lock();
        state.tokens = state.burst(Instant::now()).unwrap_or(0.0);
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

    /// The same, where it is to be kept for a moment.
    pub async fn leave(&self, class: Class) -> Leave {
        self.acquire(class).await;
        Leave { shared: Arc::clone(&self.shared), given: Instant::now(), spent: AtomicBool::new(false) }
    }

    /// Sets the upper bound that a person asked for.
    pub fn set_cap(&self, cap: Option<RateCap>) {
        let mut state = self.shared.lock();
        let now = Instant::now();
        state.refill(now);
        state.cap = cap;
        state.fit(now);
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
        let now = Instant::now();
        state.refill(now);
        let first = state.rate(now).is_none();
        state.limit = Some(per_second);
        if first {
            // The requests so far were not counted; to start with a whole burst could overrun the second in which they fell.
            state.tokens = 0.0;
        }
        state.fit(now);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Takes a 429 that asks to wait for `wait` (`X-RateLimit-Reset`): nothing goes until then, and less after it, for a while. The replies
    /// to requests that were already under way count as one.
    pub fn learn_refusal(&self, wait: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.shared.lock();
        state.refill(now);
        if state.rate(now).is_none() {
            state.limit = Some(ASSUMED_LIMIT);
        }
        if state.silent_until.is_none_or(|until| until <= now) {
            state.yield_to_others(now);
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
        if state.silent_until.is_some_and(|until| now < until) {
            Some(0.0)
        } else {
            state.rate(now).map(|_| state.tokens)
        }
    }

    /// Requests a second that go at present; `None` without a limit.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        self.shared.lock().rate(Instant::now())
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
        // The request that was refused is among them.
        let sent =
            self.recent.iter().filter(|at| now.saturating_duration_since(**at) < second).count().saturating_sub(1);
        let known = match self.limit {
            Some(limit) if limit <= COUNTED => share.min(sent as f64 / limit),
            _ => share,
        };
        let low = (known * BELOW).max(share / 2.0).max(LEAST_SHARE);
        self.refused = Some(Refused { at: now, low, known: known.max(low) });
    }

    /// Requests a second, if anything limits them.
    fn rate(&self, now: Instant) -> Option<f64> {
        let granted = self.limit.map(|limit| limit * STEADY_SHARE * self.share(now));
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

    /// A leave that was given then was not used.
    fn give_back(&mut self, given: Instant) {
        self.tokens += 1.0;
        if let Some(place) = self.recent.iter().rposition(|at| *at <= given) {
            self.recent.remove(place);
        }
        self.fit(Instant::now());
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
    fn take(&mut self, now: Instant) -> Option<Instant> {
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
            self.give_back(Instant::now());
        }
    }
}

fn least(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a server counts its requests of a second.
    trait Server {
        fn admits(&mut self, at: Duration) -> bool;
        fn reset(&self, at: Duration) -> Duration;
    }

    #[derive(Default)]
    struct Fixed(u64, u32);

    impl Server for Fixed {
        fn admits(&mut self, at: Duration) -> bool {
            if self.0 != at.as_secs() {
                (self.0, self.1) = (at.as_secs(), 0);
            }
            self.1 += 1;
            self.1 <= 30
        }
        fn reset(&self, at: Duration) -> Duration {
            Duration::from_secs(at.as_secs() + 1) - at
        }
    }

    #[derive(Default)]
    struct Sliding(VecDeque<Duration>);

    impl Server for Sliding {
        fn admits(&mut self, at: Duration) -> bool {
            while self.0.front().is_some_and(|first| at.saturating_sub(*first) >= Duration::from_secs(1)) {
                self.0.pop_front();
            }
            let admits = self.0.len() < 30;
            self.0.extend(admits.then_some(at));
            admits
        }
        fn reset(&self, at: Duration) -> Duration {
            self.0.front().map_or(Duration::ZERO, |first| (*first + Duration::from_secs(1)).saturating_sub(at))
        }
    }

    /// Grants and refusals of a backlog that lasts for so many seconds, beside another client's requests a second.
    async fn backlog(server: &mut impl Server, seconds: u64, others: u32) -> (usize, usize) {
        let budget = Budget::new(None);
        budget.learn_limit(30.0);
        let begun = Instant::now();
        let (mut granted, mut refused, mut other, mut last) = (0, 0, Duration::ZERO, Duration::ZERO);
        while begun.elapsed() < Duration::from_secs(seconds) {
            budget.acquire(Class::First).await;
            // On the way for 1 to 9 ms.
            let now = last.max(begun.elapsed() + Duration::from_millis(1 + (granted * 5 % 9) as u64));
            last = now;
            while others > 0 && other <= now {
                server.admits(other);
                other += Duration::from_secs(1) / others;
            }
            if server.admits(now) {
                granted += 1;
            } else {
                refused += 1;
                budget.learn_refusal(Some(server.reset(now)));
            }
        }
        (granted, refused)
    }

    #[tokio::test(start_paused = true)]
    async fn a_backlog_uses_the_limit_however_the_server_counts_and_is_not_refused() {
        for (granted, refused) in
            [backlog(&mut Fixed::default(), 60, 0).await, backlog(&mut Sliding::default(), 60, 0).await]
        {
            assert!(granted >= 30 * 60 * 95 / 100, "{granted}");
            assert_eq!(refused, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn beside_another_client_it_uses_what_is_left_and_is_refused_to_learn_that_alone() {
        for (granted, refused) in
            [backlog(&mut Fixed::default(), 60, 10).await, backlog(&mut Sliding::default(), 60, 10).await]
        {
            assert!(granted >= 20 * 60 * 95 / 100, "{granted}, {refused}");
            assert!(refused <= 36, "{granted}, {refused}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_urgent_goes_first_and_none_starves() {
        let budget = Arc::new(Budget::new(None));
        budget.learn_limit(30.0);
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |class: Class| {
            let (budget, order) = (budget.clone(), order.clone());
            tokio::spawn(async move {
                budget.acquire(class).await;
                order.lock().expect("no test panicked in it").push(class);
            })
        };
        let first: Vec<_> = (0..3).map(|_| wait(Class::First)).collect();
        tokio::task::yield_now().await;
        let dying: Vec<_> = (0..40).map(|_| wait(Class::Dying)).collect();
        for waiting in first.into_iter().chain(dying) {
            waiting.await.expect("granted");
        }
        let order = order.lock().expect("no test panicked in it");
        let place = order.iter().position(|class| *class == Class::First);
        assert_eq!(order[0], Class::Dying);
        assert!(place.is_some_and(|place| place <= 16), "{order:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leave_that_is_not_used_is_given_back_and_one_that_is_old_is_none() {
        let budget = Budget::new(Some(RateCap { per_second: 1, burst: 1 }));
        let leave = budget.leave(Class::First).await;
        assert_eq!(budget.left(), Some(0.0));
        drop(leave);
        assert_eq!(budget.left(), Some(1.0));
        let leave = budget.leave(Class::First).await;
        assert!(leave.spend() && !leave.spend(), "once");
        drop(leave);
        assert_eq!(budget.left(), Some(0.0));
        let old = budget.leave(Class::First).await;
        tokio::time::advance(LEAVE_LASTS * 2).await;
        assert!(!old.spend());
    }
}
