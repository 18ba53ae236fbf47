//! The key-value seam, for data that may be stale. Data that must take effect at once is in the database.

use async_trait::async_trait;

use crate::inbound::RuntimeBody;

/// One namespace.
#[async_trait(?Send)]
pub trait Kv {
    /// The text under a key. `Err` holds the platform's message.
    async fn get(&self, key: &str) -> Result<Option<String>, String>;

    /// Puts a text under a key, for `ttl_s` seconds (at least 60, a platform limit) or without an end.
    async fn put(&self, key: &str, value: &str, ttl_s: Option<u32>) -> Result<(), String>;

    /// The bytes under a key.
    async fn get_bytes(&self, key: &str) -> Result<Option<Vec<u8>>, String>;

    /// Puts a body of at most 25 MiB (platform limit) under a key, for `ttl_s` seconds.
    async fn put_held(&self, key: &str, body: &dyn RuntimeBody, ttl_s: u32) -> Result<(), String>;

    /// Removes a key, if it is there.
    async fn delete(&self, key: &str) -> Result<(), String>;
}
