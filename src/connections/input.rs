//! Reads the bodies of requests about connections.

use chitty_core::ChittyId;
use http_kit::fields::{Fields, Member};
use http_kit::problem::Problem;

use crate::access::caller::scope_place::ScopePlace;
use crate::access::service_name::{is_service_name, service_name};
use crate::connections::credential::{self, CredentialInput};
use crate::connections::{SCOPES, SOURCE_TYPES, TYPES};
use crate::discovery::endpoint::{
    Endpoint, USUAL_HEALTH_PATH, check_path, is_chittyos, is_gateway,
};

/// The most bytes of `config`.
const MAX_CONFIG_BYTES: usize = 16 * 1024;

/// A connection to be created.
#[derive(Debug)]
pub struct Draft {
    /// The context or the actor.
    pub source: ChittyId,
    /// One of [`SOURCE_TYPES`].
    pub source_type: &'static str,
    /// The name of the service, as [`service_name`] returns it.
    pub target_service: String,
    /// The endpoint; `None` for the usual one of a built-in ChittyOS service.
    pub target_endpoint: Option<Endpoint>,
    /// One of [`TYPES`].
    pub connection_type: &'static str,
    /// Some of [`SCOPES`].
    pub scopes: Vec<&'static str>,
    /// The path that is checked, if any.
    pub check_path: Option<String>,
    /// The text of a JSON object.
    pub config: String,
    /// The credential that was handed in, if any.
    pub credentials: Option<CredentialInput>,
}

impl Draft {
    /// The endpoint to which requests go.
    pub fn endpoint(&self) -> Endpoint {
        let usual = || Endpoint::usual(&self.target_service);
        self.target_endpoint.clone().unwrap_or_else(usual)
    }
}

/// Returns the service of a creation if only ChittyRegistry may know its address: it is not built in, and the
/// body has no endpoint outside ChittyOS for it. Leaves it to [`draft`] to report errors in the body.
pub fn unknown_service(body: &[u8]) -> Option<String> {
    let mut fields = Fields::of(body).ok()?;
    let service = fields.text("target_service", 64).value().filter(|name| is_service_name(name))?;
    let service = service_name(&service);
    let endpoint = fields.text("target_endpoint", 2048).value();
    let is_elsewhere =
        |text: &String| Endpoint::parse(text).is_ok_and(|endpoint| !endpoint.is_of_chittyos());
    let is_known = is_chittyos(&service)
        || is_gateway(&service)
        || endpoint.as_ref().is_some_and(is_elsewhere);
    (!is_known).then_some(service)
}

/// Reads the body of a creation. `registered` is the endpoint that ChittyRegistry lists for the service, if
/// it was asked.
///
/// # Errors
/// 400, 422.
pub fn draft(body: &[u8], now_ms: u64, registered: Option<&Endpoint>) -> Result<Draft, Problem> {
    let mut fields = Fields::of(body)?;
    let source = read_source(&mut fields);
    let source_type = fields.word("source_type", &SOURCE_TYPES);
    let source_type = fields.required("source_type", source_type);
    let service = read_service(&mut fields);
    let endpoint = read_endpoint(&mut fields, &service, registered);
    let to_chittyos = is_chittyos(&service)
        || registered.is_some_and(|one| endpoint.as_ref().is_some_and(|it| it.host == one.host));
    let connection_type = fields.word("connection_type", &TYPES).value().unwrap_or("api");
    let scopes = scopes(&mut fields).unwrap_or_else(|| vec!["read"]);
    let check_path = match read_check_path(&mut fields) {
        Member::Value(path) => Some(path),
        Member::Null => None,
        Member::Absent => to_chittyos.then(|| USUAL_HEALTH_PATH.to_owned()),
    };
    let config = fields.object("config", MAX_CONFIG_BYTES).value();
    let credentials = credential::read(&mut fields, now_ms);
    if credentials == Some(CredentialInput::Provision) && !to_chittyos {
        fields.wrong("credentials", "can be `provisioned` for services of ChittyOS only");
    }
    fields.finish()?;
    match (source, source_type) {
        (Some(source), Some(source_type)) => Ok(Draft {
            source,
            source_type,
            target_service: service,
            target_endpoint: endpoint,
            connection_type,
            scopes,
            check_path,
            config: config.unwrap_or_else(|| "{}".to_owned()),
            credentials,
        }),
        _ => Err(Problem::invalid("", "is incomplete")),
    }
}

