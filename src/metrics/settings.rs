//! What the metrics go by.

use crate::app;
use crate::config::{Config, Reader};

/// The settings.
pub struct Settings {
    /// What `GET /metrics` asks for, if it asks.
    pub token: Option<String>,
    /// How long an isolate gathers before it hands over what it has counted, in ms; 0 is never.
    pub handover_ms: u64,
}

impl app::Settings for Settings {
    /// Deployed there must be a token: what is measured tells who calls what, and how often.
    fn read(config: &Config, reader: &mut Reader) -> Self {
        const TOKEN: &str = "METRICS_TOKEN";
        let token = reader.text(TOKEN);
        if token.is_none() && config.environment.is_deployed() {
            reader.lacks_secret(TOKEN);
        }
        let handover_ms = reader.number("HANDOVER_SECONDS", 3, 0, 20) * 1000;
        Settings { token, handover_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::tests::settings;

    #[test]
    fn deployed_a_token_is_needed() {
        let lacking = |pairs: &[_]| settings::<Settings>(pairs).1.len();
        assert_eq!(lacking(&[("ENVIRONMENT", "production")]), 1);
        assert_eq!(lacking(&[("ENVIRONMENT", "production"), ("METRICS_TOKEN", "t")]), 0);
        assert_eq!(lacking(&[("ENVIRONMENT", "development")]), 0);
    }
}
