//! The settings of API keys.

use crate::app;
use crate::config::{Config, Reader};

/// The settings.
pub struct Settings {
    /// How long a replaced secret of an API key stays valid, in ms.
    pub grace_ms: u64,
}

impl app::Settings for Settings {
    fn read(_: &Config, reader: &mut Reader) -> Self {
        Settings { grace_ms: reader.number("KEY_GRACE_SECONDS", 86_400, 0, 604_800) * 1000 }
    }
}
