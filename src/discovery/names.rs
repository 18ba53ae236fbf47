//! The names that a service may have in the catalog.

use crate::access::caller::Permission;
use crate::access::service_name::service_name;
use crate::discovery::endpoint::{is_gateway, is_label, service_at};

/// Names that no entry may have beside the gateway's resources: they are the first segments of its paths.
const RESERVED: [&str; 4] = ["docs", "integrations", "status", "v1"];

/// The name under which the catalog has a service that a caller names: in either form, and in any case.
pub(super) fn key_of(text: &str) -> String {
    service_at(&service_name(text)).to_owned()
}

/// Whether a name, in the form in which names are compared, may be in the catalog. It is a DNS label, so that
/// a shell expands nothing in it, and it is neither this gateway nor a word of the gateway's own paths and
/// scopes.
pub(super) fn is_catalog_name(name: &str) -> bool {
    let is_resource = |permission: &Permission| {
        permission.as_str().split_once(':').is_some_and(|(resource, _)| resource == name)
    };
    is_label(name)
        && !is_gateway(name)
        && !RESERVED.contains(&name)
        && !Permission::ALL.iter().any(is_resource)
}

/// Whether a text can be shown as the name of the service `key`.
pub(super) fn is_shown_name(text: &str, key: &str) -> bool {
    is_label(&text.to_ascii_lowercase()) && key_of(text) == key
}
