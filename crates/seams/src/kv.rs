//! The key-value seam: for what may be stale. What must hold at once is in the database.

use async_trait::async_trait;

use crate::inbound::RuntimeBody;

/// One namespace.
#[async_trait(?Send)]
pub trait Kv {
    /// The text under a key. `Err` holds what the platform said.
    async fn get(&self, key: &str) -> Result<Option<String>, String>;

    /// Puts a text under a key, for `ttl_s` seconds (at least 60, a platform limit) or for good.
    async fn put(&self, key: &str, value: &str, ttl_s: Option<u32>) -> Result<(), String>;

    /// The bytes under a key.
    async fn get_bytes(&self, key: &str) -> Result<Option<Vec<u8>>, String>;

    /// Puts a body under a key, for `ttl_s` seconds, at most 25 MiB (platform limit).
    async fn put_held(&self, key: &str, body: &dyn RuntimeBody, ttl_s: u32) -> Result<(), String>;

    /// Removes a key, if it is there.
    async fn delete(&self, key: &str) -> Result<(), String>;
}
