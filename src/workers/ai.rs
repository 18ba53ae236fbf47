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
    /// The binding `AI`, or any object with the same method `run`.
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
            // Serialization by serde would make a JavaScript map, which would arrive empty. `JSON::parse`
            // makes a plain object.
            let input = JSON::parse(&input.to_string())?;
            let answer = JsFuture::from(self.run(model, &input)?).await?;
            Reflect::get(&answer, &"response".into())
        };
        let answer = asked.await.map_err(|error| thrown(&error))?;
        answer.as_string().ok_or_else(|| "the model returned no text".to_owned())
    }
}
