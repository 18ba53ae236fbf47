//! Durable Objects behind [`Objects`] and [`ObjectStore`], and the class that watches a service.

use async_trait::async_trait;
use chitty_core::Service;
use seams::objects::{ObjectStore, Objects};
use worker::durable::ObjectNamespace;
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use super::app;
use crate::ecosystem::watch::{Command, Host};
use crate::tasks;

/// The key under which an object stores its state.
const KEY: &str = "connection";

/// The key under which an object stores the name of its service: an alarm does not name its object.
const SERVICE_KEY: &str = "service";

/// The objects bound as `SERVICE_CONNECTION`, one for each service.
pub(crate) struct Watches(pub(crate) ObjectNamespace);

#[async_trait(?Send)]
impl Objects for Watches {
    async fn ask(&self, service: Service, command: &str) -> Result<String, String> {
        let name = service.host();
        let asked = async {
            let object = self.0.get_by_name(name)?;
            // An object has no address besides its name, so the URL's host may be anything.
            let mut answer = object.fetch_with_str(&format!("http://{name}/{command}")).await?;
            let text = answer.text().await?;
            match answer.status_code() {
                200 => Ok(text),
                _ => Err(worker::Error::RustError(text)),
            }
        };
        asked.await.map_err(|error: worker::Error| error.to_string())
    }
}

/// Watches one service. The object's name is the service's ([`Service::host`]). The runtime knows the class by
/// its name, so the name stays.
#[durable_object(alarm)]
pub struct ServiceConnection {
    state: State,
    env: Env,
}

impl DurableObject for ServiceConnection {
    fn new(state: State, env: Env) -> Self {
        ServiceConnection { state, env }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        // `http://{service}/{command}`, as `Watches::ask` builds it.
        let url = request.inner().url();
        let mut parts = url.split('/').skip(2);
        let service = parts.next().and_then(Service::parse);
        let command = parts.next().and_then(Command::parse);
        let (Some(service), Some(command)) = (service, command) else {
            return Response::error("no such service or command", 404);
        };
        self.state.storage().put(SERVICE_KEY, service.host()).await?;
        let app = app(&self.env);
        let host = Host { app: &app, store: self, service };
        let answer = host.command(command).await;
        if let Some(work) = tasks::hand_over(app) {
            self.state.wait_until(work);
        }
        match answer {
            Ok(status) => Response::from_json(&status),
            Err(error) => Response::error(error, 500),
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        let name: Option<String> = self.state.storage().get(SERVICE_KEY).await?;
        let Some(service) = name.as_deref().and_then(Service::parse) else {
            // The object has never had a command, so it has nothing to watch.
            return Response::ok("");
        };
        let app = app(&self.env);
        let host = Host { app: &app, store: self, service };
        let outcome = host.alarm().await;
        if let Some(work) = tasks::hand_over(app) {
            self.state.wait_until(work);
        }
        // After an error the platform fires the alarm again.
        outcome.map_err(worker::Error::RustError)?;
        Response::ok("")
    }
}

#[async_trait(?Send)]
impl ObjectStore for ServiceConnection {
    async fn load(&self) -> Result<Option<String>, String> {
        self.state.storage().get(KEY).await.map_err(|error| error.to_string())
    }

    async fn save(&self, text: &str) -> Result<(), String> {
        self.state.storage().put(KEY, text).await.map_err(|error| error.to_string())
    }

    async fn set_alarm(&self, at_ms: Option<u64>) -> Result<(), String> {
        let storage = self.state.storage();
        let set = match at_ms {
            Some(at_ms) => {
                // The crate takes an offset from now. An alarm in the past fires at once.
                let in_ms = at_ms.saturating_sub(worker::Date::now().as_millis());
                storage.set_alarm(i64::try_from(in_ms).unwrap_or(i64::MAX)).await
            }
            None => storage.delete_alarm().await,
        };
        set.map_err(|error| error.to_string())
    }
}
