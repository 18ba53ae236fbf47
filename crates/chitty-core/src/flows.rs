//! The predefined flows: register a user, and register a user with a canonical record.

use serde_json::{Map, Value, json};

use crate::operation::Operation;
use crate::saga::{Facts, Flow, InputError, Step};
use crate::services::identity::EntityLabel;

/// Registers a user: identity → token → registry → sign of life. Takes `email` and, optionally,
/// `role` ([`ROLES`], `user` by default). The program, but no user, may add `expires_in_s`, the lifetime
/// of the token, and `until` (ISO-8601), the time after which no token is made.
pub static USER_REGISTRATION: Flow = Flow {
    name: "user-registration",
    steps: &[MINT, TOKEN, REGISTER, BEACON_REGISTERED],
    members: &MEMBERS,
    check,
};

/// Makes a secure user: identity → canonical record → token → registry → sign of life. Takes the same
/// input as [`USER_REGISTRATION`].
pub static SECURE_USER: Flow = Flow {
    name: "secure-user",
    steps: &[MINT, RECORD, TOKEN, REGISTER, BEACON_CREATED],
    members: &MEMBERS,
    check,
};

/// The predefined flows.
pub static FLOWS: [&Flow; 2] = [&USER_REGISTRATION, &SECURE_USER];

/// The roles: the name of each, and the scopes of its token.
pub const ROLES: [(&str, &[&str]); 3] =
    [("viewer", &["read"]), ("user", &["read", "write"]), ("admin", &["read", "write", "admin"])];

/// The longest e-mail address, in bytes (RFC 5321 §4.5.3.1.3, less its brackets).
const MAX_EMAIL_BYTES: usize = 254;

const MINT: Step = Step {
    name: "mint",
    run: |facts| Operation::MintIdentity {
        label: EntityLabel::Person,
        // The authority stores this beside the id, so it must not contain the e-mail address.
        metadata: json!({ "service": "chittyconnect", "role": role(facts) }),
        timestamp: facts.started_at.to_owned(),
    },
    // A mint cannot be undone. An entry in the record says that the identity is unused, so that the
    // authority can retire it.
    compensate: |facts| {
        let id = facts.result("mint", "chitty_id");
        (!id.is_empty()).then(|| Operation::Append {
            action: "identity.orphaned".to_owned(),
            actor: id.to_owned(),
            entity_id: id.to_owned(),
            entity_type: "identity".to_owned(),
            timestamp: facts.started_at.to_owned(),
            payload: json!({ "reason": "orchestration" }),
        })
    },
    recognises_repeats: false,
    optional: false,
};

const RECORD: Step = Step {
    name: "canon",
    run: |facts| Operation::CreateRecord {
        record: json!({
            "type": "user",
            "chittyId": facts.result("mint", "chitty_id"),
            "email": facts.input("email"),
        }),
    },
    compensate: |facts| {
        let id = facts.result("canon", "canon_id");
        (!id.is_empty()).then(|| Operation::RemoveRecord { id: id.to_owned() })
    },
    recognises_repeats: true,
    optional: false,
};

const TOKEN: Step = Step {
    name: "token",
    run: |facts| Operation::ProvisionToken {
        chitty_id: facts.result("mint", "chitty_id").to_owned(),
        scopes: role_scopes(role(facts)),
        service: "chittyconnect".to_owned(),
        expires_in_s: facts.input.get("expires_in_s").and_then(Value::as_u64),
        until: facts.input.get("until").and_then(Value::as_str).map(str::to_owned),
    },
    compensate: |facts| {
        let id = facts.result("token", "token_id");
        (!id.is_empty()).then(|| Operation::RevokeToken {
            token_id: id.to_owned(),
            token: facts.result("token", "token").to_owned(),
            reason: "the registration was not completed".to_owned(),
        })
    },
    recognises_repeats: true,
    optional: false,
};

