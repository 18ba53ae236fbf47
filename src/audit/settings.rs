//! The settings of the audit.

use crate::app;
use crate::config::{Config, Reader};

/// The settings of the audit.
pub struct Settings {
    /// How many of the newest entries stay in the database.
    pub keep_entries: i64,
}

impl app::Settings for Settings {
    fn read(_: &Config, reader: &mut Reader) -> Self {
        Settings {
            keep_entries: reader
                .small_number("AUDIT_KEEP_ENTRIES", 1_000_000, 1000, 4_000_000)
                .into(),
        }
    }
}
