//! Configuration: every variable, secret and binding, read and checked once per isolate.
//!
//! Reading never fails. The configuration lists each missing or invalid value as a deficiency, the
//! gateway runs on the default if there is one, and `GET /health` shows the list: a gateway that reports
//! what it lacks is more useful than one that does not start. `docs/operations.md` holds the same table
//! for operators.

mod reader;

use std::collections::BTreeMap;
use std::rc::Rc;

use chitty_core::signing::SigningKey;
use chitty_core::{Service, ServiceToken};
use seams::limiter::Step;
use serde::Serialize;

pub use self::reader::Reader;
use crate::sealing::Sealer;

/// The version that `/health` and the header `User-Agent` show.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the runtime has bound to a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// Nothing.
    Absent,
    /// A variable or a secret.
    Text(String),
    /// A resource: a database, a namespace, a queue.
    Resource,
}

/// Looks up a variable, a secret or a binding by its name.
pub type Lookup = Rc<dyn Fn(&str) -> Binding>;

/// Where this gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// On a developer's machine, beside the sandbox.
    Development,
    /// `connect-staging.chitty.cc`
    Staging,
    /// `connect.chitty.cc`
    Production,
}

impl Environment {
    /// The name, as in the variable `ENVIRONMENT`.
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

/// A variable, secret or binding that is missing or invalid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deficiency {
    /// The name of the variable, secret or binding.
    pub name: &'static str,
    /// `binding`, `secret` or `variable`.
    pub kind: &'static str,
    /// What is wrong and what to do.
    pub problem: String,
}

/// The checked values that the whole gateway uses. A value that only one folder uses is in that folder's
/// settings ([`crate::app::Settings`]).
pub struct Config {
    /// Where this gateway runs.
    pub environment: Environment,
    /// The URL of this gateway, without a trailing slash. The gateway registers itself with it.
    pub public_url: String,
    /// The URL template of the services; see [`chitty_core::CoreConfig::url_template`].
    pub service_url_template: String,
    /// The URLs of single services, which replace the template.
    pub service_urls: BTreeMap<Service, String>,
    /// The URL template of hosts with reserved names (`*.example`, `*.test`): the sandbox, in development
    /// only.
    pub outside_url_template: Option<String>,
    /// Deadline of one call to the target of a connection, in ms.
    pub connection_timeout_ms: u32,
    /// How long an isolate keeps a positive answer about a token, in ms; 0 to 60,000.
    pub auth_cache_ms: u64,
    /// Deadline of one upstream call, retries included, in ms.
    pub upstream_timeout_ms: u32,
    /// The fewest calls to a service within ten seconds by which its breaker judges it; 0 switches
    /// breakers off.
    pub breaker_min_calls: usize,
    /// How long after its change an event becomes overdue, in ms. The sweep announces overdue events again.
    pub outbox_overdue_ms: u64,
    /// Bearer tokens for the services.
    pub service_tokens: BTreeMap<Service, ServiceToken>,
    /// The key that signs calls to the services, if there is one.
    pub signing_key: Option<SigningKey>,
    /// Seals secrets at rest.
    pub sealer: Sealer,
    /// The missing and invalid values of this configuration. Each folder lists those of its own settings.
    pub deficiencies: Vec<Deficiency>,
    look_up: Lookup,
}

/// The resources that every environment requires.
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

/// The name of the binding to a service that is a Worker of the same account.
pub fn service_binding(service: Service) -> String {
    service.as_str().to_ascii_uppercase()
}

