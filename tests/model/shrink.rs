//! The shortest story of a failure.

use std::time::{Duration, Instant};

use crate::choices::Move;

/// How long a shorter story is looked for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shortest list of moves found that still fails. `fails` runs one history.
pub fn shrink(mut moves: Vec<Move>, fails: impl Fn(&[Move]) -> bool) -> Vec<Move> {
    while let Some((last, rest)) = moves.split_last() {
        // Calm comes after the last move anyway.
        if *last != [0; 3] {
            break;
        }
        moves = rest.to_vec();
    }
    let started = Instant::now();
    let attempt = |candidate: Vec<Move>, moves: &mut Vec<Move>| {
        let better = started.elapsed() < PATIENCE && candidate != *moves && fails(&candidate);
        if better {
            *moves = candidate;
        }
        better
    };
    loop {
        let mut better = false;
        for size in [64, 16, 4, 1] {
            for start in (0..moves.len()).step_by(size) {
                let end = (start + size).min(moves.len());
                let mut zeroed = moves.clone();
                zeroed[start..end].fill([0; 3]);
                better |= attempt(zeroed, &mut moves);
            }
        }
        let mut start = 0;
        while start < moves.len() {
            let mut without = moves.clone();
            let size =
                if moves.len() - start >= 8 && moves[start..start + 8].iter().all(|m| *m == [0; 3]) { 8 } else { 1 };
            without.drain(start..start + size);
            if attempt(without, &mut moves) {
                better = true;
            } else {
                start += size;
            }
        }
        if !better {
            return moves;
        }
    }
}
