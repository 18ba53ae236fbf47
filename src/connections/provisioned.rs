//! Keys that ChittyAuth makes for connections.
//!
//! A key carries at most what its maker holds, ends with the credential by which it was made, and is
//! used only while that is good. When it has ended, whoever uses the connection and holds as much has
//! another made in its place, which then stands on that caller.

use chitty_core::ProvisionRequest;

use crate::app::App;
use crate::connections::credential::Credential;
use crate::connections::secrets;
use crate::connections::store::Link;
use crate::http::caller::standing::{among, carried_above, cutoff, source_is_good, vouched};
use crate::http::caller::{Grant, Scope, scopes};
use crate::http::problem::{Code, Problem};
use crate::http::request::Request;
use crate::init::Ready;
use crate::platform::db::{DbError, Params, Statement};
use crate::platform::{ids, time};

/// The services that make identities and credentials: a key for one of them is an administrator's.
pub const CORE_SERVICES: [&str; 6] = ["auth", "id", "mint", "registry", "register", "certify"];

/// The longest life of a key, and the shortest that is worth making, in ms: 90 days and a minute.
const LIFE_MS: std::ops::RangeInclusive<u64> = 60_000..=90 * 24 * 3_600_000;

/// What of the caller's authority the key of a connection gets: `{service}:{scope}` for each scope of
/// the connection.
///
/// # Errors
/// 403 where the caller does not hold it, or by a credential that cannot have one made; storage
/// failures.
pub async fn grant(
    ready: Ready<'_>,
    scope: &Scope,
    service: &str,
    scopes: &[impl AsRef<str>],
    now_ms: u64,
) -> Result<Grant, Problem> {
    scope.first_hand(ready).await?;
    if CORE_SERVICES.contains(&service) {
        scope.demanding_admin().check(ready).await?;
    }
    let asked: Vec<String> =
        scopes.iter().map(|scope| format!("{service}:{}", scope.as_ref())).collect();
    let grant = match Grant::of(scope).narrowed(&asked) {
        Ok(grant) => grant.confirmed(ready, scope).await?.until(now_ms + LIFE_MS.end()),
        Err(more) => return Err(scope.lacking(ready, &more).await),
    };
    if grant.ends_ms().is_some_and(|ends_ms| ends_ms < now_ms + LIFE_MS.start()) {
        return Err(Problem::new(
            Code::DelegatedCredential,
            "Your own credential ends within a minute, and the key would end with it. Use another.",
        ));
    }
    Ok(grant)
}

/// Has ChittyAuth make a key.
///
/// # Errors
/// 503 where it does not.
pub async fn make(
    app: &App,
    request: &Request<'_>,
    source: &str,
    service: &str,
    grant: &Grant,
) -> Result<Credential, Problem> {
    let left_ms = grant.ends_ms().unwrap_or_default().saturating_sub(app.now_ms());
    let wanted = ProvisionRequest {
        chitty_id: source.to_owned(),
        scopes: grant.scopes().to_vec(),
        service: service.to_owned(),
        expires_in_s: Some((left_ms / 1000).max(1)),
        idempotency_key: None,
    };
    let made = request.session(app).auth().provision_key(&wanted).await.map_err(|error| {
        Problem::upstream(
            Code::CredentialUnavailable,
            "ChittyAuth did not make a key, so nothing was stored. Repeat the request.",
            &error,
        )
    })?;
    Ok(Credential::Provisioned { key: made.secret, key_id: made.id })
}

/// A key that may not be used, or not for this.
struct Ended {
    /// Of its row.
    version: i64,
    /// The source of its connection.
    source: String,
}

