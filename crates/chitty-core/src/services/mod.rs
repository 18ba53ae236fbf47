//! The clients, one file a service: its paths, its shapes and its quirks.

mod answers;
pub(crate) mod auth;
pub(crate) mod beacon;
pub(crate) mod canon;
pub(crate) mod certify;
pub(crate) mod chat;
pub(crate) mod chronicle;
pub(crate) mod dna;
pub(crate) mod identity;
pub(crate) mod register;
pub(crate) mod registry;
pub(crate) mod verify;

use self::auth::AuthClient;
use self::beacon::BeaconClient;
use self::canon::CanonClient;
use self::certify::CertifyClient;
use self::chat::ChatClient;
use self::chronicle::ChronicleClient;
use self::dna::DnaClient;
use self::identity::IdClient;
use self::register::RegisterClient;
use self::registry::RegistryClient;
use self::verify::VerifyClient;
use crate::session::Session;

macro_rules! clients {
    ($($(#[doc = $doc:literal])+ $name:ident: $client:ident;)+) => {
        impl Session {
            $($(#[doc = $doc])+ pub fn $name(&self) -> $client<'_> { $client { session: self } })+
        }
    };
}

clients! {
    /// ChittyID: mints and validates identities.
    id: IdClient;
    /// ChittyAuth: tokens and keys.
    auth: AuthClient;
    /// ChittyRegistry: the list of services.
    registry: RegistryClient;
    /// ChittyRegister: adds services to the registry.
    register: RegisterClient;
    /// ChittyDNA: an entity's lineage.
    dna: DnaClient;
    /// ChittyVerify.
    verify: VerifyClient;
    /// ChittyCertify.
    certify: CertifyClient;
    /// ChittyChronicle: the record of what happened.
    chronicle: ChronicleClient;
    /// Beacon: signs of life.
    beacon: BeaconClient;
    /// Canon: canonical data.
    canon: CanonClient;
    /// Chat.
    chat: ChatClient;
}
