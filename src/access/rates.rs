//! Rate limits in requests a minute: the classes of requests that are counted separately, and their limits.

use serde::Deserialize;

use crate::access::quota_kind::{QuotaKind, QuotaOverrides};
use crate::app::Settings;
use crate::config::{Config, Reader};

/// A class of requests, with a limit and a count of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Requests that change nothing; per actor.
    Read,
    /// Requests that change something; per actor.
    Write,
    /// Requests that may mint a ChittyID; per actor.
    Mint,
    /// Validations of delegated tokens; per address.
    Validate,
    /// Webhooks; per address.
    Webhook,
    /// Credentials that the isolate does not know yet; per address.
    Authenticate,
    /// Steps of installing the GitHub App, each of which costs calls to GitHub; per address.
    Install,
    /// Questions about single services, which need no credential; per address.
    Public,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 8] = [
        Class::Read,
        Class::Write,
        Class::Mint,
        Class::Validate,
        Class::Webhook,
        Class::Authenticate,
        Class::Install,
        Class::Public,
    ];

    /// The class's name in headers and in `RATE_LIMIT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Write => "write",
            Class::Mint => "mint",
            Class::Validate => "validate",
            Class::Webhook => "webhook",
            Class::Authenticate => "authenticate",
            Class::Install => "install",
            Class::Public => "public",
        }
    }
}

/// Requests a minute, in the order of [`Class::ALL`]; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates(pub [u32; 8]);

impl Settings for Rates {
    fn read(_: &Config, reader: &mut Reader) -> Self {
        let rates = [
            ("RATE_LIMIT_READ", 1200),
            ("RATE_LIMIT_WRITE", 300),
            ("RATE_LIMIT_MINT", 60),
            ("RATE_LIMIT_VALIDATE", 300),
            ("RATE_LIMIT_WEBHOOK", 6000),
            ("RATE_LIMIT_AUTHENTICATE", 600),
            ("RATE_LIMIT_INSTALL", 60),
            ("RATE_LIMIT_PUBLIC", 600),
        ];
        Rates(rates.map(|(name, usual)| reader.small_number(name, usual, 0, 100_000)))
    }
}

impl Rates {
    /// The limit of a class, in requests a minute; 0 is no limit.
    pub fn of_class(self, class: Class) -> u32 {
        let index = Class::ALL.iter().position(|one| *one == class).unwrap_or_default();
        self.0.get(index).copied().unwrap_or_default()
    }
}

/// The limits that an operator has set for an actor, in `RATE_LIMIT` under `actor:<ChittyID>`:
/// requests a minute by class, and quotas by kind, such as `{"read":5000,"mint":10,"keys":500}`.
/// For a class or kind that is not named, the usual limit applies; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Overrides {
    read: Option<u32>,
    write: Option<u32>,
    mint: Option<u32>,
    #[serde(flatten)]
    quotas: QuotaOverrides,
}

impl Overrides {
    /// The actor's limit of a class in requests a minute, if the operator has set one.
    pub fn rate(&self, class: Class) -> Option<u32> {
        match class {
            Class::Read => self.read,
            Class::Write => self.write,
            Class::Mint => self.mint,
            Class::Validate
            | Class::Webhook
            | Class::Authenticate
            | Class::Install
            | Class::Public => None,
        }
    }

    /// The actor's quota of a kind, if the operator has set one.
    pub fn quota(&self, kind: QuotaKind) -> Option<u32> {
        self.quotas.of(kind)
    }
}
