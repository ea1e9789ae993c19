//! How many first mints are under way at a time. All other work has room beside them, however many roles wait for their first token: it
//! does not queue behind them.
//!
//! Who has to wait is no future and no timer: a place that gets free wakes the next one. Of several configs each gets its turn.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::slim::Slim;
use super::wakes::Wakes;
use crate::accounts::ConfigKey;

/// A role that was called and does not come in so long is not waited for: it went.
const CALLED_FOR: Duration = Duration::from_secs(5);

/// Lets roles without any token in, a few at a time.
pub struct Turnstile {
    most: usize,
    wakes: Wakes<Slim>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lanes: HashMap<ConfigKey, Lane>,
    /// UIDs of those that wait.
    waiting: HashSet<String>,
    /// UIDs of those that were called, from which lane and when.
    called: HashMap<String, (ConfigKey, Instant)>,
    inside: usize,
}

/// The roles of one config.
#[derive(Default)]
struct Lane {
    inside: usize,
    queue: VecDeque<Arc<Slim>>,
}

/// A place inside; dropping it calls the next one.
pub struct Place {
    turnstile: Arc<Turnstile>,
    lane: ConfigKey,
}

impl Turnstile {
    /// So many inside at a time; who may come in is sent to `wakes`.
    pub fn new(most: usize, wakes: Wakes<Slim>) -> Self {
        Self { most: most.max(1), wakes, state: Mutex::default() }
    }

    /// A place, if there is one; else the role is woken when there is.
    pub fn enter(self: &Arc<Self>, role: &Arc<Slim>) -> Option<Place> {
        let uid = role.metadata.uid.clone().unwrap_or_default();
        let mut state = self.lock();
        let stale = |(_, at): &(ConfigKey, Instant)| at.elapsed() > CALLED_FOR;
        state.called.retain(|called, entry| *called == uid || !stale(entry));
        let was_called = state.called.remove(&uid).is_some();
        let is_free = state.inside + state.called.len() < self.most;
        if was_called || (is_free && state.waiting.is_empty()) {
            return Some(self.place(&mut state, role));
        }
        if state.waiting.insert(uid.clone()) {
            state.lanes.entry(role.config.clone()).or_default().queue.push_back(role.clone());
        }
        self.call(&mut state);
        // It may be its own turn; the call that it was sent then finds nothing to do.
        let is_next = state.called.remove(&uid).is_some();
        is_next.then(|| self.place(&mut state, role))
    }

    /// A role that is gone waits for nothing any more.
    pub fn forget(&self, uid: &str) {
        let mut state = self.lock();
        // Its place in the queue is passed over.
        state.waiting.remove(uid);
        if state.called.remove(uid).is_some() {
            self.call(&mut state);
        }
    }

    fn place(self: &Arc<Self>, state: &mut State, role: &Slim) -> Place {
        state.inside += 1;
        state.lanes.entry(role.config.clone()).or_default().inside += 1;
        Place { turnstile: self.clone(), lane: role.config.clone() }
    }

    /// Calls as many as there are free places for: of the config that has the fewest inside.
    fn call(&self, state: &mut State) {
        while state.inside + state.called.len() < self.most {
            let State { lanes, called, waiting, .. } = state;
            let coming = |lane: &ConfigKey| called.values().filter(|(of, _)| of == lane).count();
            let fewest = lanes.iter().filter(|(_, lane)| !lane.queue.is_empty());
            let Some(key) = fewest.min_by_key(|(key, lane)| lane.inside + coming(key)).map(|(key, _)| key.clone())
            else {
                return;
            };
            let Some(next) = lanes.get_mut(&key).and_then(|lane| lane.queue.pop_front()) else { return };
            let meta = &next.metadata;
            let uid = meta.uid.clone().unwrap_or_default();
            if waiting.remove(&uid) {
                called.insert(uid, (key, Instant::now()));
                self.wakes
                    .send(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.turnstile.lock();
        state.inside = state.inside.saturating_sub(1);
        if let Some(lane) = state.lanes.get_mut(&self.lane) {
            lane.inside = lane.inside.saturating_sub(1);
            if lane.inside == 0 && lane.queue.is_empty() {
                state.lanes.remove(&self.lane);
            }
        }
        self.turnstile.call(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::UnboundedReceiver;
    use kube::runtime::reflector::ObjectRef;
    use serde_json::json;

    use super::*;

    fn role(config: &str, number: usize) -> Arc<Slim> {
        let name = format!("{config}-{number}");
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "apps", "uid": name},
                "spec": {"configRef": {"name": config}},
            }))
            .expect("a role"),
        )
    }

    fn turnstile(most: usize) -> (Arc<Turnstile>, UnboundedReceiver<ObjectRef<Slim>>) {
        let (wakes, mut receivers) = Wakes::new(&[None]);
        (Arc::new(Turnstile::new(most, wakes)), receivers.remove(0))
    }

    fn woken(wakes: &mut UnboundedReceiver<ObjectRef<Slim>>) -> Vec<String> {
        std::iter::from_fn(|| wakes.try_recv().ok()).map(|reference| reference.name).collect()
    }

    #[test]
    fn who_waits_is_called_in_order_and_each_once() {
        let (turnstile, mut wakes) = turnstile(2);
        let roles: Vec<_> = (0..5).map(|number| role("a", number)).collect();
        let mut inside: Vec<Place> = roles.iter().filter_map(|role| turnstile.enter(role)).collect();
        assert_eq!((inside.len(), woken(&mut wakes)), (2, vec![]));
        assert!(turnstile.enter(&roles[2]).is_none(), "an event is no turn");
        drop(inside.pop());
        assert_eq!(woken(&mut wakes), ["a-2"]);
        assert!(turnstile.enter(&roles[4]).is_none(), "the place is another's");
        let third = turnstile.enter(&roles[2]).expect("it was called");
        drop(inside);
        assert_eq!(woken(&mut wakes), ["a-3"]);
        drop(third);
        assert_eq!(woken(&mut wakes), ["a-4"]);
        assert!(turnstile.enter(&roles[4]).is_some() && turnstile.enter(&roles[3]).is_some());
        assert_eq!(woken(&mut wakes), Vec::<String>::new());
    }

    #[test]
    fn a_config_with_a_long_queue_does_not_hold_up_another() {
        let (turnstile, mut wakes) = turnstile(2);
        let roles: Vec<_> = (0..9).map(|number| role("many", number)).collect();
        let mut inside: Vec<Place> = roles.iter().filter_map(|role| turnstile.enter(role)).collect();
        let few = role("few", 0);
        assert!(turnstile.enter(&few).is_none());
        drop(inside.pop());
        assert_eq!(woken(&mut wakes), ["few-0"]);
    }

    #[test]
    fn who_goes_while_it_waits_or_after_it_was_called_holds_up_nobody() {
        let (turnstile, mut wakes) = turnstile(1);
        let roles: Vec<_> = (0..4).map(|number| role("a", number)).collect();
        let place = turnstile.enter(&roles[0]).expect("free");
        assert!(roles[1..].iter().all(|role| turnstile.enter(role).is_none()));
        turnstile.forget("a-1");
        drop(place);
        assert_eq!(woken(&mut wakes), ["a-2"]);
        turnstile.forget("a-2");
        assert_eq!(woken(&mut wakes), ["a-3"]);
        assert!(turnstile.enter(&roles[3]).is_some());
    }
}
