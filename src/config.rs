//! Configuration: every variable, secret and binding, read and checked once per isolate.
//!
//! Reading never fails. What is missing or senseless is listed, the gateway runs on the default
//! where there is one, and `GET /health` shows the list: a gateway that says what it lacks beats one
//! that does not start. `docs/operations.md` holds the same table for operators.

use std::collections::BTreeMap;

use chitty_core::connection::ConnectionConfig;
use chitty_core::signing::SigningKey;
use chitty_core::{Service, ServiceToken};
use seams::limiter::Step;
use serde::Serialize;

use crate::github::private_key::PrivateKey;
use crate::github::settings as github;
use crate::http::caller::jwt::Expectation;
use crate::http::limits::Rates;
use crate::http::quota::Quotas;
use crate::sealing::Sealer;

/// The version that `/health` and the `User-Agent` name.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the runtime has under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// Nothing.
    Absent,
    /// A variable or a secret.
    Text(String),
    /// A resource: a database, a namespace, a queue.
    Resource,
}

/// Where this gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On somebody's machine, beside the sandbox.
    Development,
    /// `connect-staging.chitty.cc`
    Staging,
    /// `connect.chitty.cc`
    Production,
}

impl Environment {
    /// Its name, as in the variable `ENVIRONMENT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Environment::Development => "development",
            Environment::Staging => "staging",
            Environment::Production => "production",
        }
    }

    /// Whether real callers and real services are involved.
    pub fn is_deployed(self) -> bool {
        self != Environment::Development
    }
}

/// A name that should be there and is not, or holds something senseless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deficiency {
    /// The variable, secret or binding.
    pub name: &'static str,
    /// `binding`, `secret` or `variable`.
    pub kind: &'static str,
    /// What is wrong and what to do.
    pub problem: String,
}

/// The checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where this gateway runs.
    pub environment: Environment,
    /// Where this gateway is, without a trailing slash: what it registers itself with.
    pub public_url: String,
    /// Where the services are; see [`chitty_core::CoreConfig::url_template`].
    pub service_url_template: String,
    /// Where single services are instead.
    pub service_urls: BTreeMap<Service, String>,
    /// Where hosts of reserved names (`*.example`, `*.test`) are: the sandbox, in development only.
    pub outside_url_template: Option<String>,
    /// What is expected of a JWT.
    pub jwt: Expectation,
    /// Requests a minute, by class.
    pub rates: Rates,
    /// How much an actor may have, by kind.
    pub quotas: Quotas,
    /// How long a replaced secret of an API key goes on working, in ms.
    pub key_grace_ms: u64,
    /// How often the cron checks a connection, in ms.
    pub connection_check_ms: u64,
    /// How many of the newest entries of the audit are kept in the database.
    pub audit_keep_entries: i64,
    /// Deadline of one call to the target of a connection, in ms.
    pub connection_timeout_ms: u32,
    /// How long a positive answer about a token is kept, in ms; 0 to 60,000.
    pub auth_cache_ms: u64,
    /// Deadline of one upstream call, retries included, in ms.
    pub upstream_timeout_ms: u32,
    /// How many calls to a service within ten seconds its breaker judges; 0 switches breakers off.
    pub breaker_min_calls: usize,
    /// How long after its change an event is overdue, in ms: the sweep then sends it again.
    pub outbox_overdue_ms: u64,
    /// How the connections to the services are watched and taken up again.
    pub connection: ConnectionConfig,
    /// How long an isolate gathers before it hands over what it has counted, in ms; 0 is never.
    pub handover_ms: u64,
    /// What `GET /metrics` asks for, if it asks.
    pub metrics_token: Option<String>,
    /// Bearer tokens for the services.
    pub service_tokens: BTreeMap<Service, ServiceToken>,
    /// With which key calls to the services are signed, if they are.
    pub signing_key: Option<SigningKey>,
    /// Seals secrets at rest.
    pub sealer: Sealer,
    /// The GitHub App.
    pub github: github::Settings,
    /// How often GitHub's list of deliveries is compared with the record, and how long a delivery may be
    /// on its way before it is missed, in ms.
    pub github_recovery_ms: u64,
    /// Whether the gateway registers itself with ChittyRegister.
    pub auto_register: bool,
    /// What is missing or senseless.
    pub deficiencies: Vec<Deficiency>,
}

