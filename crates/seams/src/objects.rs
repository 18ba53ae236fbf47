//! The seams to Durable Objects: the call to an object, and an object's own store and alarm.

use async_trait::async_trait;
use chitty_core::Service;

/// The objects of one class, one for each service.
#[async_trait(?Send)]
pub trait Objects {
    /// Sends a command to the object of a service and returns its answer, a JSON text. `Err` holds the
    /// message of the platform or the object.
    async fn ask(&self, service: Service, command: &str) -> Result<String, String>;
}

/// The text that an object keeps, and its one alarm. The platform delivers no other event to the object
/// between a read and the write that follows it.
#[async_trait(?Send)]
pub trait ObjectStore {
    /// Returns the text that was saved last.
    async fn load(&self) -> Result<Option<String>, String>;

    /// Saves a text in place of the one before.
    async fn save(&self, text: &str) -> Result<(), String>;

    /// Sets the alarm, in place of the one before; `None` removes it. It fires at least once.
    async fn set_alarm(&self, at_ms: Option<u64>) -> Result<(), String>;
}