impl Config {
    /// Reads and checks everything, through `look_up`.
    pub fn read(look_up: Lookup) -> Self {
        let mut reader = Reader::new(Rc::clone(&look_up));
        let environment = environment(&mut reader);
        for name in RESOURCES.into_iter().chain(Step::ALL.map(Step::binding)) {
            reader.resource(name);
        }
        if environment.is_deployed() {
            reader.resource("AI");
        }
        let mut service_tokens = BTreeMap::new();
        let mut service_urls = BTreeMap::new();
        for &service in Service::ALL {
            if let Some(url) = reader.url(service.url_variable(), environment) {
                service_urls.insert(service, url);
            }
            let tokens = service.token_variables();
            if let Some(token) = tokens.iter().find_map(|name| reader.text(name)) {
                service_tokens.insert(service, ServiceToken::from(token));
            } else if service.needs_token() && environment.is_deployed() {
                reader.lacks_secret(tokens.first().copied().unwrap_or_default());
            }
        }
        let public_url = public_url(&mut reader, environment);
        Config {
            environment,
            public_url,
            outside_url_template: outside_url_template(&mut reader, environment),
            connection_timeout_ms: reader.small_number(
                "CONNECTION_TIMEOUT_MS",
                10_000,
                100,
                30_000,
            ),
            service_url_template: service_url_template(&mut reader, environment),
            auth_cache_ms: reader.number("AUTH_CACHE_SECONDS", 60, 0, 60) * 1000,
            upstream_timeout_ms: reader.small_number("UPSTREAM_TIMEOUT_MS", 5000, 100, 30_000),
            breaker_min_calls: usize::try_from(reader.number("BREAKER_MIN_CALLS", 10, 0, 100))
                .unwrap_or(10),
            outbox_overdue_ms: reader.number("OUTBOX_OVERDUE_SECONDS", 60, 0, 3600) * 1000,
            service_urls,
            service_tokens,
            signing_key: signing_key(&mut reader),
            sealer: sealer(&mut reader, environment),
            deficiencies: reader.into_deficiencies(),
            look_up,
        }
    }

    /// Returns a reader for the settings of one folder.
    pub fn reader(&self) -> Reader {
        Reader::new(Rc::clone(&self.look_up))
    }
}

/// The URL of this gateway; without the variable, the usual one of its environment.
fn public_url(reader: &mut Reader, environment: Environment) -> String {
    const NAME: &str = "PUBLIC_URL";
    let usual = match environment {
        Environment::Development => "http://localhost:8787",
        Environment::Staging => "https://connect-staging.chitty.cc",
        Environment::Production => "https://connect.chitty.cc",
    };
    reader.url(NAME, environment).unwrap_or_else(|| usual.to_owned())
}

/// Reads `id:secret`. The secret has at least 32 bytes.
fn signing_key(reader: &mut Reader) -> Option<SigningKey> {
    const NAME: &str = "REQUEST_SIGNING_KEY";
    let text = reader.text(NAME)?;
    match text.split_once(':') {
        Some((id, secret)) if !id.is_empty() && secret.len() >= 32 => {
            Some(SigningKey { id: id.to_owned(), secret: secret.as_bytes().to_vec() })
        }
        _ => {
            reader.lacks("secret", NAME, "must be id:secret, the secret at least 32 bytes long");
            None
        }
    }
}

fn sealer(reader: &mut Reader, environment: Environment) -> Sealer {
    const NAME: &str = "SEALING_KEYS";
    let given = reader.text(NAME);
    match given.as_deref().map(Sealer::parse) {
        Some(Some(sealer)) if !environment.is_deployed() => return sealer,
        Some(Some(sealer)) => {
            return sealer.without_development_key().unwrap_or_else(|others| {
                let problem = "contains the development key of wrangler.toml, which is public, so \
                               that key is not used: make another, see docs/operations.md";
                reader.lacks("secret", NAME, problem);
                others
            });
        }
        Some(None) => {
            let problem = "must be id:key, the key in base64 of 32 bytes; commas separate several";
            reader.lacks("secret", NAME, problem);
        }
        None if environment.is_deployed() => reader.lacks_secret(NAME),
        None => {}
    }
    Sealer::default()
}

fn environment(reader: &mut Reader) -> Environment {
    match reader.text("ENVIRONMENT").as_deref() {
        Some("development") => Environment::Development,
        Some("staging") => Environment::Staging,
        Some("production") => Environment::Production,
        // Production is the strictest: nothing that is for development only may work by accident.
        _ => {
            let problem = "must be development, staging or production; running as production";
            reader.lacks("variable", "ENVIRONMENT", problem);
            Environment::Production
        }
    }
}

