//! Keys that ChittyAuth makes for connections.
//!
//! A key carries at most what its maker holds, ends with the credential by which it was made, and is
//! used only while that is good. When it has ended, whoever uses the connection and holds as much has
//! another made in its place, which then stands on that caller.

use chitty_core::ProvisionRequest;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{DbError, Params, Statement};
use seams::{ids, time};
use serde_json::json;

use crate::access::caller::standing::{among, carried_above, cutoff, source_is_good, vouched};
use crate::access::caller::{Grant, Scope, scopes};
use crate::access::service_name::service_name;
use crate::app::App;
use crate::connections::intents::{self, Intent, NewCredential};
use crate::connections::secrets;
use crate::connections::store::Link;
use crate::store::event::{Event, EventKind};
use crate::store::{Ready, outbox};

/// The services that make identities and credentials: a key for one of them is an administrator's.
pub const CORE_SERVICES: [&str; 6] = ["auth", "id", "mint", "registry", "register", "certify"];

/// The longest life of a key, and the shortest that is worth making, in ms: 90 days and a minute.
pub const LIFE_MS: std::ops::RangeInclusive<u64> = 60_000..=90 * 24 * 3_600_000;

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
    let asked: Vec<String> =
        scopes.iter().map(|scope| format!("{service}:{}", scope.as_ref())).collect();
    grant_of(ready, scope, &asked, now_ms).await
}

/// As much of the caller's authority as a key that ChittyAuth is to make was asked to get. The scopes are
/// those of services, `{service}:{what}`.
///
/// # Errors
/// Those of [`grant`].
pub async fn grant_of(
    ready: Ready<'_>,
    scope: &Scope,
    asked: &[String],
    now_ms: u64,
) -> Result<Grant, Problem> {
    scope.first_hand(ready).await?;
    if asked.iter().any(|one| is_of_core_service(one)) {
        scope.demanding_admin().check(ready).await?;
    }
    let grant = match Grant::of(scope).narrowed(asked) {
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

fn is_of_core_service(scope: &str) -> bool {
    let service = scope.split_once(':').map_or(scope, |(service, _)| service);
    CORE_SERVICES.contains(&service_name(service).as_str())
}

/// Has ChittyAuth make a key, on record before it is asked. `id` is the connection or the context that
/// gets it.
///
/// # Errors
/// 503 where it does not.
pub async fn make(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    id: &str,
    (source, service): (&str, &str),
    grant: &Grant,
) -> Result<NewCredential, Problem> {
    let left_ms = grant.ends_ms().unwrap_or_default().saturating_sub(app.now_ms());
    let wanted = ProvisionRequest {
        chitty_id: source.to_owned(),
        scopes: grant.scopes().to_vec(),
        service: service.to_owned(),
        expires_in_s: Some((left_ms / 1000).max(1)),
        idempotency_key: None,
    };
    intents::provision(app, ready, &request.session(&app.core), id, wanted).await
}

/// A key that may not be used, or not for this.
struct UnusableKey {
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
) -> Result<Option<UnusableKey>, DbError> {
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
            Ok(Some(UnusableKey { version: row.integer(1)?, source: row.text(2)? }))
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
/// not, another is made by the caller's authority. Returns the event that tells so.
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
) -> Result<Option<Event>, Problem> {
    let Some(ended) = ended(ready, link, needed, request.now_ms).await? else { return Ok(None) };
    let grant = grant(ready, scope, &link.service, &link.scopes, request.now_ms).await;
    let grant = grant.map_err(|problem| match problem.code {
        Code::InsufficientScope | Code::DelegatedCredential => Problem::new(
            problem.code,
            "The key of this connection has ended with the credential by which it was made. Use the \
             connection once by a credential of yours that holds as much at the service.",
        ),
        _ => problem,
    })?;
    let of = (ended.source.as_str(), link.service.as_str());
    let made = make(app, ready, request, &link.id, of, &grant).await?;
    let sealed = secrets::seal(app, &link.id, &made.credential)?;
    let Some(intent) = made.intent else { return Ok(None) };
    let payload = json!({ "changes": ["credentials"] });
    let kind = EventKind::ConnectionUpdated;
    let event = Event::caused(request, scope, kind, &link.id, payload, app.now_ms());
    let is_taken = replace(app, ready, &event, &ended, &sealed.text, &grant, &intent).await?;
    // What was not written must not be announced: it would be taken for true.
    Ok(is_taken.then_some(event))
}

/// Puts a new key in place of the one that has ended. Of the two the one that is not kept is revoked:
/// the new one, where the connection is gone, another request was faster, or its intent has been taken
/// back. Returns whether the new one is kept.
async fn replace(
    app: &App,
    ready: Ready<'_>,
    event: &Event,
    ended: &UnusableKey,
    sealed: &str,
    grant: &Grant,
    intent: &Intent,
) -> Result<bool, Problem> {
    let (now_ms, source) = (app.now_ms(), grant.source());
    let id = event.entity_id.as_str();
    let mut params = Params::default();
    let (row, version) = (params.add(id), params.add(ended.version));
    let (revocation, now) = (params.add(ids::event(now_ms)), params.add(time::iso8601(now_ms)));
    let open = intent.is_open(&mut params);
    let give_up = params.statement(format!(
        "INSERT INTO credential_revocations (id, connection_id, sealed, due_at, created_at) \
         SELECT {revocation}, connection_id, sealed, {now}, {now} FROM connection_secrets \
         WHERE connection_id = {row} AND version = {version} AND {open}"
    ));
    let mut params = Params::default();
    let (row, version) = (params.add(id), params.add(ended.version));
    let open = intent.is_open(&mut params);
    let values = [
        ("sealed", params.add(sealed)),
        ("source_actor", params.add(source.actor.as_str())),
        ("source_token", params.add(source.token.as_deref())),
        ("source_secret", params.add(source.secret.as_deref())),
        ("source_scopes", params.add(serde_json::json!(source.scopes).to_string())),
        ("key_expires_at", params.add(grant.ends_ms().map(time::iso8601))),
    ];
    let set: String = values.iter().map(|(name, at)| format!("{name} = {at}, ")).collect();
    let put = params.statement(format!(
        "UPDATE connection_secrets SET {set}version = version + 1 \
         WHERE connection_id = {row} AND version = {version} AND {open} RETURNING 1 AS taken"
    ));
    let fulfilled = intent.fulfilled_by(id, sealed);
    let told = rekeyed_row(event, app.config.outbox_overdue_ms, sealed);
    let results = ready.db().batch(vec![give_up, put, fulfilled, told]).await;
    let is_taken = matches!(&results, Ok(rows) if rows.get(1).is_some_and(|rows| !rows.is_empty()));
    if !is_taken {
        // It does nothing where the batch took place and its answer was lost.
        intent.abandon(app, ready, Some(sealed)).await;
    }
    results.map(|_| is_taken).map_err(Problem::from)
}

/// The row of the event that a connection has another credential, written only if the batch has put that
/// there: `sealed`, as it is stored.
fn rekeyed_row(event: &Event, overdue_ms: u64, sealed: &str) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM connection_secrets WHERE connection_id = ?4 \
         AND sealed = ?11)";
    outbox::insert_if(event, overdue_ms, condition).bind(sealed)
}
