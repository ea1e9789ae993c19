//! How often an account may call, and who goes first.
//!
//! TFC counts requests per user, not per token, 30 a second by default (API page "API Overview", "Rate Limiting"). One [`Budget`]
//! stands for one account, whatever number of configs and clients use it.
//!
//! - `pace`: how fast an account may go.
//! - `queues`: who goes first.

mod pace;
mod queues;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use self::pace::Pace;
pub use self::pace::RateCap;
use self::queues::Queues;

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

/// Of a second's requests so many may have a turn at a time: enough for what is done between a turn and its request, and few enough that a
/// turn does not wait for long.
const TURNS_SHARE: f64 = 0.25;
const FEWEST_TURNS: f64 = 4.0;

/// The calls that one account may make.
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the dispatcher: someone came, or the pace changed.
    changed: Notify,
}

struct State {
    pace: Pace,
    requests: Queues<()>,
    dispatching: bool,
    turns: Queues<Turn>,
    turns_taken: usize,
}

/// A turn among those that are about to send a request: few have one at a time, where anything limits the account. It ends once the request
/// may go, or when it is dropped.
pub struct Turn {
    shared: Arc<Shared>,
    over: AtomicBool,
}

impl Turn {
    /// Lets the next one have it.
    pub(super) fn end(&self) {
        if !self.over.swap(true, Ordering::SeqCst) {
            self.shared.lock().turns_taken -= 1;
            self.shared.give_turns();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end();
    }
}

impl Budget {
    /// A budget without a limit but `cap`, until a reply names one.
    #[must_use]
    pub fn new(cap: Option<RateCap>) -> Budget {
        let state = State {
            pace: Pace::new(cap, Instant::now()),
            requests: Queues::default(),
            dispatching: false,
            turns: Queues::default(),
            turns_taken: 0,
        };
        Budget { shared: Arc::new(Shared { state: Mutex::new(state), changed: Notify::new() }) }
    }