const REGISTER: Step = Step {
    name: "register",
    run: |facts| {
        let id = facts.result("mint", "chitty_id");
        let mut more = Map::new();
        more.insert("type".to_owned(), "user".into());
        // Everybody can read this, so it must not contain the e-mail address.
        more.insert("metadata".to_owned(), json!({ "type": "user", "chitty_id": id }));
        Operation::Register {
            name: format!("user-{id}"),
            description: "A user of the ChittyOS ecosystem".to_owned(),
            more,
        }
    },
    // The name is known even if the answer to the registration was lost.
    compensate: |facts| {
        Some(Operation::SetStatus {
            name: format!("user-{}", facts.result("mint", "chitty_id")),
            status: "deprecated".to_owned(),
        })
    },
    recognises_repeats: true,
    optional: false,
};

const BEACON_REGISTERED: Step = Step {
    name: "beacon",
    run: |facts| Operation::SendBeacon {
        event: "user_registered".to_owned(),
        data: json!({
            "chittyId": facts.result("mint", "chitty_id"),
            "timestamp": facts.started_at,
        }),
    },
    compensate: |_| None,
    recognises_repeats: false,
    optional: true,
};

const BEACON_CREATED: Step = Step {
    name: "beacon",
    run: |facts| Operation::SendBeacon {
        event: "user_created".to_owned(),
        data: json!({
            "chittyId": facts.result("mint", "chitty_id"),
            "role": role(facts),
            "timestamp": facts.started_at,
        }),
    },
    compensate: |_| None,
    recognises_repeats: false,
    optional: true,
};

fn role(facts: Facts<'_>) -> &str {
    role_of(facts.input)
}

/// Returns the role that an input asks for, `user` by default.
pub fn role_of(input: &Value) -> &str {
    input.get("role").and_then(Value::as_str).unwrap_or("user")
}

/// Returns the scopes of a role's token; none for an unknown role.
pub fn role_scopes(role: &str) -> Vec<String> {
    let found = ROLES.iter().find(|(name, _)| *name == role);
    found
        .map(|(_, scopes)| scopes.iter().map(|scope| (*scope).to_owned()).collect())
        .unwrap_or_default()
}

/// The members that an input may have.
const MEMBERS: [&str; 2] = ["email", "role"];

fn check(input: &Value) -> Vec<InputError> {
    let mut errors = Vec::new();
    let Some(members) = input.as_object() else {
        return vec![InputError { pointer: "", detail: "must be a JSON object" }];
    };
    if !members.get("email").and_then(Value::as_str).is_some_and(is_email) {
        errors.push(InputError { pointer: "/email", detail: "must be an e-mail address" });
    }
    let known = |role: &str| ROLES.iter().any(|(name, _)| *name == role);
    match members.get("role") {
        None => {}
        Some(Value::String(role)) if known(role) => {}
        Some(_) => {
            errors.push(InputError { pointer: "/role", detail: "must be viewer, user or admin" });
        }
    }
    errors
}

/// Whether the text has the form of an e-mail address: something, `@`, a host with a dot, without
/// blanks and control characters. This does not tell whether the address receives mail.
fn is_email(text: &str) -> bool {
    let Some((local, host)) = text.rsplit_once('@') else { return false };
    text.len() <= MAX_EMAIL_BYTES
        && !local.is_empty()
        && host.contains('.')
        && !host.starts_with('.')
        && !host.ends_with('.')
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_checked_by_its_members() {
        let wrong = |input: Value| -> Vec<&str> {
            check(&input).into_iter().map(|error| error.pointer).collect()
        };
        assert!(wrong(json!({"email": "a@b.c"})).is_empty());
        assert!(wrong(json!({"email": "a@b.c", "role": "viewer"})).is_empty());
        for email in
            [json!(7), json!(""), json!("a"), json!("@b.c"), json!("a@b"), json!("a b@c.d")]
        {
            assert_eq!(wrong(json!({ "email": email })), ["/email"]);
        }
        assert_eq!(wrong(json!({"email": "a@b.c", "role": "root"})), ["/role"]);
        assert_eq!(wrong(json!([])), [""]);
    }
}
