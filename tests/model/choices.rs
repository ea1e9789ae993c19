//! What decides a history: one move a tick. A move of zeros is the ordinary course of things, so a failure shrinks by zeroing moves,
//! which leaves all others at their places in time, and then by leaving zeros out.

use std::time::{Duration, Instant};

use crate::history::Kind;

/// A move: what, and two numbers that say how. All zeros: what would happen anyway.
pub type Move = [u16; 3];

/// Pseudo-random numbers (xorshift64*).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Moves of a history, before the calm.
const MOVES: usize = 250;

/// The moves of one seed. Each kind has histories of its own.
pub fn of(kind: Kind, seed: u64) -> Vec<Move> {
    let mut rng = Rng::new(seed * 4 + kind as u64);
    // Some histories are calm with a fault here and there, others are all trouble.
    let quiet = [30, 60, 85][(rng.next() % 3) as usize];
    let mut random = |_| match rng.below(100) {
        roll if roll < quiet => [0; 3],
        _ => [rng.next() as u16, rng.next() as u16, rng.next() as u16],
    };
    (0..MOVES).map(&mut random).collect()
}

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
