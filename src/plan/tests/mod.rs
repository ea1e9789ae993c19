//! Tables of the planner: one sentence, one state of the world, one step. Files go by theme; [`world`] runs whole histories.

#![allow(clippy::unwrap_used, clippy::panic)]

mod admission;
mod build;
mod conditions;
mod deletion;
mod expire;
mod issue;
mod restart;
mod rotate;
mod settle;
mod slots;
mod suspend;
mod sweep;
mod terms;
mod trust;
mod uninstall;
mod wake;
mod world;
