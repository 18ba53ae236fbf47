//! The ChittyOS services.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! services {
    ($($(#[doc = $doc:literal])+ $variant:ident = $host:literal, $name:literal;)+) => {
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
        }
    };
}

services! {
    /// ChittyID, the identity authority.
    Id = "id", "chittyid";
    /// The mint behind ChittyID, and its fallback host.
    Mint = "mint", "chittymint";
    /// ChittyAuth: tokens and keys.
    Auth = "auth", "chittyauth";
    /// ChittyRegistry: the list of services.
    Registry = "registry", "chittyregistry";
    /// ChittyRegister: adds services to the registry.
    Register = "register", "chittyregister";
    /// ChittyDNA: an entity's lineage.
    Dna = "dna", "chittydna";
    /// ChittyVerify.
    Verify = "verify", "chittyverify";
    /// ChittyCertify.
    Certify = "certify", "chittycertify";
    /// ChittyChronicle: the record of what happened.
    Chronicle = "chronicle", "chittychronicle";
    /// ChittyBeacon: signs of life.
    Beacon = "beacon", "chittybeacon";
    /// ChittyCanon: canonical data.
    Canon = "canon", "chittycanon";
    /// ChittyChat.
    Chat = "chat", "chittychat";
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
        }
        for name in ["", "ID", "chitty", "chittyid ", "trust"] {
            assert_eq!(Service::parse(name), None, "{name}");
        }
    }
}