fn read_source(fields: &mut Fields<'_>) -> Option<ChittyId> {
    let text = fields.text("source_chitty_id", 128);
    let id = ChittyId::parse(&fields.required("source_chitty_id", text)?).ok();
    if id.is_none() {
        fields.wrong("source_chitty_id", "must be a ChittyID");
    }
    id
}

/// Reads the name of the target, in the form in which names are compared; empty if there is none.
fn read_service(fields: &mut Fields<'_>) -> String {
    let name = fields.text("target_service", 64);
    let name = fields.required("target_service", name).unwrap_or_default();
    if !name.is_empty() && !is_service_name(&name) {
        fields.wrong("target_service", "must be the name of a service, such as `chittycases`");
    }
    let service = service_name(&name);
    if is_gateway(&service) {
        fields.wrong("target_service", "is this gateway itself, to which no connection may lead");
    }
    service
}

/// Reads the endpoint of a connection to `service`. `None` is the usual endpoint of a built-in service.
fn read_endpoint(
    fields: &mut Fields<'_>,
    service: &str,
    registered: Option<&Endpoint>,
) -> Option<Endpoint> {
    let is_built_in = is_chittyos(service);
    if let Member::Value(text) = fields.text("target_endpoint", 2048) {
        return match Endpoint::for_service(service, &text, registered) {
            // A usual endpoint that is spelled out is the same as none.
            Ok(endpoint) if is_built_in && endpoint == Endpoint::usual(service) => None,
            Ok(endpoint) => Some(endpoint),
            Err(detail) => {
                fields.wrong("target_endpoint", detail);
                None
            }
        };
    }
    let is_nowhere = !is_built_in && registered.is_none();
    if !service.is_empty() && is_nowhere && !fields.has_errors() {
        let detail = "is required: neither this gateway nor ChittyRegistry knows a service of that \
                      name";
        fields.wrong("target_endpoint", detail);
    }
    // The connection keeps this endpoint: if the registry lists another one later, the credential does not
    // follow.
    registered.filter(|_| !is_built_in).cloned()
}

fn scopes(fields: &mut Fields<'_>) -> Option<Vec<&'static str>> {
    let asked = ScopePlace::Target.read(fields, "scopes", 1).value()?;
    Some(SCOPES.iter().copied().filter(|scope| asked.iter().any(|one| one == scope)).collect())
}

fn read_check_path(fields: &mut Fields<'_>) -> Member<String> {
    let path = fields.text("check_path", 1024);
    if let Some(path) = path.as_ref() {
        let wrong = match check_path(path) {
            Ok(()) if path.starts_with('/') => None,
            Ok(()) => Some("must begin with a slash"),
            Err(detail) => Some(detail),
        };
        if let Some(detail) = wrong {
            fields.wrong("check_path", detail);
            return Member::Absent;
        }
    }
    path
}

/// A change of a connection: only the members that were sent.
#[derive(Debug, Default)]
pub struct Patch {
    /// Replaces all scopes.
    pub scopes: Option<Vec<&'static str>>,
    /// Replaces the path that is checked; null removes it.
    pub check_path: Member<String>,
    /// Replaces the config.
    pub config: Option<String>,
    /// `active` or `inactive`.
    pub status: Option<&'static str>,
    /// Replaces the credential.
    pub credentials: Option<CredentialInput>,
}

impl Patch {
    /// The names of the members that change, for the event.
    pub fn changed_names(&self) -> Vec<&'static str> {
        let fields = [
            ("scopes", self.scopes.is_some()),
            ("check_path", self.check_path.is_sent()),
            ("config", self.config.is_some()),
            ("status", self.status.is_some()),
            ("credentials", self.credentials.is_some()),
        ];
        fields.into_iter().filter(|(_, sent)| *sent).map(|(name, _)| name).collect()
    }
}

