//! Workers static assets behind [`Assets`].

use async_trait::async_trait;
use js_sys::{ArrayBuffer, Uint8Array};
use seams::assets::Assets;
use seams::inbound::RuntimeBody;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::web_sys;
use worker::worker_sys::Fetcher;

use super::inbound::WebBody;
use super::thrown;

/// The binding `ASSETS`.
pub(crate) struct StaticFiles(pub(crate) Fetcher);

impl StaticFiles {
    async fn fetch(&self, path: &str) -> Result<web_sys::Response, JsValue> {
        // The binding ignores the host.
        let request = web_sys::Request::new_with_str(&format!("https://assets{path}"))?;
        Ok(JsFuture::from(self.0.fetch(&request)?).await?.unchecked_into())
    }
}

#[async_trait(?Send)]
impl Assets for StaticFiles {
    async fn read(&self, path: &str) -> Result<Box<dyn RuntimeBody>, String> {
        let response = self.fetch(path).await.map_err(|error| thrown(&error))?;
        if response.status() != 200 {
            return Err(format!("{path} was answered with {}", response.status()));
        }
        let body = async { JsFuture::from(response.array_buffer()?).await };
        let body = body.await.map_err(|error| thrown(&error))?;
        Ok(Box::new(WebBody(Uint8Array::new(body.unchecked_ref::<ArrayBuffer>()))))
    }
}
