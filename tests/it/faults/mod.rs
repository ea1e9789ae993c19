//! Faults done to the real thing, and that all is back in order afterwards.

mod kills;
mod order;
mod story;
