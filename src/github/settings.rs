//! The settings of the gateway's GitHub App. Each part works without the others: webhooks need a secret,
//! calls as the App need its number and key, and installing needs its name and its OAuth client.

use std::fmt;

use github_client::{AppKey, OauthClient, PrivateKey};

use crate::app;
use crate::config::{Config, Reader, VERSION};

/// The address of GitHub's REST API, unless `GITHUB_API_URL` says otherwise.
pub const API_URL: &str = "https://api.github.com";

/// The address of GitHub's pages, unless `GITHUB_WEB_URL` says otherwise.
pub const WEB_URL: &str = "https://github.com";

/// The settings of the GitHub App.
#[derive(Clone)]
pub struct Settings {
    /// What calls to GitHub need.
    pub api: github_client::Config,
    /// The secrets with which GitHub may sign webhooks: the present one, and the previous one while it is
    /// being replaced.
    pub webhook_secrets: Vec<Vec<u8>>,
    /// How often the gateway compares GitHub's list of deliveries with its record, and how old a delivery
    /// must be to count as missing, in ms.
    pub recovery_ms: u64,
}

/// The secret with which the sandbox's GitHub signs; `wrangler.toml` has it for a developer's machine.
const SANDBOX_WEBHOOK_SECRET: &str = "sandbox-webhook-secret";

impl app::Settings for Settings {
    /// A deployment reports every missing setting. Every environment reports a malformed number or key.
    fn read(config: &Config, reader: &mut Reader) -> Self {
        const ID: &str = "GITHUB_APP_ID";
        const KEY: &str = "GITHUB_APP_PRIVATE_KEY";
        const SECRET: &str = "GITHUB_WEBHOOK_SECRET";
        let api_url = reader.url("GITHUB_API_URL", config.environment);
        let web_url = reader.url("GITHUB_WEB_URL", config.environment);
        let webhook_secrets = webhook_secrets(config, reader, SECRET);
        let needed = [
            (SECRET, webhook_secrets.is_empty() && reader.text(SECRET).is_none()),
            (ID, reader.text(ID).is_none()),
            (KEY, reader.text(KEY).is_none()),
            ("GITHUB_APP_SLUG", reader.text("GITHUB_APP_SLUG").is_none()),
            ("GITHUB_CLIENT_ID", reader.text("GITHUB_CLIENT_ID").is_none()),
            ("GITHUB_CLIENT_SECRET", reader.text("GITHUB_CLIENT_SECRET").is_none()),
        ];
        for (name, _) in needed.into_iter().filter(|(_, is_missing)| *is_missing) {
            if config.environment.is_deployed() {
                reader.lacks_secret(name);
            }
        }
        let id = reader.text(ID).and_then(|id| id.parse().ok());
        let key = reader.text(KEY).as_deref().and_then(PrivateKey::parse);
        if reader.text(ID).is_some() && id.is_none() {
            reader.lacks("variable", ID, "must be the number on the settings page of the App");
        }
        if reader.text(KEY).is_some() && key.is_none() {
            reader.lacks("secret", KEY, "must be the private key of the App, as a PEM text");
        }
        let client = || {
            Some(OauthClient {
                slug: reader.text("GITHUB_APP_SLUG")?,
                id: reader.text("GITHUB_CLIENT_ID")?,
                secret: reader.text("GITHUB_CLIENT_SECRET")?,
            })
        };
        let api = github_client::Config {
            api_url: api_url.unwrap_or_else(|| API_URL.to_owned()),
            web_url: web_url.unwrap_or_else(|| WEB_URL.to_owned()),
            user_agent: format!("ChittyConnect/{VERSION}"),
            deadline_ms: config.connection_timeout_ms,
            app: id.zip(key).map(|(id, key)| AppKey { id, key }),
            client: client(),
        };
        Settings {
            api,
            webhook_secrets,
            recovery_ms: reader.number("GITHUB_RECOVERY_SECONDS", 120, 0, 3600) * 1000,
        }
    }
}

/// Reads the secrets by which deliveries are checked: the one in the variable `current`, and the one before it.
fn webhook_secrets(config: &Config, reader: &mut Reader, current: &'static str) -> Vec<Vec<u8>> {
    let mut secrets = Vec::new();
    for name in [current, "GITHUB_WEBHOOK_SECRET_PREVIOUS"] {
        match reader.text(name) {
            // Everybody knows this secret, so anybody could sign with it.
            Some(secret)
                if config.environment.is_deployed() && secret == SANDBOX_WEBHOOK_SECRET =>
            {
                let problem =
                    "is the sandbox's secret in wrangler.toml, which everybody knows; not used";
                reader.lacks("secret", name, problem);
            }
            secret => secrets.extend(secret.map(String::into_bytes)),
        }
    }
    secrets
}

impl fmt::Debug for Settings {
    /// No secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("api", &self.api)
            .field("webhook_secrets", &self.webhook_secrets.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::settings::tests::settings;

    #[test]
    fn a_deployment_needs_all_settings_of_the_app() {
        let (_, lacking) = settings::<Settings>(&[("ENVIRONMENT", "staging")]);
        let lacking: Vec<_> = lacking.iter().map(|lack| lack.name).collect();
        assert_eq!(
            lacking,
            [
                "GITHUB_WEBHOOK_SECRET",
                "GITHUB_APP_ID",
                "GITHUB_APP_PRIVATE_KEY",
                "GITHUB_APP_SLUG",
                "GITHUB_CLIENT_ID",
                "GITHUB_CLIENT_SECRET",
            ]
        );
        assert_eq!(settings::<Settings>(&[("ENVIRONMENT", "development")]).1, []);
    }

    #[test]
    fn the_sandbox_secret_of_wrangler_toml_is_not_used_in_deployments() {
        const NAME: &str = "GITHUB_WEBHOOK_SECRET";
        let toml = include_str!("../../wrangler.toml");
        let start = format!("{NAME} = \"");
        let mut lines = toml.lines();
        let secret = lines.find_map(|line| line.strip_prefix(&start)?.strip_suffix('"')).unwrap();
        let read =
            |environment| settings::<Settings>(&[("ENVIRONMENT", environment), (NAME, secret)]);
        assert!(!read("development").0.webhook_secrets.is_empty());
        for environment in ["staging", "production", "prod"] {
            let (read, lacking) = read(environment);
            assert!(read.webhook_secrets.is_empty());
            let said: Vec<_> = lacking.iter().filter(|lack| lack.name == NAME).collect();
            assert_eq!(said.len(), 1, "{environment}");
            assert!(said[0].problem.contains("everybody knows"), "{}", said[0].problem);
        }
    }
}