/// Resources that every environment has.
const RESOURCES: [&str; 9] = [
    "DB",
    "CHITTYCONNECT_KV",
    "TOKEN_KV",
    "API_KEYS",
    "RATE_LIMIT",
    "IDEMP_KV",
    "CONTEXT_OPS_QUEUE",
    "EVENT_Q",
    "SERVICE_CONNECTION",
];

/// What the sandbox's GitHub signs with, as `wrangler.toml` has it for a developer's machine.
const SANDBOX_WEBHOOK_SECRET: &str = "sandbox-webhook-secret";

/// What is set of each service: the variable that moves it elsewhere, the names under which its token
/// may be found (the first that is set counts; the ecosystem has had several), and whether a deployed
/// gateway needs one.
const SERVICE_SETTINGS: [(Service, &str, &[&str], bool); 12] = [
    (
        Service::Id,
        "CHITTYID_SERVICE_URL",
        &["CHITTY_ID_SERVICE_TOKEN", "CHITTYAUTH_ISSUED_ID_TOKEN", "CHITTY_ID_TOKEN"],
        true,
    ),
    (
        Service::Mint,
        "CHITTYMINT_SERVICE_URL",
        &["CHITTYAUTH_ISSUED_MINT_TOKEN", "MINT_API_KEY", "CHITTY_ID_TOKEN"],
        false,
    ),
    (
        Service::Auth,
        "CHITTYAUTH_SERVICE_URL",
        &["CHITTY_AUTH_SERVICE_TOKEN", "CHITTY_AUTH_TOKEN"],
        true,
    ),
    (Service::Registry, "CHITTYREGISTRY_SERVICE_URL", &["CHITTY_REGISTRY_TOKEN"], false),
    (Service::Register, "CHITTYREGISTER_SERVICE_URL", &["CHITTY_REGISTER_TOKEN"], false),
    (Service::Dna, "CHITTYDNA_SERVICE_URL", &["CHITTY_DNA_TOKEN"], true),
    (Service::Verify, "CHITTYVERIFY_SERVICE_URL", &["CHITTY_VERIFY_TOKEN"], true),
    (Service::Certify, "CHITTYCERTIFY_SERVICE_URL", &["CHITTY_CERTIFY_TOKEN"], true),
    (Service::Chronicle, "CHITTYCHRONICLE_SERVICE_URL", &["CHITTY_CHRONICLE_TOKEN"], true),
    (Service::Beacon, "CHITTYBEACON_SERVICE_URL", &["BEACON_TOKEN"], false),
    (Service::Canon, "CHITTYCANON_SERVICE_URL", &["CHITTY_CANON_TOKEN"], false),
    (Service::Chat, "CHITTYCHAT_SERVICE_URL", &["CHITTY_CHAT_API_KEY"], false),
];

/// The name of the binding by which a service is reached when it is a Worker of the same account.
pub fn service_binding(service: Service) -> String {
    service.as_str().to_ascii_uppercase()
}

