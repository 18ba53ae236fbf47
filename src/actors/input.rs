//! The rules for the request bodies about actors.

use http_kit::fields::{Fields, Member};
use http_kit::problem::Problem;

use crate::access::caller::scope_place::ScopePlace;
use crate::access::caller::scopes;
use crate::actors::{STATUSES, TYPES};

/// The most characters of an e-mail address (RFC 5321 §4.5.3.1.3).
const MAX_EMAIL_CHARS: usize = 254;

/// The most characters of a link to an avatar.
const MAX_URL_CHARS: usize = 2048;

/// The description that an actor gives of itself.
#[derive(Debug, Default)]
pub struct Profile {
    /// The name that others see.
    pub display_name: Member<String>,
    /// Only the actor and administrators see it.
    pub email: Member<String>,
    /// An https URL.
    pub avatar_url: Member<String>,
}

impl Profile {
    fn read(fields: &mut Fields<'_>) -> Self {
        let display_name = match fields.name("display_name") {
            Member::Value(name) => Member::Value(name.text().to_owned()),
            Member::Null => Member::Null,
            Member::Absent => Member::Absent,
        };
        let email = fields.text("email", MAX_EMAIL_CHARS);
        if email.as_ref().is_some_and(|email| !is_email(email)) {
            fields.wrong("email", "must be an e-mail address");
        }
        let avatar_url = fields.text("avatar_url", MAX_URL_CHARS);
        if avatar_url.as_ref().is_some_and(|url| !is_https(url)) {
            fields.wrong("avatar_url", "must be an https URL");
        }
        Profile { display_name, email, avatar_url }
    }
}

/// A registration.
#[derive(Debug)]
pub struct Registration {
    /// One of [`TYPES`].
    pub actor_type: &'static str,
    /// The rest of the body.
    pub profile: Profile,
}

/// A change of an actor.
#[derive(Debug)]
pub struct Patch {
    /// The changes to its description of itself.
    pub profile: Profile,
    /// The new status, which only an administrator can set.
    pub status: Option<&'static str>,
}

/// Reads a registration. Capabilities come from ChittyAuth and from administrators: naming one that
/// is `held` changes nothing, and naming any other is refused.
///
/// # Errors
/// 400, 422.
pub fn registration(body: &[u8], held: &[String]) -> Result<Registration, Problem> {
    let mut fields = Fields::of(body)?;
    let actor_type = fields.word("actor_type", &TYPES);
    let actor_type = fields.required("actor_type", actor_type);
    let profile = Profile::read(&mut fields);
    if let Some(asked) = ScopePlace::Credential.read(&mut fields, "capabilities", 0).value()
        && let Some(more) = asked.iter().find(|scope| !scopes::holds(held, scope))
    {
        let detail = format!("you do not hold {more}: ChittyAuth or an administrator grants it");
        fields.wrong("capabilities", detail);
    }
    fields.finish()?;
    Ok(Registration { actor_type: actor_type.unwrap_or_default(), profile })
}

/// Reads a change.
///
/// # Errors
/// 400, 422.
pub fn patch(body: &[u8]) -> Result<Patch, Problem> {
    let mut fields = Fields::of(body)?;
    let profile = Profile::read(&mut fields);
    let status = fields.word("status", &STATUSES);
    let status = if status.is_sent() { fields.required("status", status) } else { None };
    if fields.has("capabilities") {
        fields.wrong(
            "capabilities",
            "are granted by an administrator, with PUT /v1/actors/{id}/capabilities",
        );
    }
    let nothing = status.is_none()
        && ![&profile.display_name, &profile.email, &profile.avatar_url]
            .iter()
            .any(|field| field.is_sent());
    if nothing && !fields.has_errors() {
        fields.wrong("", "needs one of display_name, email, avatar_url, status");
    }
    fields.finish()?;
    Ok(Patch { profile, status })
}

/// Reads the capabilities that an administrator grants.
///
/// # Errors
/// 400, 422.
pub fn capabilities(body: &[u8]) -> Result<Vec<String>, Problem> {
    let mut fields = Fields::of(body)?;
    let granted = ScopePlace::Credential.read(&mut fields, "capabilities", 0);
    let granted = fields.required("capabilities", granted);
    fields.finish()?;
    Ok(granted.unwrap_or_default())
}

/// Whether a text has a mailbox before an `@` and a host after it. Whether mail arrives there is not checked.
fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(mailbox, host)| {
        !mailbox.is_empty()
            && !text.contains(char::is_whitespace)
            && !mailbox.contains('@')
            && host.split('.').count() > 1
            && host.split('.').all(|label| !label.is_empty())
    })
}

/// An https URL of visible characters, with a host.
fn is_https(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(|rest| {
        !rest.starts_with(['/', '?', '#'])
            && !rest.is_empty()
            && rest.chars().all(|c| c.is_ascii_graphic() && !"<>\"\\".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_an_actor_may_send_about_itself() {
        let held = ["read".to_owned()];
        let good = br#"{"actor_type":"ai","display_name":"A","email":"a@b.example","capabilities":["contexts:read"]}"#;
        assert_eq!(registration(good, &held).unwrap().actor_type, "ai");
        for bad in [
            "{}",
            r#"{"actor_type":"robot"}"#,
            r#"{"actor_type":"ai","capabilities":["admin"]}"#,
            r#"{"actor_type":"ai","email":"nobody"}"#,
            r#"{"actor_type":"ai","email":"a@b"}"#,
            r#"{"actor_type":"ai","avatar_url":"javascript:alert(1)"}"#,
            r#"{"actor_type":"ai","avatar_url":"http://x.example/a"}"#,
            r#"{"actor_type":"ai","display_name":"a\u0000"}"#,
            r#"{"actor_type":"ai","display_name":"\u200b"}"#,
        ] {
            assert!(registration(bad.as_bytes(), &held).is_err(), "{bad}");
        }
        assert!(patch(b"{}").is_err());
        assert!(patch(br#"{"capabilities":[]}"#).is_err());
        assert!(patch(br#"{"status":null}"#).is_err());
        assert_eq!(patch(br#"{"email":null}"#).unwrap().profile.email, Member::Null);
        assert!(capabilities(br#"{"capabilities":[]}"#).unwrap().is_empty());
    }
}
