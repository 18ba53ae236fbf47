//! The settings of connections.

use crate::app;
use crate::config::{Config, Reader};

/// The settings of connections.
pub struct Settings {
    /// How often the cron checks a connection, in ms.
    pub check_ms: u64,
}

impl app::Settings for Settings {
    fn read(_: &Config, reader: &mut Reader) -> Self {
        Settings { check_ms: reader.number("CONNECTION_CHECK_SECONDS", 300, 1, 86_400) * 1000 }
    }
}
