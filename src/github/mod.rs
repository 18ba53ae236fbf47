//! The GitHub App.

pub mod private_key;
pub mod settings;
