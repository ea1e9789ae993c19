//! Faults done to the real thing, and that all is back in order afterwards.

mod accounts;
mod burst;
mod cluster;
mod copies;
mod kills;
mod order;
mod requests;
mod restore;
mod story;
mod table;
mod unseen;
mod wires;
mod writes;