impl Config {
    /// Reads and checks everything, through `lookup`.
    pub fn read(lookup: &dyn Fn(&str) -> Binding) -> Self {
        let mut reader = Reader { lookup, deficiencies: Vec::new() };
        let environment = reader.environment();
        for name in RESOURCES.into_iter().chain(Step::ALL.map(Step::binding)) {
            reader.resource(name);
        }
        if environment.is_deployed() {
            reader.resource("AI");
        }
        let mut service_tokens = BTreeMap::new();
        let mut service_urls = BTreeMap::new();
        for (service, url, tokens, required) in SERVICE_SETTINGS {
            if let Some(url) = reader.url(url, environment) {
                service_urls.insert(service, url);
            }
            if let Some(token) = tokens.iter().find_map(|name| reader.text(name)) {
                service_tokens.insert(service, ServiceToken::from(token));
            } else if required && environment.is_deployed() {
                reader.lacks_secret(tokens.first().copied().unwrap_or_default());
            }
        }
        let auto_register = reader.switch("REGISTRY_AUTO_REGISTER");
        if auto_register
            && environment.is_deployed()
            && !service_tokens.contains_key(&Service::Register)
        {
            reader.lacks_secret("CHITTY_REGISTER_TOKEN");
        }
        let public_url = reader.public_url(environment);
        Config {
            environment,
            jwt: reader.jwt(&public_url),
            public_url,
            outside_url_template: reader.outside_url_template(environment),
            rates: reader.rates(),
            quotas: reader.quotas(),
            key_grace_ms: reader.number("KEY_GRACE_SECONDS", 86_400, 0, 604_800) * 1000,
            connection_timeout_ms: u32::try_from(reader.number(
                "CONNECTION_TIMEOUT_MS",
                10_000,
                100,
                30_000,
            ))
            .unwrap_or(10_000),
            connection_check_ms: reader.number("CONNECTION_CHECK_SECONDS", 300, 1, 86_400) * 1000,
            audit_keep_entries: i64::try_from(reader.number(
                "AUDIT_KEEP_ENTRIES",
                1_000_000,
                1000,
                4_000_000,
            ))
            .unwrap_or(1_000_000),
            service_url_template: reader.service_url_template(environment),
            auth_cache_ms: reader.number("AUTH_CACHE_SECONDS", 60, 0, 60) * 1000,
            upstream_timeout_ms: u32::try_from(reader.number(
                "UPSTREAM_TIMEOUT_MS",
                5000,
                100,
                30_000,
            ))
            .unwrap_or(5000),
            breaker_min_calls: usize::try_from(reader.number("BREAKER_MIN_CALLS", 10, 0, 100))
                .unwrap_or(10),
            outbox_overdue_ms: reader.number("OUTBOX_OVERDUE_SECONDS", 60, 0, 3600) * 1000,
            connection: reader.connection(),
            handover_ms: reader.number("HANDOVER_SECONDS", 3, 0, 20) * 1000,
            metrics_token: reader.metrics_token(environment),
            service_urls,
            service_tokens,
            signing_key: reader.signing_key(),
            sealer: reader.sealer(environment),
            github: reader.github(environment),
            github_recovery_ms: reader.number("GITHUB_RECOVERY_SECONDS", 120, 0, 3600) * 1000,
            auto_register,
            deficiencies: reader.deficiencies,
        }
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Binding,
    deficiencies: Vec<Deficiency>,
}

impl Reader<'_> {
    fn lacks(&mut self, kind: &'static str, name: &'static str, problem: impl Into<String>) {
        self.deficiencies.push(Deficiency { name, kind, problem: problem.into() });
    }

