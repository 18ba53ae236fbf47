//! The gateway's HTTP types: how a request is read, and what a reply and a problem are. The crate knows
//! nothing of the gateway itself: no event, no caller, no table.

pub mod body;
pub mod budget;
pub mod code;
pub mod fields;
pub mod names;
pub mod nearest;
pub mod numbers;
pub mod paging;
pub mod parameters;
pub mod precondition;
pub mod problem;
pub mod reply;
pub mod request;
pub mod trace;

#[cfg(test)]
mod testing;
