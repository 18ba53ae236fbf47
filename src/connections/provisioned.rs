//! Keys that ChittyAuth makes for connections.
//!
//! A key carries at most the scopes that its maker holds, ends with the credential by which it was made, and
//! is used only while that credential is good. After its end, the next caller who uses the connection and
//! holds the same scopes has another key made in its place, which then depends on the credential of that
//! caller.

use chitty_core::ProvisionRequest;
use http_kit::problem::{Code, Problem};
use http_kit::request::Request;
use seams::db::{DbError, Params, Statement};
use seams::{ids, time};
use serde_json::json;

use crate::access::caller::standing::{among, carried_above, cutoff, source_is_good, vouched};
use crate::access::caller::{Grant, Scope, scopes};
use crate::access::service_name::service_name;
use crate::actors::store::capabilities_sql;
use crate::app::App;
use crate::connections::intents::{self, Intent, NewCredential};
use crate::connections::store::Connection;
use crate::connections::{SCHEDULE_REVOCATION, secrets};
use crate::store::event::{Event, EventKind};
use crate::store::ids::ConnectionId;
use crate::store::{Ready, outbox};

/// The services that make identities and credentials: only an administrator can have a key made for them.
pub const CORE_SERVICES: [&str; 6] = ["auth", "id", "mint", "registry", "register", "certify"];

/// The shortest life for which a key is worth making, and the longest, in ms: a minute and 90 days.
pub const LIFE_MS: std::ops::RangeInclusive<u64> = 60_000..=90 * 24 * 3_600_000;

/// Returns the part of the caller's authority that the key of a connection gets: `{service}:{scope}` for each
/// scope of the connection.
///
/// # Errors
/// 403 if the caller does not hold it, or if the caller's credential cannot have a key made; storage
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

/// Returns the part of the caller's authority that is `asked` for a key of ChittyAuth. The scopes are those
/// of services, `{service}:{what}`.
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
            "Your own credential ends within a minute, and the key would end with it. Use another \
             credential.",
        ));
    }
    Ok(grant)
}

fn is_of_core_service(scope: &str) -> bool {
    let service = scope.split_once(':').map_or(scope, |(service, _)| service);
    CORE_SERVICES.contains(&service_name(service).as_str())
}

/// Has ChittyAuth make a key, and records the intent before that. `entity_id` is the id of the connection or
/// context that gets the key.
///
/// # Errors
/// 503 if ChittyAuth does not make one.
pub async fn make(
    app: &App,
    ready: Ready<'_>,
    request: &Request<'_>,
    entity_id: &str,
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
    intents::provision(app, ready, &request.session(&app.core), entity_id, wanted).await
}

/// A key that may not be used, or not for the scope that is needed.
struct UnusableKey {
    /// Its connection.
    connection: ConnectionId,
    /// The version of its row.
    version: i64,
    /// The source of its connection.
    source: String,
}

/// Returns the key of a connection if ChittyAuth made it and it may not be used for `needed` (`read` or
/// `write`) at this moment.
async fn unusable_key(
    ready: Ready<'_>,
    connection: &Connection,
    needed: &str,
    now_ms: u64,
) -> Result<Option<UnusableKey>, DbError> {
    if !connection.is_provisioned {
        return Ok(None);
    }
    let mut params = Params::default();
    let id = params.add(&connection.id);
    let needs = params.add(scopes::granting(&format!("{}:{needed}", connection.service)));
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
        among(&capabilities_sql("k.source_actor"), &needs),
    ));
    match ready.db().rows(query).await?.into_iter().next() {
        Some(mut row) if !row.flag("stands")? => {
            let (version, source) = (row.integer("version")?, row.text("source_chitty_id")?);
            Ok(Some(UnusableKey { connection: connection.id.clone(), version, source }))
        }
        _ => Ok(None),
    }
}

/// Whether the gateway may send the credential of a connection to its target without a caller's request. It
/// may send a key that ChittyAuth made only while the credential by which that key was made is good.
///
/// # Errors
/// Storage failures.
pub async fn stands(
    ready: Ready<'_>,
    connection: &Connection,
    now_ms: u64,
) -> Result<bool, DbError> {
    let needed = connection.scopes.first().map_or("read", String::as_str);
    Ok(unusable_key(ready, connection, needed, now_ms).await?.is_none())
}

/// Makes sure that the key of a connection may be used for `needed`: if the present one may not, has another
/// made by the caller's authority. Returns the event of that change, if there was one.
///
/// # Errors
/// 403 if the caller does not hold the scopes of the connection; 503 if ChittyAuth makes no key; storage
/// failures.
pub async fn see_to(
    app: &App,
    ready: Ready<'_>,
    scope: &Scope,
    request: &Request<'_>,
    connection: &Connection,
    needed: &str,
) -> Result<Option<Event>, Problem> {
    let Some(ended) = unusable_key(ready, connection, needed, request.now_ms).await? else {
        return Ok(None);
    };
    let grant = grant(ready, scope, &connection.service, &connection.scopes, request.now_ms).await;
    let grant = grant.map_err(|problem| match problem.code {
        Code::InsufficientScope | Code::DelegatedCredential => Problem::new(
            problem.code,
            "The key of this connection has ended with the credential by which it was made. To have \
             another made, use the connection once with a credential that holds its scopes at the \
             service.",
        ),
        _ => problem,
    })?;
    let of = (ended.source.as_str(), connection.service.as_str());
    let id = connection.id.as_str();
    let made = make(app, ready, request, id, of, &grant).await?;
    let sealed = secrets::seal(app, id, &made.credential)?;
    let Some(intent) = made.intent else { return Ok(None) };
    let payload = json!({ "changes": ["credentials"] });
    let kind = EventKind::ConnectionUpdated;
    let event = Event::caused(request, scope, kind, id, payload, app.now_ms());
    let is_taken = replace(app, ready, &event, &ended, &sealed.text, &grant, &intent).await?;
    // An event that was not written must not be announced: its receivers would take it for true.
    Ok(is_taken.then_some(event))
}

/// Puts a new key in place of the one that has ended, and schedules the revocation of the old one. If the
/// connection is gone, another request was faster, or the revocation of the new key has begun, it has the new
/// key revoked instead. Returns whether the new key was stored.
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
    let id = &ended.connection;
    let mut params = Params::default();
    let (row, version) = (params.add(id), params.add(ended.version));
    let (revocation, now) = (params.add(ids::event(now_ms)), params.add(time::iso8601(now_ms)));
    let open = intent.is_open(&mut params);
    let give_up = params.statement(format!(
        "{SCHEDULE_REVOCATION} \
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
    let fulfil = intent.fulfil_replacement(id, sealed);
    let told = rekeyed_row(event, app.config.outbox_overdue_ms, sealed);
    let results = ready.db().batch(vec![give_up, put, fulfil, told]).await;
    let is_taken = matches!(&results, Ok(rows) if rows.get(1).is_some_and(|rows| !rows.is_empty()));
    if !is_taken {
        // This does nothing if the batch took place and only its answer was lost.
        intent.abandon(app, ready, Some(sealed)).await;
    }
    results.map(|_| is_taken).map_err(Problem::from)
}

/// The outbox row of the event that a connection has another credential, written only if the batch has stored
/// that credential. `sealed` is its stored text.
fn rekeyed_row(event: &Event, overdue_ms: u64, sealed: &str) -> Statement {
    let condition = "EXISTS (SELECT 1 FROM connection_secrets WHERE connection_id = ?4 \
         AND sealed = ?12)";
    outbox::insert_if(event, overdue_ms, condition).bind(sealed)
}
