//! The services there are.

use std::fmt;

/// A ChittyOS service that this crate calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// ChittyID, the identity authority.
    Id,
    /// ChittyAuth.
    Auth,
    /// ChittyChronicle.
    Chronicle,
}

impl Service {
    /// The host name below `chitty.cc`.
    pub fn host(self) -> &'static str {
        match self {
            Service::Id => "id",
            Service::Auth => "auth",
            Service::Chronicle => "chronicle",
        }
    }

    /// The name that people know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Id => "chittyid",
            Service::Auth => "chittyauth",
            Service::Chronicle => "chittychronicle",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
