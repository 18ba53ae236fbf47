//! The host of one watch: stores the state of its state machine, sets its timer and carries out its
//! effects.
//!
//! Every input goes the same way: load → step → save → timer → check, then publish the pending notices. A
//! crash between any two of these loses nothing: the next input publishes notices that were saved, the guard
//! timer starts another check if one has no result, and the next `ensure` (every minute) finds a lost timer.

use chitty_core::watch::{Effect, Event, Input, Status, Watch};
use chitty_core::{CallContext, Service, ServiceHealth};
use seams::db::{DbError, Statement};
use seams::objects::ObjectStore;
use seams::{log, time};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::{App, Settings as _};
use crate::discovery;
use crate::ecosystem::settings::Settings;
use crate::store::event::{self, EventKind};
use crate::store::ids::EventId;
use crate::store::{Ready, outbox};

/// The most pending notices that the host keeps. Beyond that it drops the oldest, and logs that.
const MAX_UNTOLD: usize = 100;

/// The pause before a failed publication is tried again, in ms, if no other timer is set.
const TELL_AGAIN_MS: u64 = 5_000;

/// A command to a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Connect, unless a caller has disconnected it; replace a lost timer.
    Ensure,
    /// Connect.
    Connect,
    /// Disconnect, until a caller connects or resets it.
    Disconnect,
    /// Check the service's health now, and answer with the result.
    Check,
    /// Forget the state and the statistics.
    Reset,
}

impl Command {
    /// Parses the name of a command.
    pub fn parse(name: &str) -> Option<Command> {
        Some(match name {
            "ensure" => Command::Ensure,
            "connect" => Command::Connect,
            "disconnect" => Command::Disconnect,
            "check" => Command::Check,
            "reset" => Command::Reset,
            _ => return None,
        })
    }

    /// The command's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Command::Ensure => "ensure",
            Command::Connect => "connect",
            Command::Disconnect => "disconnect",
            Command::Check => "check",
            Command::Reset => "reset",
        }
    }

    fn input(self) -> Input {
        match self {
            Command::Ensure => Input::Ensure,
            Command::Connect => Input::Connect,
            Command::Disconnect => Input::Disconnect,
            Command::Check => Input::Check,
            Command::Reset => Input::Reset,
        }
    }
}

/// The state that the object stores. An older or a newer version of the gateway may have written it: missing
/// members get their defaults, unknown members are ignored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredState {
    #[serde(rename = "connection")]
    watch: Watch,
    /// Rises with each save.
    version: i64,
    /// Whether the service was down at the last save.
    is_down: bool,
    /// How often `is_down` has changed.
    news: i64,
    /// The notices that are not published yet, oldest first.
    untold: Vec<PendingNotice>,
}

/// The result of a step.
struct StepResult {
    kept: StoredState,
    /// The generation of the check to start, if any.
    check: Option<u64>,
    changed: bool,
}

/// A notice of something that happened to the watch.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PendingNotice {
    id: EventId,
    at: String,
    name: String,
    data: Value,
}

/// The host of one watch.
pub struct Host<'a> {
    /// The gateway.
    pub app: &'a App,
    /// The object's own storage and alarm.
    pub store: &'a dyn ObjectStore,
    /// The service that is watched.
    pub service: Service,
}

