//! Workers AI behind [`Ai`].

use async_trait::async_trait;
use js_sys::{JSON, Promise, Reflect};
use seams::ai::Ai;
use serde_json::json;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use super::thrown;

#[wasm_bindgen]
extern "C" {
    /// The binding `AI`, or whatever has a method `run` like it.
    pub(crate) type Models;

    #[wasm_bindgen(method, catch)]
    fn run(this: &Models, model: &str, input: &JsValue) -> Result<Promise, JsValue>;
}

#[async_trait(?Send)]
impl Ai for Models {
    async fn complete(
        &self,
        model: &str,
        instructions: &str,
        input: &str,
        max_tokens: u32,
    ) -> Result<String, String> {
        let asked = async {
            let input = json!({
                "messages": [
                    { "role": "system", "content": instructions },
                    { "role": "user", "content": input },
                ],
                "max_tokens": max_tokens,
            });
            // What serde makes a map of would arrive empty: this way it is a plain object.
            let input = JSON::parse(&input.to_string())?;
            let answer = JsFuture::from(self.run(model, &input)?).await?;
            Reflect::get(&answer, &"response".into())
        };
        let answer = asked.await.map_err(|error| thrown(&error))?;
        answer.as_string().ok_or_else(|| "the model gave no text".to_owned())
    }
}
