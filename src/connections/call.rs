//! Calls to targets, and to the servers that issue and revoke credentials for them.

use std::rc::Weak;

use chitty_core::{Service, TransportError};
use seams::outside::{OutsideRequest, OutsideResponse};

use crate::app::{App, Slot};
use crate::discovery::endpoint::{Endpoint, is_chittyos, is_gateway, is_reserved, own_name};
use crate::discovery::{self, Directory};

/// The most bytes of an answer that the gateway reads.
pub const MAX_ANSWER_BYTES: usize = 4 << 20;

/// The error for a URL that the gateway may not call. Nothing was sent to it.
pub const NO_URL: &str = "the gateway may not call this URL";

/// The base of the URLs of a connection's requests.
#[derive(Debug, Clone)]
pub struct Base {
    /// The base itself, without a trailing slash.
    url: String,
    service: Option<Service>,
}

impl Base {
    /// The base of a connection. A ChittyOS service has the URL that this deployment uses for it. In
    /// development, a host with a reserved name is at the sandbox. Every other host is called by its name.
    pub fn of(app: &App, service: &str, endpoint: &Endpoint) -> Self {
        let known = Service::parse(service);
        let origin = match (is_chittyos(service), own_name(service, &endpoint.host)) {
            (true, _) => discovery::origin(app, service, &Directory::of(app).name_of(service)),
            // The name that ChittyRegistry listed when the connection was created.
            (false, Some(name)) => discovery::origin(app, service, name),
            (false, None) => outside(app, &endpoint.host),
        };
        let url = format!("{}{}", origin.trim_end_matches('/'), endpoint.path);
        Base { url, service: known.filter(|_| is_chittyos(service)) }
    }

    /// The base of a URL that a caller handed in with a credential; `None` if the gateway may not call it.
    pub fn of_url(app: &App, url: &str) -> Option<Self> {
        let endpoint = Endpoint::for_credential(url).ok().filter(|it| !is_closed(app, "", it))?;
        let origin = outside(app, &endpoint.host);
        Some(Base { url: format!("{origin}{}", endpoint.path), service: None })
    }

    /// Builds a request to a path below the base. `path` begins with a slash or a question mark, or is empty.
    pub fn request(&self, app: &App, method: &str, path: &str) -> OutsideRequest {
        let agent = format!("ChittyConnect/{}", crate::config::VERSION);
        OutsideRequest {
            service: self.service,
            method: method.to_owned(),
            url: format!("{}{path}", self.url),
            headers: vec![("user-agent".to_owned(), agent)],
            body: None,
            deadline_ms: app.config.connection_timeout_ms,
            max_body_bytes: MAX_ANSWER_BYTES,
            share: Weak::new(),
        }
    }
}

/// Whether a connection must not lead to this endpoint: it is this gateway, it is a host of ChittyOS under
/// the name of another service, or it has no host.
pub fn is_closed(app: &App, service: &str, endpoint: &Endpoint) -> bool {
    if is_gateway(service) || endpoint.host.is_empty() {
        return true;
    }
    let own = app.config.public_url.split("://").nth(1).unwrap_or_default();
    let own = own.split(['/', ':']).next().unwrap_or_default();
    if is_chittyos(service) {
        return false;
    }
    let is_foreign = endpoint.is_of_chittyos() && own_name(service, &endpoint.host).is_none();
    is_foreign || endpoint.host.eq_ignore_ascii_case(own)
}

fn outside(app: &App, host: &str) -> String {
    match &app.config.outside_url_template {
        Some(template) if is_reserved(host) => template.replace("{host}", host),
        _ => format!("https://{host}"),
    }
}

/// Sends a form (RFC 6749 appendix B) to a URL that was handed in with a credential.
///
/// # Errors
/// If there is no answer; [`NO_URL`] if the gateway may not call the URL.
pub async fn post_form(
    app: &App,
    url: &str,
    client: (&str, Option<&str>),
    form: &[(&str, &str)],
) -> Result<OutsideResponse, TransportError> {
    let base =
        Base::of_url(app, url).ok_or_else(|| TransportError::Unreachable(NO_URL.to_owned()))?;
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    let mut request = base.request(app, "POST", "");
    let (id, secret) = client;
    match secret {
        // RFC 6749 §2.3.1: id and secret are each form-encoded, then sent as user and password.
        Some(secret) => {
            let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let credential = crate::connections::credential::Credential::Basic {
                username: encode(id),
                password: encode(secret),
            };
            request.headers.extend(credential.header());
        }
        None => {
            body.append_pair("client_id", id);
        }
    }
    let form_type = "application/x-www-form-urlencoded".to_owned();
    request.headers.push(("content-type".to_owned(), form_type));
    request.headers.push(("accept".to_owned(), "application/json".to_owned()));
    request.body = Some(body.finish().into_bytes());
    app.outside.send(request).await
}
