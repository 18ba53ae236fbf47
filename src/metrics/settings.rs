//! The settings of the metrics.

use crate::app;
use crate::config::{Config, Reader};

/// The settings.
pub struct Settings {
    /// The token that `GET /metrics` requires, if any.
    pub token: Option<String>,
    /// The pause between two handovers of an isolate, in ms; 0 turns handovers off.
    pub handover_ms: u64,
}

impl app::Settings for Settings {
    /// A deployed gateway must have a token: the metrics reveal who calls what, and how often.
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
    fn a_deployed_gateway_needs_a_token() {
        let lacking = |pairs: &[_]| settings::<Settings>(pairs).1.len();
        assert_eq!(lacking(&[("ENVIRONMENT", "production")]), 1);
        assert_eq!(lacking(&[("ENVIRONMENT", "production"), ("METRICS_TOKEN", "t")]), 0);
        assert_eq!(lacking(&[("ENVIRONMENT", "development")]), 0);
    }
}
