//! The seven steps, in order: what each does, and its result.

use chitty_core::{
    CertificateRequest, ChittyId, EntityLabel, ProvisionRequest, Registration, ServiceError,
    Session,
};
use seams::db::{DbError, Statement};
use seams::time;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::App;
use crate::config::VERSION;
use crate::contexts;
use crate::registration::Results;
use crate::store::event::{Event, EventKind};
use crate::store::minting::MintIntent;
use crate::store::{Ready, outbox};

/// The name of the gateway's own context, and of the gateway in the registry.
const NAME: &str = "chittyconnect";

/// The place of the gateway's own key in `API_KEYS`, to which its seal is bound.
const KEY_PLACE: &str = "service:chittyconnect";

/// A step of the registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Mints an identity. Its result is the ChittyID.
    Mint,
    /// Begins a lineage. Its result is the DNA id.
    Dna,
    /// Has an API key made and stores it sealed. Its result is the key's id.
    Keys,
    /// Registers the gateway, if `REGISTRY_AUTO_REGISTER` is on. Its result is the registered id.
    Register,
    /// Has the gateway verified. Its result is the verification's id and confidence, as JSON.
    Verify,
    /// Has a certificate issued. Its result is the certificate's id.
    Certify,
    /// Writes the event `service.initialized`. Its result is the event's id.
    Log,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Step; 7] =
        [Step::Mint, Step::Dna, Step::Keys, Step::Register, Step::Verify, Step::Certify, Step::Log];

    /// The step's name, as in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Mint => "mint",
            Step::Dna => "dna",
            Step::Keys => "keys",
            Step::Register => "register",
            Step::Verify => "verify",
            Step::Certify => "certify",
            Step::Log => "log",
        }
    }

    /// Parses the name of a step.
    pub fn parse(name: &str) -> Option<Step> {
        Step::ALL.into_iter().find(|step| step.as_str() == name)
    }
}

/// Why a step failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// A stable name for `/health`: the service and the failure.
    pub(crate) name: String,
    /// Details for the log.
    pub(crate) detail: String,
    /// The pause that the service asked for, in seconds.
    pub(crate) retry_after_s: Option<u32>,
}

impl Failure {
    fn new(name: &str, detail: impl Into<String>) -> Self {
        Failure { name: name.to_owned(), detail: detail.into(), retry_after_s: None }
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Failure::new("storage_unavailable", error.to_string())
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Failure {
            name: format!("{}_{}", error.service, error.code()),
            detail: error.to_string(),
            retry_after_s: error.retry_after_s,
        }
    }
}

/// Takes one step and records it. Returns its result.
pub(super) async fn take(
    step: Step,
    app: &App,
    ready: Ready<'_>,
    session: &Session,
    results: &Results,
) -> Result<String, Failure> {
    if step == Step::Mint {
        return mint(app, ready, session).await;
    }
    // The step `mint` comes first and has recorded the id.
    let id = results.get(&Step::Mint).and_then(|id| ChittyId::parse(id).ok());
    let id = id.ok_or_else(|| Failure::new("storage_unavailable", "no valid id is recorded"))?;
    if step == Step::Log {
        return log(app, ready, &id).await;
    }
    let result = match step {
        Step::Dna => {
            let genesis = json!({ "timestamp": time::iso8601(app.now_ms()), "service": NAME, "version": VERSION });
            session.dna().initialize(&id, "context", genesis).await?
        }
        Step::Keys => keys(app, session, &id).await?,
        Step::Register => register(app, session, &id).await?,
        Step::Verify => verify(session, &id, results).await?,
        Step::Certify | Step::Mint | Step::Log => certify(session, &id, results).await?,
    };
    let now = time::iso8601(app.now_ms());
    ready.db().batch(vec![record(step, &result, &now, "OR IGNORE")]).await?;
    Ok(result)
}

fn record(step: Step, result: &str, now: &str, or: &str) -> Statement {
    Statement::new(format!(
        "INSERT {or} INTO registration_steps (step, result, completed_at) VALUES (?1, ?2, ?3)"
    ))
    .bind(step.as_str())
    .bind(result)
    .bind(now)
}

/// Mints the gateway's identity and stores the step and the gateway's own context (which it owns itself) in
/// one batch.
async fn mint(app: &App, ready: Ready<'_>, session: &Session) -> Result<String, Failure> {
    // 1. Record the intent to mint. The gateway itself is the actor, and has no id yet.
    let intent = MintIntent::new(app, "registration", "");
    ready.db().batch(vec![intent.record()]).await?;
    // 2. Have ChittyID mint the identity.
    let metadata = json!({ "name": NAME, "service": NAME, "version": VERSION });
    let id = intent.mint(app, ready, session, EntityLabel::Context, metadata).await?;
    // 3. Store the step, the gateway's own context and the event in one batch.
    let kind = EventKind::ContextCreated;
    let event = Event::new(app.now_ms(), kind, id.as_str(), id.as_str(), json!({}), None);
    let mut batch = vec![record(Step::Mint, id.as_str(), &event.at, "")];
    batch.extend(contexts::store::insert_own(&id, NAME, &event));
    batch.push(outbox::insert(&event, app.config.outbox_overdue_ms));
    batch.push(intent.fulfil());
    match ready.db().batch(batch).await {
        Ok(_) => {
            // 4. Announce the event.
            outbox::announce(app, vec![event]).await;
            Ok(id.as_str().to_owned())
        }
        Err(error) => {
            let kept = super::recorded(ready).await.map(|mut steps| steps.remove(&Step::Mint));
            // A batch without an answer may have been committed. Then the id is in use, not orphaned.
            if !matches!(&kept, Ok(Some(kept)) if kept == id.as_str()) {
                intent.report_orphan(app, ready, &id, "registration").await;
            }
            kept?.ok_or_else(|| error.into())
        }
    }
}

