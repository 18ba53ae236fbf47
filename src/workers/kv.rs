//! Workers KV behind [`Kv`].
//!
//! The calls go to the binding directly: the `worker` crate's wrappers would copy a long body into this
//! program's memory, though it only moves within the runtime.

use async_trait::async_trait;
use js_sys::{ArrayBuffer, Object, Promise, Reflect, Uint8Array};
use seams::inbound::RuntimeBody;
use seams::kv::Kv;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::inbound::WebBody;
use super::thrown;

#[wasm_bindgen]
extern "C" {
    /// A namespace.
    pub(crate) type Namespace;

    #[wasm_bindgen(method, catch, js_name = get)]
    fn get_as(this: &Namespace, key: &str, kind: &str) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = put)]
    fn put_value(
        this: &Namespace,
        key: &str,
        value: &JsValue,
        options: &Object,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = delete)]
    fn remove(this: &Namespace, key: &str) -> Result<Promise, JsValue>;
}

impl Namespace {
    /// Reads the value of a key, as `text` or `arrayBuffer`; `None` when there is none.
    async fn read(&self, key: &str, kind: &str) -> Result<Option<JsValue>, JsValue> {
        let value = JsFuture::from(self.get_as(key, kind)?).await?;
        Ok((!value.is_null() && !value.is_undefined()).then_some(value))
    }

    async fn write(&self, key: &str, value: &JsValue, ttl_s: Option<u32>) -> Result<(), JsValue> {
        let options = Object::new();
        if let Some(seconds) = ttl_s {
            Reflect::set(&options, &"expirationTtl".into(), &seconds.into())?;
        }
        JsFuture::from(self.put_value(key, value, &options)?).await.map(|_| ())
    }
}

#[async_trait(?Send)]
impl Kv for Namespace {
    async fn get(&self, key: &str) -> Result<Option<String>, String> {
        let value = self.read(key, "text").await.map_err(|error| thrown(&error))?;
        Ok(value.and_then(|value| value.as_string()))
    }

    async fn put(&self, key: &str, value: &str, ttl_s: Option<u32>) -> Result<(), String> {
        self.write(key, &JsValue::from_str(value), ttl_s).await.map_err(|error| thrown(&error))
    }

    async fn get_bytes(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        let value = self.read(key, "arrayBuffer").await.map_err(|error| thrown(&error))?;
        Ok(value.map(|value| Uint8Array::new(value.unchecked_ref::<ArrayBuffer>()).to_vec()))
    }

    async fn put_held(&self, key: &str, body: &dyn RuntimeBody, ttl_s: u32) -> Result<(), String> {
        self.write(key, &WebBody::of(body), Some(ttl_s)).await.map_err(|error| thrown(&error))
    }

    async fn delete(&self, key: &str) -> Result<(), String> {
        let removed = async { JsFuture::from(self.remove(key)?).await };
        removed.await.map(|_| ()).map_err(|error| thrown(&error))
    }
}
