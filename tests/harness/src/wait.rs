//! Waiting for a condition. Tests poll what they wait for and never sleep for luck.
use std::fmt::Display;
use std::panic::Location;
use std::time::Duration;

use tokio::time::Instant;

use crate::Error;

const INTERVAL: Duration = Duration::from_millis(25);

/// One look at a condition: the value when it holds, else what was seen instead.
pub trait Look {
    /// What is waited for.
    type Value;
    /// The value, or the state in words (empty when there is nothing to tell).
    fn seen(self) -> Result<Self::Value, String>;
}

impl<T> Look for Option<T> {
    type Value = T;
    fn seen(self) -> Result<T, String> {
        self.ok_or_else(String::new)
    }
}

impl<T, E: Display> Look for Result<T, E> {
    type Value = T;
    fn seen(self) -> Result<T, String> {
        self.map_err(|state| state.to_string())
    }
}

/// Looks until the condition holds, and gives its value.
///
/// `look` returns an `Option`, or better a `Result` whose error is the state it saw: it ends up in the message.
///
/// # Panics
/// When `deadline` has passed: with what was awaited, where, and the state seen last.
#[track_caller]
pub fn wait_until<R: Look>(
    what: &str,
    deadline: Duration,
    look: impl AsyncFnMut() -> R,
) -> impl Future<Output = R::Value> {
    let caller = Location::caller();
    async move {
        match poll_until(what, deadline, look).await {
            Ok(value) => value,
            #[expect(clippy::panic, reason = "a test helper: this is how the test ends")]
            Err(error) => panic!("{error} (waiting at {caller})"),
        }
    }
}

/// [`wait_until`] for code that has something to do when it fails.
///
/// # Errors
/// When `deadline` has passed: with what was awaited and the state seen last.
pub async fn poll_until<R: Look>(
    what: &str,
    deadline: Duration,
    mut look: impl AsyncFnMut() -> R,
) -> Result<R::Value, Error> {
    let end = Instant::now() + deadline;
    let mut last = String::from("nothing yet: the first look did not return");
    loop {
        // A look that hangs is cut off, so that the deadline holds whatever happens inside it.
        match tokio::time::timeout_at(end, look()).await.map(Look::seen) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(state)) => last = state,
            Err(_) => {}
        }
        if Instant::now() + INTERVAL > end {
            let last = if last.is_empty() { "it did not hold".to_owned() } else { format!("last seen: {last}") };
            return Err(Error::new(format!("waited {} s for: {what}; {last}", deadline.as_secs_f32())));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_the_value_once_the_condition_holds() {
        let mut looks = 0;
        let value = wait_until("the third look", Duration::from_secs(5), async || {
            looks += 1;
            (looks == 3).then_some("here")
        });
        assert_eq!(value.await, "here");
    }

    #[tokio::test]
    async fn says_what_was_awaited_and_seen_last() {
        let error = poll_until("a token", Duration::from_millis(60), async || Err::<(), _>("still Issuing"))
            .await
            .expect_err("the condition never holds");
        assert_eq!(error.to_string(), "waited 0.06 s for: a token; last seen: still Issuing");
    }

    #[tokio::test]
    async fn cuts_off_a_look_that_hangs() {
        let error =
            poll_until("an answer", Duration::from_millis(60), async || std::future::pending::<Option<()>>().await)
                .await
                .expect_err("the look never returns");
        assert!(error.to_string().contains("the first look did not return"), "{error}");
    }
}
