//! Faults done to the real thing, and that all is back in order afterwards.

mod burst;
mod cluster;
mod kills;
mod order;
mod story;
mod unseen;
mod wires;
