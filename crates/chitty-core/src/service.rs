//! The ChittyOS services.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! services {
    ($(
        $(#[doc = $doc:literal])+
        $variant:ident = $host:literal, $name:literal, $url:literal, $tokens:expr, $needed:literal;
    )+) => {
        /// A ChittyOS service that this crate calls. Serialized as its [`host`](Service::host).
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "lowercase")]
        pub enum Service { $($(#[doc = $doc])+ $variant,)+ }

        impl Service {
            /// Every service.
            pub const ALL: &[Service] = &[$(Service::$variant,)+];

            /// The host name below `chitty.cc`.
            pub fn host(self) -> &'static str { match self { $(Service::$variant => $host,)+ } }

            /// The name that people use, such as `chittyid`.
            pub fn as_str(self) -> &'static str { match self { $(Service::$variant => $name,)+ } }

            /// The variable of a deployment that replaces the service's URL.
            pub fn url_variable(self) -> &'static str {
                match self { $(Service::$variant => $url,)+ }
            }

            /// The secrets of a deployment that may hold the token for the service: the first that is set
            /// counts. The ecosystem has used several names.
            pub fn token_variables(self) -> &'static [&'static str] {
                match self { $(Service::$variant => &$tokens,)+ }
            }

            /// Whether a deployment requires the token.
            pub fn needs_token(self) -> bool {
                match self { $(Service::$variant => $needed,)+ }
            }
        }
    };
}

// Each service with its host, its name, the variable for its URL, the secrets for its token, and whether a
// deployment requires the token.
services! {
    /// ChittyID, the identity authority.
    Id = "id", "chittyid", "CHITTYID_SERVICE_URL",
        ["CHITTY_ID_SERVICE_TOKEN", "CHITTYAUTH_ISSUED_ID_TOKEN", "CHITTY_ID_TOKEN"], true;
    /// The mint behind ChittyID, and its fallback host.
    Mint = "mint", "chittymint", "CHITTYMINT_SERVICE_URL",
        ["CHITTYAUTH_ISSUED_MINT_TOKEN", "MINT_API_KEY", "CHITTY_ID_TOKEN"], false;
    /// ChittyAuth: tokens and keys.
    Auth = "auth", "chittyauth", "CHITTYAUTH_SERVICE_URL",
        ["CHITTY_AUTH_SERVICE_TOKEN", "CHITTY_AUTH_TOKEN"], true;
    /// ChittyRegistry: the list of services.
    Registry = "registry", "chittyregistry", "CHITTYREGISTRY_SERVICE_URL",
        ["CHITTY_REGISTRY_TOKEN"], false;
    /// ChittyRegister: adds services to the registry.
    Register = "register", "chittyregister", "CHITTYREGISTER_SERVICE_URL",
        ["CHITTY_REGISTER_TOKEN"], false;
    /// ChittyDNA: an entity's lineage.
    Dna = "dna", "chittydna", "CHITTYDNA_SERVICE_URL", ["CHITTY_DNA_TOKEN"], true;
    /// ChittyVerify.
    Verify = "verify", "chittyverify", "CHITTYVERIFY_SERVICE_URL", ["CHITTY_VERIFY_TOKEN"], true;
    /// ChittyCertify.
    Certify = "certify", "chittycertify", "CHITTYCERTIFY_SERVICE_URL",
        ["CHITTY_CERTIFY_TOKEN"], true;
    /// ChittyChronicle: the record of what happened.
    Chronicle = "chronicle", "chittychronicle", "CHITTYCHRONICLE_SERVICE_URL",
        ["CHITTY_CHRONICLE_TOKEN"], true;
    /// ChittyBeacon: signs of life.
    Beacon = "beacon", "chittybeacon", "CHITTYBEACON_SERVICE_URL", ["BEACON_TOKEN"], false;
    /// ChittyCanon: canonical data.
    Canon = "canon", "chittycanon", "CHITTYCANON_SERVICE_URL", ["CHITTY_CANON_TOKEN"], false;
    /// ChittyChat.
    Chat = "chat", "chittychat", "CHITTYCHAT_SERVICE_URL", ["CHITTY_CHAT_API_KEY"], false;
}

impl Service {
    /// Returns the service of a name in either form: `id` or `chittyid`.
    pub fn parse(name: &str) -> Option<Service> {
        Service::ALL
            .iter()
            .copied()
            .find(|service| [service.host(), service.as_str()].contains(&name))
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_lead_to_a_service_and_no_other_does() {
        for service in Service::ALL {
            assert_eq!(Service::parse(service.host()), Some(*service));
            assert_eq!(Service::parse(service.as_str()), Some(*service));
            assert_eq!(serde_json::to_value(service).unwrap(), service.host());
            let variable = format!("{}_SERVICE_URL", service.as_str().to_ascii_uppercase());
            assert_eq!(service.url_variable(), variable);
            assert!(!service.token_variables().is_empty());
        }
        for name in ["", "ID", "chitty", "chittyid ", "trust"] {
            assert_eq!(Service::parse(name), None, "{name}");
        }
    }
}
