//! What a client of a steady pace gets at best out of a sliding window that it shares with another such client, by arithmetic. A second holds
//! whole requests, so both can't have their share to the last.

use std::collections::VecDeque;

/// Seconds that are reckoned.
const SECONDS: f64 = 120.0;
/// A request is under way for up to so long, in seconds.
const UNDER_WAY: f64 = 0.01;
/// Where the other client stands when the first begins, in parts of its own step.
const PHASES: [f64; 5] = [0.0, 0.2, 0.4, 0.6, 0.8];
/// The first client's paces, as shares of what the other leaves: none takes what the other asks for.
const PACES: std::ops::RangeInclusive<u32> = 90..=100;

/// The most of what is left that any pace gets through, of those that are refused no more than `refused` of their requests.
pub fn best_share(limit: u32, others: u32, refused: f64) -> f64 {
    let left = f64::from(limit.saturating_sub(others));
    let outcomes = PACES.map(|percent| {
        let runs = PHASES.map(|phase| run(limit, left * f64::from(percent) / 100.0, f64::from(others), phase));
        let mean = |of: fn(&(f64, f64)) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        (mean(|run| run.0), mean(|run| run.1))
    });
    outcomes.filter(|outcome| outcome.1 <= refused).map(|outcome| outcome.0).fold(0.0, f64::max)
}

/// What a pace gets through of what is left, and what it is refused of its requests.
fn run(limit: u32, pace: f64, others: f64, phase: f64) -> (f64, f64) {
    let mut requests: Vec<(f64, bool)> = arrivals(pace, 0.0, 0.618_034).map(|at| (at, true)).collect();
    requests.extend(arrivals(others, phase, 0.754_878).map(|at| (at, false)));
    requests.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut second = VecDeque::new();
    let (mut ours, mut theirs, mut refused) = (0.0, 0.0, 0.0);
    for (at, is_ours) in requests {
        while second.front().is_some_and(|first| at - first >= 1.0) {
            second.pop_front();
        }
        let fits = second.len() < limit as usize;
        second.extend(fits.then_some(at));
        let count = match (fits, is_ours) {
            (true, true) => &mut ours,
            (true, false) => &mut theirs,
            (false, true) => &mut refused,
            (false, false) => continue,
        };
        *count += 1.0;
    }
    (ours / (f64::from(limit) * SECONDS - theirs), refused / (ours + refused))
}

/// When the requests of a steady pace arrive; `scatter` spreads the time that each is under way, the same way each time.
fn arrivals(pace: f64, phase: f64, scatter: f64) -> impl Iterator<Item = f64> {
    (0..(SECONDS * pace) as u32).map(move |number| {
        let number = f64::from(number);
        (number + phase) / pace + UNDER_WAY * (number * scatter).fract()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_a_steady_pace_gets_all_and_beside_another_not() {
        let alone = best_share(30, 0, 0.03);
        assert!(alone > 0.97, "{alone}");
        let beside = best_share(30, 10, 0.03);
        assert!((0.93..0.97).contains(&beside), "{beside}");
    }
}
