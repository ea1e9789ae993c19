//! The operator's real binary between a real API server and the simulator: what a user does, and what comes of it.

mod admission;
mod attacks;
mod config;
mod delete;
mod expire;
mod issue;
mod kubectl;
pub mod leader;
mod permissions;
mod polled;
mod refused;
mod repair;
mod replies;
pub mod restart;
mod rotate;
mod scale;
mod secret;
mod slots;
mod suspend;
mod sweep;
mod team;
mod telling;
mod trust;
mod uninstall;