/// The key of a connection, if ChittyAuth made it and it may not be used for `needed` (`read` or
/// `write`) at this moment.
async fn ended(
    ready: Ready<'_>,
    link: &Link,
    needed: &str,
    now_ms: u64,
) -> Result<Option<Ended>, DbError> {
    if !link.is_provisioned {
        return Ok(None);
    }
    let mut params = Params::default();
    let id = params.add(link.id.as_str());
    let needs = params.add(scopes::granting(&format!("{}:{needed}", link.service)));
    let (now, cutoff) = (params.add(time::iso8601(now_ms)), params.add(cutoff(now_ms)));
    let query = params.statement(format!(
        "SELECT k.source_actor IS NULL OR (k.key_expires_at > {now} AND {} \
         AND (({} AND {} AND {}) OR {})) AS stands, k.version, c.source_chitty_id \
         FROM connection_secrets AS k JOIN connections AS c ON c.connection_id = k.connection_id \
         WHERE k.connection_id = {id}",
        source_is_good(&now, "''"),
        among("k.source_scopes", &needs),
        vouched("k.source_actor", &needs, &cutoff),
        carried_above(&needs),
        among("(SELECT capabilities FROM actors AS a WHERE a.chitty_id = k.source_actor)", &needs),
    ));
    match ready.db().rows(query).await?.into_iter().next() {
        Some(mut row) if row.integer(0)? != 1 => {
            Ok(Some(Ended { version: row.integer(1)?, source: row.text(2)? }))
        }
        _ => Ok(None),
    }
}

/// Whether the credential of a connection may be shown to its target by nobody's request: a key of
/// ChittyAuth's only while what it stands on is good.
///
/// # Errors
/// Storage failures.
pub async fn stands(ready: Ready<'_>, link: &Link, now_ms: u64) -> Result<bool, DbError> {
    let needed = link.scopes.first().map_or("read", String::as_str);
    Ok(ended(ready, link, needed, now_ms).await?.is_none())
}

/// Sees to it that the key of a connection may be used for `needed`: where the one that is there may
/// not, another is made by the caller's authority.
///
/// # Errors
/// 403 where the caller does not hold as much; 503 where ChittyAuth makes none; storage failures.
pub async fn see_to(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    request: &Request<'_>,
    link: &Link,
    needed: &str,
) -> Result<(), Problem> {
    let Some(ended) = ended(ready, link, needed, request.now_ms).await? else { return Ok(()) };
    let grant = grant(ready, scope, &link.service, &link.scopes, request.now_ms).await;
    let grant = grant.map_err(|problem| match problem.code {
        Code::InsufficientScope | Code::DelegatedCredential => Problem::new(
            problem.code,
            "The key of this connection has ended with the credential by which it was made. Use the \
             connection once by a credential of yours that holds as much at the service.",
        ),
        _ => problem,
    })?;
    let made = make(app, request, &ended.source, &link.service, &grant).await?;
    let sealed = secrets::seal(app, &link.id, &made)?;
    replace(app, ready, &link.id, ended.version, &sealed.text, &grant).await
}

/// Puts a new key in place of the one that has ended. Of the two the one that is not kept is revoked:
/// the new one, where the connection is gone or another request was faster.
async fn replace(
    app: &App,
    ready: Ready<'_>,
    id: &str,
    version: i64,
    sealed: &str,
    grant: &Grant,
) -> Result<(), Problem> {
    let now_ms = app.now_ms();
    let source = grant.source();
    let give_up = Statement::new(
        "INSERT INTO credential_revocations (id, connection_id, sealed, due_at, created_at) \
         SELECT ?1, connection_id, sealed, ?4, ?4 FROM connection_secrets \
         WHERE connection_id = ?2 AND version = ?3",
    )
    .bind(ids::event(now_ms))
    .bind(id)
    .bind(version)
    .bind(time::iso8601(now_ms));
    let put = Statement::new(
        "UPDATE connection_secrets SET sealed = ?3, source_actor = ?4, source_token = ?5, \
         source_secret = ?6, source_scopes = ?7, key_expires_at = ?8, version = version + 1 \
         WHERE connection_id = ?1 AND version = ?2 RETURNING 1 AS taken",
    )
    .bind(id)
    .bind(version)
    .bind(sealed)
    .bind(source.actor.as_str())
    .bind(source.token.as_deref())
    .bind(source.secret.as_deref())
    .bind(serde_json::json!(source.scopes).to_string())
    .bind(grant.ends_ms().map(time::iso8601));
    let results = ready.db().batch(vec![give_up, put]).await?;
    if results.into_iter().nth(1).is_none_or(|rows| rows.is_empty()) {
        secrets::abandon(app, ready, id, sealed).await;
    }
    Ok(())
}
