//! The words of HTTP as the gateway speaks it: what is read of a request and how, and what an answer or a
//! problem is. It knows no gateway: no event, no caller, no table.

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
