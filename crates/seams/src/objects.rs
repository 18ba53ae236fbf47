//! The seams to Durable Objects: calling one, and what one has of its own.

use async_trait::async_trait;
use chitty_core::Service;

/// The objects of one class, one a service.
#[async_trait(?Send)]
pub trait Objects {
    /// Sends a command to the object of a service and returns its answer, a JSON text. `Err` holds
    /// what the platform or the object said.
    async fn ask(&self, service: Service, command: &str) -> Result<String, String>;
}

/// What an object keeps and its one alarm. The platform lets no other event of the object in between
/// a read and the write that follows it.
#[async_trait(?Send)]
pub trait ObjectStore {
    /// What was kept last.
    async fn load(&self) -> Result<Option<String>, String>;

    /// Keeps a text in place of the one before.
    async fn save(&self, text: &str) -> Result<(), String>;

    /// Sets the alarm, in place of the one before; `None` takes it away. It fires at least once.
    async fn set_alarm(&self, at_ms: Option<u64>) -> Result<(), String>;
}