/// Has ChittyAuth make a key and stores it sealed; the step records only the key's id. A crash before the key
/// is stored leaves a key that nobody has; the idempotency key lets ChittyAuth return the same key again.
async fn keys(app: &App, session: &Session, id: &ChittyId) -> Result<String, Failure> {
    // 1. Check that a key could be sealed and stored.
    if !app.config.sealer.is_ready() {
        return Err(Failure::new("sealing_keys_missing", "set the secret SEALING_KEYS"));
    }
    let store = app
        .api_keys
        .as_deref()
        .ok_or_else(|| Failure::new("storage_unavailable", "API_KEYS is not bound"))?;
    // 2. Have ChittyAuth make the key.
    let request = ProvisionRequest {
        chitty_id: id.as_str().to_owned(),
        scopes: ["chittyid:read", "chittyid:generate", "service:*"].map(str::to_owned).to_vec(),
        service: NAME.to_owned(),
        expires_in_s: None,
        idempotency_key: Some(format!("registration-keys-{id}")),
    };
    let key = session.auth().provision_key(&request).await?;
    // 3. Seal it, and store it.
    let sealed = app
        .config
        .sealer
        .seal(KEY_PLACE, &key.secret)
        .map_err(|error| Failure::new("sealing_failed", error.to_string()))?;
    store
        .put(KEY_PLACE, &sealed, None)
        .await
        .map_err(|error| Failure::new("storage_unavailable", error))?;
    Ok(key.id.unwrap_or_else(|| "unnamed".to_owned()))
}

async fn register(app: &App, session: &Session, id: &ChittyId) -> Result<String, Failure> {
    let url = &app.config.public_url;
    let more = json!({
        "entity_type": "service",
        "schema": { "version": "1.0.0", "entities": ["context"], "relationships": [] },
        "security": { "authentication": "bearer", "encryption": "tls", "headers": [] },
        "metadata": { "chitty_id": id.as_str(), "tier": 2, "domain": "connect.chitty.cc" },
    });
    let registration = Registration {
        name: NAME.to_owned(),
        description: "The edge gateway of the ChittyOS ecosystem".to_owned(),
        version: VERSION.to_owned(),
        endpoints: vec![format!("{url}/health"), format!("{url}/v1")],
        more: more.as_object().cloned().unwrap_or_default(),
    };
    let registered = session.register().register(&registration).await?;
    Ok(registered.chitty_id.unwrap_or_else(|| id.as_str().to_owned()))
}

async fn verify(session: &Session, id: &ChittyId, results: &Results) -> Result<String, Failure> {
    let dna_id = results.get(&Step::Dna).map(String::as_str);
    let found = session.verify().context(id, dna_id, NAME).await?;
    if !found.verified {
        return Err(Failure::new("chittyverify_not_verified", format!("{:?}", found.status)));
    }
    // The certificate's trust score depends on the confidence, so the result holds it too.
    let id = found.id.unwrap_or_else(|| "verified".to_owned());
    Ok(json!({ "id": id, "confidence_percent": found.confidence_percent }).to_string())
}

async fn certify(session: &Session, id: &ChittyId, results: &Results) -> Result<String, Failure> {
    let verification: serde_json::Value = results
        .get(&Step::Verify)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let confidence = verification.get("confidence_percent").and_then(serde_json::Value::as_u64);
    let request = CertificateRequest {
        chitty_id: id.clone(),
        legal_name: NAME.to_owned(),
        // The confidence of the verification; 50 if it gave none.
        trust_score: confidence.and_then(|percent| u8::try_from(percent).ok()).unwrap_or(50),
        verification: json!({
            "status": "PASS",
            "verification_level": "BASIC",
            "verified_fields": ["chittyid", "dna_id"],
            "id": verification.get("id"),
        }),
        idempotency_key: Some(format!("registration-certificate-{id}")),
    };
    Ok(session.certify().issue(&request).await?)
}

/// Writes the event and the step in one batch, so that the ecosystem is told exactly once.
async fn log(app: &App, ready: Ready<'_>, id: &ChittyId) -> Result<String, Failure> {
    let kind = EventKind::ServiceInitialized;
    let payload = json!({ "version": VERSION });
    let event = Event::new(app.now_ms(), kind, id.as_str(), id.as_str(), payload, None);
    let batch = vec![
        record(Step::Log, event.id.as_str(), &event.at, ""),
        outbox::insert(&event, app.config.outbox_overdue_ms),
    ];
    match ready.db().batch(batch).await {
        Ok(_) => outbox::announce(app, vec![event.clone()]).await,
        // Another isolate has written the event, or this batch had been committed after all.
        Err(_) if super::recorded(ready).await?.contains_key(&Step::Log) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(event.id.to_string())
}