/// Reads the body of a change.
///
/// # Errors
/// 400, 422.
pub fn patch(body: &[u8], now_ms: u64) -> Result<Patch, Problem> {
    let mut fields = Fields::of(body)?;
    for fixed in
        ["source_chitty_id", "source_type", "target_service", "target_endpoint", "connection_type"]
    {
        if fields.has(fixed) {
            fields.wrong(fixed, "cannot be changed: make another connection");
        }
    }
    for name in ["scopes", "config", "credentials"] {
        if fields.any(name) == Member::Null {
            fields.wrong(name, "must not be null: leave it out to keep the present value");
        }
    }
    let status = fields.word("status", &["active", "inactive"]);
    let patch = Patch {
        scopes: scopes(&mut fields),
        check_path: read_check_path(&mut fields),
        config: fields.object("config", MAX_CONFIG_BYTES).value(),
        status: if status.is_sent() { fields.required("status", status) } else { None },
        credentials: credential::read(&mut fields, now_ms),
    };
    if patch.changed_names().is_empty() && !fields.has_errors() {
        fields.wrong("", "needs one of scopes, check_path, config, status, credentials");
    }
    fields.finish()?;
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(more: &str) -> String {
        format!(
            r#"{{"source_chitty_id":"CHITTY-PEO-a","source_type":"actor","target_service":"ChittyCases"{more}}}"#
        )
    }

    #[test]
    fn a_connection_needs_its_source_and_its_target() {
        let made = draft(with("").as_bytes(), 0, None).unwrap();
        assert_eq!(made.target_service, "cases");
        assert_eq!(made.endpoint().to_string(), "https://cases.chitty.cc");
        assert_eq!(
            (made.scopes.as_slice(), made.check_path.as_deref()),
            (&["read"][..], Some("/health"))
        );
        let none =
            draft(with(r#","check_path":null,"scopes":["write","read"]"#).as_bytes(), 0, None)
                .unwrap();
        assert_eq!((none.scopes.as_slice(), none.check_path), (&["read", "write"][..], None));
        for bad in [
            "{}".to_owned(),
            with(r#","target_endpoint":"https://id.chitty.cc""#),
            with(r#","scopes":["admin"]"#),
            with(r#","scopes":[]"#),
            with(r#","check_path":"health""#),
            with(r#","check_path":"/../x""#),
            with(r#","config":[]"#),
            with(r#","connection_type":"tunnel""#),
            with("").replace("ChittyCases", "github"),
            with("").replace("ChittyCases", "api"),
            with(r#","target_endpoint":"https://a.example""#)
                .replace("ChittyCases", "ChittyConnect"),
            with(r#","target_endpoint":"https://a.example""#).replace("ChittyCases", "mcp"),
            with(r#","target_endpoint":"https://a.example","credentials":{"type":"provisioned"}"#)
                .replace("ChittyCases", "github"),
        ] {
            assert!(draft(bad.as_bytes(), 0, None).is_err(), "{bad}");
        }
        assert!(patch(br#"{"target_endpoint":"https://a.example"}"#, 0).is_err());
        assert!(patch(b"{}", 0).is_err());
        for name in ["scopes", "config", "credentials", "status"] {
            let null = format!(r#"{{"{name}":null,"check_path":"/x"}}"#);
            assert!(patch(null.as_bytes(), 0).is_err(), "{name}");
        }
        assert_eq!(patch(br#"{"check_path":null}"#, 0).unwrap().changed_names(), ["check_path"]);
    }
}