    /// Waits for leave to send one request. Within a class first come, first served; a more urgent class goes before, but each class that
    /// waits gets at least one of 16 grants. Dropping the future gives the place up.
    pub async fn acquire(&self, class: Class) {
        let granted = {
            let mut state = self.shared.lock();
            if state.requests.is_empty() && state.pace.take(Instant::now()).is_none() {
                return;
            }
            let granted = state.requests.join(class);
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

    /// Waits for a turn, in the same order as requests: for who has something to write down right before a request, which is not to wait long
    /// after that.
    pub async fn turn(&self, class: Class) -> Turn {
        let turn = self.shared.lock().turns.join(class);
        self.shared.give_turns();
        // The same: nobody drops a sender that waits.
        turn.await.unwrap_or_else(|_| Turn { shared: Arc::clone(&self.shared), over: AtomicBool::new(true) })
    }

    /// Sets the upper bound that a person asked for.
    pub fn set_cap(&self, cap: Option<RateCap>) {
        self.shared.lock().pace.set_cap(cap, Instant::now());
        self.shared.pace_changed();
    }

    /// Takes what a reply says: `X-RateLimit-Limit`, requests a second. Nonsense is ignored.
    pub fn learn_limit(&self, per_second: f64) {
        if self.shared.lock().pace.learn_limit(per_second, Instant::now()) {
            self.shared.pace_changed();
        }
    }

    /// Takes a 429 that asks to wait for `wait` (`X-RateLimit-Reset`): nothing goes until then, and less after it, for a while. The replies
    /// to requests that were already under way count as one.
    pub fn learn_refusal(&self, wait: Option<Duration>) {
        self.shared.lock().pace.learn_refusal(wait, Instant::now());
        self.shared.pace_changed();
    }

    /// Requests that could go at once; `None` without a limit.
    #[must_use]
    pub fn left(&self) -> Option<f64> {
        self.shared.lock().pace.left(Instant::now())
    }

    /// Requests a second that go at present; `None` without a limit.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        self.shared.lock().pace.rate(Instant::now())
    }

    /// How many calls of a class wait, for their turn or for leave.
    #[must_use]
    pub fn waiting(&self, class: Class) -> usize {
        let state = self.shared.lock();
        state.turns.waiting(class) + state.requests.waiting(class)
    }
}

/// Hands out grants while anyone waits.
async fn dispatch(shared: Arc<Shared>) {
    loop {
        let wake = {
            let mut state = shared.lock();
            loop {
                if state.requests.is_empty() {
                    state.dispatching = false;
                    return;
                }
                let now = Instant::now();
                if let Some(wake) = state.pace.take(now) {
                    break wake;
                }
                let went = state.requests.next().is_some_and(|grant| grant.send(()).is_ok());
                if !went {
                    // Who left between the look and the grant has used nothing.
                    state.pace.give_back(now);
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

    fn pace_changed(self: &Arc<Self>) {
        self.changed.notify_one();
        self.give_turns();
    }

    /// Gives turns to those that wait, as many as there are.
    fn give_turns(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.lock();
                let rate = state.pace.rate(Instant::now());
                let is_free =
                    rate.is_none_or(|rate| (state.turns_taken as f64) < (rate * TURNS_SHARE).max(FEWEST_TURNS));
                let next = if is_free && !state.turns.is_empty() { state.turns.next() } else { None };
                state.turns_taken += usize::from(next.is_some());
                next
            };
            let Some(next) = next else { return };
            // Who left meanwhile drops it, which ends it: not under the lock.
            drop(next.send(Turn { shared: Arc::clone(self), over: AtomicBool::new(false) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::future::join_all;

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

    struct Bucket(f64, Duration);

    impl Server for Bucket {
        fn admits(&mut self, at: Duration) -> bool {
            self.0 = (self.0 + at.saturating_sub(self.1).as_secs_f64() * 30.0).min(30.0);
            self.1 = at;
            let admits = self.0 >= 1.0;
            self.0 -= f64::from(u8::from(admits));
            admits
        }
        fn reset(&self, _: Duration) -> Duration {
            Duration::from_secs_f64((1.0 - self.0).max(0.0) / 30.0)
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
        let (mut fixed, mut sliding, mut bucket) = (Fixed::default(), Sliding::default(), Bucket(30.0, Duration::ZERO));
        for (granted, refused) in
            [backlog(&mut fixed, 60, 10).await, backlog(&mut sliding, 60, 10).await, backlog(&mut bucket, 60, 10).await]
        {
            assert!(granted >= 20 * 60 * 95 / 100, "{granted}, {refused}");
            // That a bucket holds less than a second's worth shows in nothing but refusals.
            assert!(refused <= 20, "{granted}, {refused}");
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
    async fn few_have_a_turn_and_the_most_urgent_has_the_next() {
        let budget = Arc::new(Budget::new(None));
        let unlimited: Vec<Turn> = join_all((0..100).map(|_| budget.turn(Class::First))).await;
        drop(unlimited);
        budget.learn_limit(30.0);
        let mut turns: Vec<Turn> = join_all((0..8).map(|_| budget.turn(Class::First))).await;
        let wait = |class: Class| {
            let budget = budget.clone();
            tokio::spawn(async move { budget.turn(class).await })
        };
        let (first, gone, asked) = (wait(Class::First), wait(Class::Asked), wait(Class::Asked));
        tokio::task::yield_now().await;
        assert_eq!((budget.waiting(Class::First), budget.waiting(Class::Asked)), (1, 2));
        gone.abort();
        assert!(gone.await.is_err());
        let over = turns.pop().expect("one of eight");
        over.end();
        let asked = asked.await.expect("its turn");
        assert_eq!(budget.waiting(Class::First), 1, "one ended, and counts once");
        drop(over);
        tokio::task::yield_now().await;
        assert_eq!(budget.waiting(Class::First), 1);
        drop(asked);
        drop(first.await.expect("its turn"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_is_lifted_gives_all_their_turn() {
        let budget = Arc::new(Budget::new(Some(RateCap { per_second: 1, burst: 1 })));
        let taken = join_all((0..4).map(|_| budget.turn(Class::First))).await;
        let waiting = {
            let budget = budget.clone();
            tokio::spawn(async move { join_all((0..20).map(|_| budget.turn(Class::First))).await })
        };
        tokio::task::yield_now().await;
        assert_eq!(budget.waiting(Class::First), 20);
        budget.set_cap(None);
        assert_eq!(waiting.await.expect("their turns").len() + taken.len(), 24);
    }
}