impl Host<'_> {
    /// Carries out a command and returns the watch's status after it. Waits for the checks that the
    /// command starts.
    ///
    /// # Errors
    /// When the object's own storage fails.
    pub async fn command(&self, command: Command) -> Result<Status, String> {
        self.take(command.input()).await
    }

    /// Handles the object's alarm.
    ///
    /// # Errors
    /// When the object's own storage fails; the platform then fires again.
    pub async fn alarm(&self) -> Result<Status, String> {
        self.take(Input::Timer).await
    }

    async fn take(&self, input: Input) -> Result<Status, String> {
        let mut stepped = self.step(input).await?;
        while let Some(generation) = stepped.check {
            // Publish before the check, which may take long.
            if !stepped.kept.untold.is_empty() {
                self.tell(&stepped.kept).await?;
            }
            stepped = self.step(self.check(generation).await).await?;
        }
        let StepResult { kept, changed, .. } = stepped;
        if changed || !kept.untold.is_empty() {
            self.tell(&kept).await?;
        }
        Ok(kept.watch.status(self.app.now_ms()))
    }

    /// Takes one step of the state machine, saves it and sets the timer.
    async fn step(&self, input: Input) -> Result<StepResult, String> {
        // 1. Load the state, and take the step.
        let mut kept = self.load().await?;
        let now_ms = self.app.now_ms();
        let config = &Settings::of(self.app).watch;
        let before = kept.watch.clone();
        let effects = kept.watch.step(config, input, now_ms, self.app.jitter(1001));
        let (mut alarm, mut check) = (None, None);
        let changed = kept.watch != before || !effects.is_empty();
        if !changed {
            // The input changed nothing, such as an `ensure` that finds all well.
            return Ok(StepResult { kept, check, changed });
        }
        // 2. Collect the effects: the timer, the check and the notices.
        for effect in effects {
            match effect {
                Effect::SetTimer { at_ms } => alarm = Some(Some(at_ms)),
                Effect::ClearTimer => alarm = Some(None),
                Effect::StartCheck { generation } => check = Some(generation),
                Effect::Emit(event) => kept.untold.push(self.notice(&event, now_ms)),
            }
        }
        if kept.untold.len() > MAX_UNTOLD {
            let excess = kept.untold.len() - MAX_UNTOLD;
            kept.untold.drain(..excess);
            log::error("connection_events_dropped", &[("service", self.service.as_str())]);
        }
        let is_down = kept.watch.is_down();
        if is_down != kept.is_down {
            kept.is_down = is_down;
            kept.news += 1;
        }
        // 3. Save the state before any effect.
        self.save(&mut kept).await?;
        // 4. Set the timer; the caller starts the check.
        if let Some(alarm) = alarm {
            self.store.set_alarm(alarm).await?;
        }
        Ok(StepResult { kept, check, changed })
    }

    fn notice(&self, event: &Event, now_ms: u64) -> PendingNotice {
        let mut data = serde_json::to_value(event).unwrap_or_default();
        let name = data.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(data) = data.as_object_mut() {
            data.insert("service".to_owned(), self.service.as_str().into());
            if matches!(event, Event::Connected | Event::Disconnected) {
                let url = self.app.core.endpoint(self.service);
                data.insert("serviceUrl".to_owned(), url.into());
            }
        }
        PendingNotice { id: EventId::new(now_ms), at: time::iso8601(now_ms), name, data }
    }

    /// Checks the service's health. A degraded service counts as connected, too.
    async fn check(&self, generation: u64) -> Input {
        let deadline_ms = Settings::of(self.app).watch.check_deadline_ms;
        let deadline_ms = u32::try_from(deadline_ms).unwrap_or(u32::MAX);
        let session = self.app.core.session(CallContext::default());
        let report = session.health(self.service, deadline_ms).await;
        let result = match report.status {
            ServiceHealth::Healthy | ServiceHealth::Degraded => Ok(()),
            ServiceHealth::Down => Err(report.error.unwrap_or("unknown").to_owned()),
        };
        Input::CheckDone { generation, result, latency_ms: report.latency }
    }

    /// Publishes the watch's status and the pending notices in one batch. If that fails, the notices
    /// stay pending.
    async fn tell(&self, kept: &StoredState) -> Result<(), String> {
        match self.publish(kept).await {
            Ok(events) => {
                outbox::announce(self.app, events).await;
                if kept.untold.is_empty() {
                    return Ok(());
                }
                // Notices that came in meanwhile stay pending.
                let mut now = self.load().await?;
                now.untold.retain(|item| !kept.untold.iter().any(|told| told.id == item.id));
                self.save(&mut now).await
            }
            Err(error) => {
                log::warn("connection_not_published", &[("error", &error.to_string())]);
                let idle = kept.watch.status(self.app.now_ms()).next_check_at.is_none();
                if idle {
                    let at_ms = self.app.now_ms() + TELL_AGAIN_MS;
                    self.store.set_alarm(Some(at_ms)).await?;
                }
                Ok(())
            }
        }
    }

    async fn publish(&self, kept: &StoredState) -> Result<Vec<event::Event>, DbError> {
        let ready = Ready::ensure(self.app)
            .await
            .map_err(|_| DbError::Failed("the database is not ready".to_owned()))?;
        let now_ms = self.app.now_ms();
        let status = kept.watch.status(now_ms);
        let row = Statement::new(
            "INSERT INTO service_connections \
             (service, version, state, is_down, news, status, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (service) DO UPDATE SET version = excluded.version, \
             state = excluded.state, is_down = excluded.is_down, news = excluded.news, \
             status = excluded.status, updated_at = excluded.updated_at \
             WHERE excluded.version > service_connections.version",
        )
        .bind(self.service.host())
        .bind(kept.version)
        .bind(status.state.as_str())
        .bind(i64::from(kept.is_down))
        .bind(kept.news)
        .bind(json!(status).to_string())
        .bind(time::iso8601(now_ms));
        let mut batch = vec![row];
        let mut announced = Vec::new();
        for item in &kept.untold {
            batch.push(
                Statement::new(
                    "INSERT OR IGNORE INTO connection_events (event_id, service, event, data, at) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )
                .bind(item.id.as_str())
                .bind(self.service.host())
                .bind(item.name.as_str())
                .bind(item.data.to_string())
                .bind(item.at.as_str()),
            );
            if item.name == "stateChange" {
                let event = self.state_changed(item);
                batch.push(outbox::insert_once(&event, self.app.config.outbox_overdue_ms));
                announced.push(event);
            }
        }
        batch.push(discovery::look());
        let moved = ready.db().batch(batch).await?.pop();
        // This isolate may have no handovers, in which others learn where services are.
        discovery::take(self.app, moved.unwrap_or_default())?;
        Ok(announced)
    }

    /// The event of a state change, for ChittyChronicle and Beacon.
    fn state_changed(&self, item: &PendingNotice) -> event::Event {
        event::Event {
            via: None,
            id: item.id.clone(),
            kind: EventKind::ServiceStateChanged,
            entity_id: self.service.as_str().to_owned(),
            actor_id: "chittyconnect".to_owned(),
            at: item.at.clone(),
            traceparent: None,
            payload: json!({ "from": item.data.get("from"), "to": item.data.get("to") }),
            owner_id: None,
        }
    }

    async fn load(&self) -> Result<StoredState, String> {
        match self.store.load().await? {
            None => Ok(StoredState::default()),
            // An unreadable state is replaced by a new one. The clock gives the version, so that it is
            // above every published version.
            Some(text) => Ok(serde_json::from_str(&text).unwrap_or_else(|error| {
                log::error("connection_unreadable", &[("error", &error.to_string())]);
                let version = i64::try_from(self.app.now_ms()).unwrap_or(0);
                StoredState { version, ..StoredState::default() }
            })),
        }
    }

    async fn save(&self, kept: &mut StoredState) -> Result<(), String> {
        kept.version += 1;
        // Plain data, so serializing cannot fail.
        self.store.save(&serde_json::to_string(kept).unwrap_or_default()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_another_version_has_stored_is_read() {
        let stored = include_str!("../../tests/native/golden/watch-state-v1.json");
        let state: StoredState = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&state).unwrap(), stored.trim_end());
        // A state of an older version lacks members, one of a newer version has more.
        let other = r#"{"connection":{"held":true,"later":1},"version":7,"later":[]}"#;
        let state: StoredState = serde_json::from_str(other).unwrap();
        assert_eq!((state.version, state.untold.len()), (7, 0));
        assert!(serde_json::to_value(&state.watch).unwrap()["held"].as_bool().unwrap());
    }
}