    fn text(&self, name: &str) -> Option<String> {
        match (self.lookup)(name) {
            Binding::Text(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => None,
        }
    }

    fn resource(&mut self, name: &'static str) {
        if (self.lookup)(name) != Binding::Resource {
            self.lacks("binding", name, "not bound: add it to wrangler.toml and deploy again");
        }
    }

    fn lacks_secret(&mut self, name: &'static str) {
        self.lacks("secret", name, format!("not set: run `npx wrangler secret put {name}`"));
    }

    fn switch(&mut self, name: &'static str) -> bool {
        match self.text(name).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.lacks("variable", name, "must be true or false; using false");
                false
            }
        }
    }

    /// Where this gateway is; the address of its environment where nothing is said.
    fn public_url(&mut self, environment: Environment) -> String {
        const NAME: &str = "PUBLIC_URL";
        let usual = match environment {
            Environment::Development => "http://localhost:8787",
            Environment::Staging => "https://connect-staging.chitty.cc",
            Environment::Production => "https://connect.chitty.cc",
        };
        self.url(NAME, environment).unwrap_or_else(|| usual.to_owned())
    }

    /// A URL without a trailing slash; deployed it must be https.
    fn url(&mut self, name: &'static str, environment: Environment) -> Option<String> {
        let given = self.text(name)?;
        let given = given.trim_end_matches('/');
        let secure = given.starts_with("https://");
        if secure || (!environment.is_deployed() && given.starts_with("http://")) {
            return Some(given.to_owned());
        }
        self.lacks("variable", name, "must be an https URL; using the default");
        None
    }

    fn connection(&mut self) -> ConnectionConfig {
        let usual = ConnectionConfig::default();
        let attempts = self.number("MAX_RECONNECT_ATTEMPTS", 0, 0, 1_000_000);
        ConnectionConfig {
            health_check_interval_ms: self.number(
                "HEALTH_CHECK_INTERVAL_MS",
                usual.health_check_interval_ms,
                100,
                3_600_000,
            ),
            check_deadline_ms: self.number(
                "HEALTH_CHECK_TIMEOUT_MS",
                usual.check_deadline_ms,
                100,
                20_000,
            ),
            reconnect_delay_ms: self.number(
                "RECONNECT_DELAY_MS",
                usual.reconnect_delay_ms,
                10,
                60_000,
            ),
            max_reconnect_delay_ms: self.number(
                "MAX_RECONNECT_DELAY_MS",
                usual.max_reconnect_delay_ms,
                10,
                3_600_000,
            ),
            reconnect_multiplier: u32::try_from(self.number(
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

    /// `id:secret`, the secret of at least 32 bytes.
    fn signing_key(&mut self) -> Option<SigningKey> {
        const NAME: &str = "REQUEST_SIGNING_KEY";
        let text = self.text(NAME)?;
        match text.split_once(':') {
            Some((id, secret)) if !id.is_empty() && secret.len() >= 32 => {
                Some(SigningKey { id: id.to_owned(), secret: secret.as_bytes().to_vec() })
            }
            _ => {
                self.lacks("secret", NAME, "must be id:secret, the secret at least 32 bytes long");
                None
            }
        }
    }

    /// Deployed there must be one: what is measured tells who calls what, and how often.
    fn metrics_token(&mut self, environment: Environment) -> Option<String> {
        const NAME: &str = "METRICS_TOKEN";
        let token = self.text(NAME);
        if token.is_none() && environment.is_deployed() {
            self.lacks_secret(NAME);
        }
        token
    }

    fn sealer(&mut self, environment: Environment) -> Sealer {
        const NAME: &str = "SEALING_KEYS";
        let given = self.text(NAME);
        match given.as_deref().map(Sealer::parse) {
            Some(Some(sealer)) if !environment.is_deployed() => return sealer,
            Some(Some(sealer)) => {
                return sealer.without_development_key().unwrap_or_else(|others| {
                    let problem = "holds the development key of wrangler.toml, which everybody knows; \
                                   that key is not used: make another, see docs/operations.md";
                    self.lacks("secret", NAME, problem);
                    others
                });
            }
            Some(None) => self.lacks("secret", NAME, "must be id:base64 of 32 bytes, or several"),
            None if environment.is_deployed() => self.lacks_secret(NAME),
            None => {}
        }
        Sealer::default()
    }

    /// What is set of the GitHub App. Deployed all of it is needed; a key that is none is said so anywhere.
    fn github(&mut self, environment: Environment) -> github::Settings {
        const ID: &str = "GITHUB_APP_ID";
        const KEY: &str = "GITHUB_APP_PRIVATE_KEY";
        const SECRET: &str = "GITHUB_WEBHOOK_SECRET";
        let api_url = self.url("GITHUB_API_URL", environment);
        let web_url = self.url("GITHUB_WEB_URL", environment);
        let mut webhook_secrets: Vec<Vec<u8>> = Vec::new();
        for name in [SECRET, "GITHUB_WEBHOOK_SECRET_PREVIOUS"] {
            match self.text(name) {
                // With it anybody could sign.
                Some(secret) if environment.is_deployed() && secret == SANDBOX_WEBHOOK_SECRET => {
                    let problem =
                        "is the sandbox's of wrangler.toml, which everybody knows; not used";
                    self.lacks("secret", name, problem);
                }
                secret => webhook_secrets.extend(secret.map(String::into_bytes)),
            }
        }
        let needed = [
            (SECRET, webhook_secrets.is_empty() && self.text(SECRET).is_none()),
            (ID, self.text(ID).is_none()),
            (KEY, self.text(KEY).is_none()),
            ("GITHUB_APP_SLUG", self.text("GITHUB_APP_SLUG").is_none()),
            ("GITHUB_CLIENT_ID", self.text("GITHUB_CLIENT_ID").is_none()),
            ("GITHUB_CLIENT_SECRET", self.text("GITHUB_CLIENT_SECRET").is_none()),
        ];
        for (name, _) in needed.into_iter().filter(|(_, is_missing)| *is_missing) {
            if environment.is_deployed() {
                self.lacks_secret(name);
            }
        }
        let id = self.text(ID).and_then(|id| id.parse().ok());
        let key = self.text(KEY).as_deref().and_then(PrivateKey::parse);
        if self.text(ID).is_some() && id.is_none() {
            self.lacks("variable", ID, "must be the number on the settings page of the App");
        }
        if self.text(KEY).is_some() && key.is_none() {
            self.lacks("secret", KEY, "must be the private key of the App, as a PEM text");
        }
        let client = || {
            Some(github::Client {
                slug: self.text("GITHUB_APP_SLUG")?,
                id: self.text("GITHUB_CLIENT_ID")?,
                secret: self.text("GITHUB_CLIENT_SECRET")?,
            })
        };
        github::Settings {
            api_url: api_url.unwrap_or_else(|| github::API_URL.to_owned()),
            web_url: web_url.unwrap_or_else(|| github::WEB_URL.to_owned()),
            webhook_secrets,
            app: id.zip(key).map(|(id, key)| github::AppKey { id, key }),
            client: client(),
        }
    }

    fn environment(&mut self) -> Environment {
        match self.text("ENVIRONMENT").as_deref() {
            Some("development") => Environment::Development,
            Some("staging") => Environment::Staging,
            Some("production") => Environment::Production,
            // The strictest: nothing that is only for development may work by accident.
            _ => {
                let problem = "must be development, staging or production; running as production";
                self.lacks("variable", "ENVIRONMENT", problem);
                Environment::Production
            }
        }
    }

    fn service_url_template(&mut self, environment: Environment) -> String {
        const NAME: &str = "SERVICE_URL_TEMPLATE";
        const REAL: &str = "https://{name}.chitty.cc";
        let Some(given) = self.text(NAME) else { return REAL.to_owned() };
        let given = given.trim_end_matches('/');
        let secure = given.starts_with("https://");
        let sound = given.contains("{name}") && (secure || given.starts_with("http://"));
        if sound && (secure || !environment.is_deployed()) {
            return given.to_owned();
        }
        // The sandbox, or any unencrypted host, must never stand in for a real service.
        self.lacks("variable", NAME, format!("must be an https URL with {{name}}; using {REAL}"));
        REAL.to_owned()
    }

    /// Whom JWTs must come from and whom they must be for.
    fn jwt(&self, public_url: &str) -> Expectation {
        let issuer = self.text("CHITTYAUTH_ISSUER");
        let audiences = match self.text("CHITTYAUTH_AUDIENCE") {
            Some(list) => list.split(',').map(|audience| audience.trim().to_owned()).collect(),
            None => vec!["chittyconnect".to_owned(), public_url.to_owned()],
        };
        Expectation {
            issuer: issuer.unwrap_or_else(|| "https://auth.chitty.cc".to_owned()),
            audiences,
        }
    }

    fn rates(&mut self) -> Rates {
        let rates = [
            ("RATE_LIMIT_READ", 1200),
            ("RATE_LIMIT_WRITE", 300),
            ("RATE_LIMIT_MINT", 60),
            ("RATE_LIMIT_VALIDATE", 300),
            ("RATE_LIMIT_WEBHOOK", 6000),
            ("RATE_LIMIT_AUTHENTICATE", 600),
            ("RATE_LIMIT_INSTALL", 60),
        ];
        Rates(rates.map(|(name, usual)| {
            u32::try_from(self.number(name, usual, 0, 100_000)).unwrap_or_default()
        }))
    }

    fn quotas(&mut self) -> Quotas {
        let quotas = [
            ("QUOTA_CONTEXTS", 250_000),
            ("QUOTA_CONNECTIONS", 2_000),
            ("QUOTA_CHECKED_CONNECTIONS", 500),
            ("QUOTA_KEYS", 500),
            ("QUOTA_DELEGATIONS", 5_000),
            ("QUOTA_IDENTITIES", 100_000),
        ];
        Quotas(quotas.map(|(name, usual)| {
            u32::try_from(self.number(name, usual, 0, 1_000_000)).unwrap_or_default()
        }))
    }

    /// Where hosts of reserved names are. Nothing of the kind may stand in for a real host.
    fn outside_url_template(&mut self, environment: Environment) -> Option<String> {
        const NAME: &str = "OUTSIDE_URL_TEMPLATE";
        let given = self.text(NAME)?;
        if environment.is_deployed() {
            self.lacks("variable", NAME, "is for development only; ignored");
            return None;
        }
        if given.starts_with("http://") && given.contains("{host}") {
            return Some(given.trim_end_matches('/').to_owned());
        }
        self.lacks("variable", NAME, "must be an http URL with {host}; ignored");
        None
    }

    fn number(&mut self, name: &'static str, default: u64, min: u64, max: u64) -> u64 {
        let Some(text) = self.text(name) else { return default };
        match text.parse() {
            Ok(number) if (min..=max).contains(&number) => number,
            _ => {
                let problem = format!("must be a number from {min} to {max}; using {default}");
                self.lacks("variable", name, problem);
                default
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Config {
        Config::read(&|name| {
            if RESOURCES.contains(&name) || Step::ALL.iter().any(|step| step.binding() == name) {
                return Binding::Resource;
            }
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map_or(Binding::Absent, |(_, value)| Binding::Text((*value).to_owned()))
        })
    }

    fn lacking(config: &Config) -> Vec<&str> {
        config.deficiencies.iter().map(|lack| lack.name).collect()
    }

    #[test]
    fn development_needs_nothing_but_its_bindings() {
        let config = read(&[
            ("ENVIRONMENT", "development"),
            ("SERVICE_URL_TEMPLATE", "http://127.0.0.1:8788/{name}/"),
        ]);
        assert_eq!(lacking(&config), Vec::<&str>::new());
        assert_eq!(config.service_url_template, "http://127.0.0.1:8788/{name}");
        assert_eq!(config.auth_cache_ms, 60_000);
    }

    #[test]
    fn a_deployed_gateway_names_what_it_lacks_and_never_uses_a_sandbox() {
        let config = read(&[
            ("ENVIRONMENT", "staging"),
            ("SERVICE_URL_TEMPLATE", "http://127.0.0.1:8788/{name}"),
            ("CHITTY_ID_SERVICE_TOKEN", "t"),
        ]);
        assert_eq!(config.service_url_template, "https://{name}.chitty.cc");
        assert_eq!(
            lacking(&config),
            [
                "AI",
                "CHITTY_AUTH_SERVICE_TOKEN",
                "CHITTY_DNA_TOKEN",
                "CHITTY_VERIFY_TOKEN",
                "CHITTY_CERTIFY_TOKEN",
                "CHITTY_CHRONICLE_TOKEN",
                "SERVICE_URL_TEMPLATE",
                "METRICS_TOKEN",
                "SEALING_KEYS",
                "GITHUB_WEBHOOK_SECRET",
                "GITHUB_APP_ID",
                "GITHUB_APP_PRIVATE_KEY",
                "GITHUB_APP_SLUG",
                "GITHUB_CLIENT_ID",
                "GITHUB_CLIENT_SECRET",
            ]
        );
        assert_eq!(config.service_tokens[&Service::Id].secret, "t");
        assert_eq!(config.public_url, "https://connect-staging.chitty.cc");
    }

    #[test]
    fn a_service_may_be_elsewhere_and_its_token_under_an_older_name() {
        let config = read(&[
            ("ENVIRONMENT", "production"),
            ("CHITTYID_SERVICE_URL", "https://id.example/"),
            ("CHITTYDNA_SERVICE_URL", "http://insecure.example"),
            ("CHITTY_AUTH_TOKEN", "older"),
            ("REGISTRY_AUTO_REGISTER", "true"),
            ("REQUEST_SIGNING_KEY", "k:short"),
        ]);
        assert_eq!(config.service_urls[&Service::Id], "https://id.example");
        assert!(!config.service_urls.contains_key(&Service::Dna));
        assert_eq!(config.service_tokens[&Service::Auth].secret, "older");
        for name in ["CHITTYDNA_SERVICE_URL", "CHITTY_REGISTER_TOKEN", "REQUEST_SIGNING_KEY"] {
            assert!(lacking(&config).contains(&name), "{name}");
        }
        assert_eq!(service_binding(Service::Id), "CHITTYID");
    }

    #[test]
    fn what_wrangler_toml_has_for_a_machine_is_no_secret_elsewhere() {
        let toml = include_str!("../wrangler.toml");
        let value = |name: &str| {
            let start = format!("{name} = \"");
            toml.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix('"')).unwrap()
        };
        let pairs = |environment: &'static str| {
            let names = ["SEALING_KEYS", "GITHUB_WEBHOOK_SECRET"];
            let public = names.map(|name| (name, value(name)));
            [[("ENVIRONMENT", environment)].as_slice(), &public].concat()
        };
        let here = read(&pairs("development"));
        assert!(here.sealer.is_ready() && !here.github.webhook_secrets.is_empty());
        for environment in ["staging", "production", "prod"] {
            let config = read(&pairs(environment));
            assert!(!config.sealer.is_ready() && config.github.webhook_secrets.is_empty());
            for name in ["SEALING_KEYS", "GITHUB_WEBHOOK_SECRET"] {
                let said: Vec<_> =
                    config.deficiencies.iter().filter(|lack| lack.name == name).collect();
                assert_eq!(said.len(), 1, "{name}");
                assert!(said[0].problem.contains("everybody knows"), "{}", said[0].problem);
            }
        }
    }

    #[test]
    fn senseless_values_fall_back_and_are_listed() {
        let config = read(&[
            ("ENVIRONMENT", "prod"),
            ("AUTH_CACHE_SECONDS", "61"),
            ("UPSTREAM_TIMEOUT_MS", "soon"),
            ("OUTBOX_OVERDUE_SECONDS", "0"),
        ]);
        assert_eq!(config.environment, Environment::Production);
        assert_eq!((config.auth_cache_ms, config.upstream_timeout_ms), (60_000, 5000));
        assert_eq!(config.outbox_overdue_ms, 0);
        let multiplier =
            |text| read(&[("RECONNECT_MULTIPLIER", text)]).connection.reconnect_multiplier;
        assert_eq!(["3", "1", "0", "11", "1.5"].map(multiplier), [3, 1, 2, 2, 2]);
        for name in ["ENVIRONMENT", "AUTH_CACHE_SECONDS", "UPSTREAM_TIMEOUT_MS"] {
            assert!(lacking(&config).contains(&name), "{name}");
        }
        let nothing = Config::read(&|_| Binding::Absent);
        assert!(lacking(&nothing).contains(&"DB"));
    }
}
