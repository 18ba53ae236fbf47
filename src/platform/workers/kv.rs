//! Workers KV behind [`Kv`].

use async_trait::async_trait;
use worker::kv::{KvError, KvStore};

use crate::platform::kv::Kv;

/// A namespace.
pub(crate) struct Namespace(pub(crate) KvStore);

#[async_trait(?Send)]
impl Kv for Namespace {
    async fn get(&self, key: &str) -> Result<Option<String>, String> {
        self.0.get(key).text().await.map_err(said)
    }

    async fn put(&self, key: &str, value: &str, ttl_s: Option<u32>) -> Result<(), String> {
        let put = self.0.put(key, value).map_err(said)?;
        let put = match ttl_s {
            Some(seconds) => put.expiration_ttl(u64::from(seconds)),
            None => put,
        };
        put.execute().await.map_err(said)
    }

    async fn delete(&self, key: &str) -> Result<(), String> {
        self.0.delete(key).await.map_err(said)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn said(error: KvError) -> String {
    error.to_string()
}
