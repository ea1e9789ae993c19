//! What decides a history: one move a tick. A move of zeros is the ordinary course of things, so a failure shrinks by zeroing moves,
//! which leaves all others at their places in time, and then by leaving zeros out.

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
