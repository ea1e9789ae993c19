//! Who goes first: the most urgent class, and within it who came first; but none starves.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::Class;

/// A class that waits is passed over at most this often. The five classes can reach the bound together, so each that waits gets at least
/// one of any 16 grants.
const PASSED_OVER: u32 = 12;

/// Those that wait for a grant.
pub struct Queues<T>([Queue<T>; 5]);

struct Queue<T> {
    waiting: VecDeque<oneshot::Sender<T>>,
    passed_over: u32,
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Queue { waiting: VecDeque::new(), passed_over: 0 }))
    }
}

impl<T> Queues<T> {
    /// Stands in line. Dropping the receiver gives the place up.
    pub fn join(&mut self, class: Class) -> oneshot::Receiver<T> {
        let (grant, granted) = oneshot::channel();
        self.0[class as usize].waiting.push_back(grant);
        granted
    }

    /// How many of a class wait.
    pub fn waiting(&self, class: Class) -> usize {
        self.0[class as usize].waiting.iter().filter(|grant| !grant.is_closed()).count()
    }

    /// Whether anyone waits; those at the head that left are forgotten.
    pub fn is_empty(&mut self) -> bool {
        for queue in &mut self.0 {
            while queue.waiting.front().is_some_and(oneshot::Sender::is_closed) {
                queue.waiting.pop_front();
            }
            if queue.waiting.is_empty() {
                queue.passed_over = 0;
            }
        }
        !self.0.iter().any(Queue::waits)
    }

    /// The next one: of the class that was passed over too often, else of the most urgent one.
    pub fn next(&mut self) -> Option<oneshot::Sender<T>> {
        let starving = (0..self.0.len())
            .filter(|&class| self.0[class].waits() && self.0[class].passed_over >= PASSED_OVER)
            .max_by_key(|&class| (self.0[class].passed_over, std::cmp::Reverse(class)));
        let chosen = starving.or_else(|| self.0.iter().position(Queue::waits))?;
        for (class, queue) in self.0.iter_mut().enumerate() {
            if class == chosen {
                queue.passed_over = 0;
            } else if queue.waits() {
                queue.passed_over += 1;
            }
        }
        self.0[chosen].waiting.pop_front()
    }
}

impl<T> Queue<T> {
    fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }
}
