//! The settings of the watch over the services.

use chitty_core::watch::WatchConfig;

use crate::app;
use crate::config::{Config, Reader};

/// The settings.
pub struct Settings {
    /// How services are checked, and how watches reconnect.
    pub watch: WatchConfig,
}

impl app::Settings for Settings {
    fn read(_: &Config, reader: &mut Reader) -> Self {
        Settings { watch: watch(reader) }
    }
}

fn watch(reader: &mut Reader) -> WatchConfig {
    let usual = WatchConfig::default();
    let attempts = reader.number("MAX_RECONNECT_ATTEMPTS", 0, 0, 1_000_000);
    WatchConfig {
        health_check_interval_ms: reader.number(
            "HEALTH_CHECK_INTERVAL_MS",
            usual.health_check_interval_ms,
            100,
            3_600_000,
        ),
        check_deadline_ms: reader.number(
            "HEALTH_CHECK_TIMEOUT_MS",
            usual.check_deadline_ms,
            100,
            20_000,
        ),
        reconnect_delay_ms: reader.number(
            "RECONNECT_DELAY_MS",
            usual.reconnect_delay_ms,
            10,
            60_000,
        ),
        max_reconnect_delay_ms: reader.number(
            "MAX_RECONNECT_DELAY_MS",
            usual.max_reconnect_delay_ms,
            10,
            3_600_000,
        ),
        reconnect_multiplier: u32::try_from(reader.number(
            "RECONNECT_MULTIPLIER",
            u64::from(usual.reconnect_multiplier),
            1,
            10,
        ))
        .unwrap_or(usual.reconnect_multiplier),
        max_reconnect_attempts: match attempts {
            0 => None,
            attempts => Some(u32::try_from(attempts).unwrap_or(u32::MAX)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::tests::settings;

    #[test]
    fn an_invalid_multiplier_falls_back_and_is_listed() {
        for (text, counts) in [("3", 3), ("1", 1), ("0", 2), ("11", 2), ("1.5", 2)] {
            let (read, lacking) = settings::<Settings>(&[("RECONNECT_MULTIPLIER", text)]);
            assert_eq!(read.watch.reconnect_multiplier, counts, "{text}");
            assert_eq!(lacking.is_empty(), text == counts.to_string(), "{text}");
        }
    }
}