fn service_url_template(reader: &mut Reader, environment: Environment) -> String {
    const NAME: &str = "SERVICE_URL_TEMPLATE";
    const REAL: &str = "https://{name}.chitty.cc";
    let Some(given) = reader.text(NAME) else { return REAL.to_owned() };
    let given = given.trim_end_matches('/');
    let secure = given.starts_with("https://");
    let sound = given.contains("{name}") && (secure || given.starts_with("http://"));
    if sound && (secure || !environment.is_deployed()) {
        return given.to_owned();
    }
    // The sandbox, or any unencrypted host, must never stand in for a real service.
    reader.lacks("variable", NAME, format!("must be an https URL with {{name}}; using {REAL}"));
    REAL.to_owned()
}

/// The URL template of hosts with reserved names. Only development has one, so that nothing stands in
/// for a real host.
fn outside_url_template(reader: &mut Reader, environment: Environment) -> Option<String> {
    const NAME: &str = "OUTSIDE_URL_TEMPLATE";
    let given = reader.text(NAME)?;
    if environment.is_deployed() {
        reader.lacks("variable", NAME, "is for development only; ignored");
        return None;
    }
    if given.starts_with("http://") && given.contains("{host}") {
        return Some(given.trim_end_matches('/').to_owned());
    }
    reader.lacks("variable", NAME, "must be an http URL with {host}; ignored");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Config {
        let pairs: Vec<_> =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Config::read(Rc::new(move |name| {
            if RESOURCES.contains(&name) || Step::ALL.iter().any(|step| step.binding() == name) {
                return Binding::Resource;
            }
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map_or(Binding::Absent, |(_, value)| Binding::Text(value.clone()))
        }))
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
                "SEALING_KEYS",
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
            ("REQUEST_SIGNING_KEY", "k:short"),
        ]);
        assert_eq!(config.service_urls[&Service::Id], "https://id.example");
        assert!(!config.service_urls.contains_key(&Service::Dna));
        assert_eq!(config.service_tokens[&Service::Auth].secret, "older");
        for name in ["CHITTYDNA_SERVICE_URL", "REQUEST_SIGNING_KEY"] {
            assert!(lacking(&config).contains(&name), "{name}");
        }
        assert_eq!(service_binding(Service::Id), "CHITTYID");
    }

    #[test]
    fn the_development_key_of_wrangler_toml_seals_nothing_elsewhere() {
        let toml = include_str!("../wrangler.toml");
        let start = "SEALING_KEYS = \"";
        let mut lines = toml.lines();
        let key = lines.find_map(|line| line.strip_prefix(start)?.strip_suffix('"')).unwrap();
        let here = read(&[("ENVIRONMENT", "development"), ("SEALING_KEYS", key)]);
        assert!(here.sealer.is_ready());
        for environment in ["staging", "production", "prod"] {
            let config = read(&[("ENVIRONMENT", environment), ("SEALING_KEYS", key)]);
            assert!(!config.sealer.is_ready());
            let said: Vec<_> =
                config.deficiencies.iter().filter(|lack| lack.name == "SEALING_KEYS").collect();
            assert_eq!(said.len(), 1);
            assert!(said[0].problem.contains("which is public"), "{}", said[0].problem);
        }
    }

    #[test]
    fn invalid_values_fall_back_to_defaults_and_are_listed() {
        let config = read(&[
            ("ENVIRONMENT", "prod"),
            ("AUTH_CACHE_SECONDS", "61"),
            ("UPSTREAM_TIMEOUT_MS", "soon"),
            ("OUTBOX_OVERDUE_SECONDS", "0"),
        ]);
        assert_eq!(config.environment, Environment::Production);
        assert_eq!((config.auth_cache_ms, config.upstream_timeout_ms), (60_000, 5000));
        assert_eq!(config.outbox_overdue_ms, 0);
        for name in ["ENVIRONMENT", "AUTH_CACHE_SECONDS", "UPSTREAM_TIMEOUT_MS"] {
            assert!(lacking(&config).contains(&name), "{name}");
        }
        let nothing = Config::read(Rc::new(|_| Binding::Absent));
        assert!(lacking(&nothing).contains(&"DB"));
    }
}
