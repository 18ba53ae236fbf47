//! The platform's rate limiter behind [`Limiter`].

use async_trait::async_trait;
use js_sys::{Object, Promise, Reflect};
use seams::limiter::{Limiter, Step};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use super::thrown;

#[wasm_bindgen]
extern "C" {
    /// A binding of the rate limiter.
    pub(crate) type RateLimit;

    #[wasm_bindgen(method, catch)]
    fn limit(this: &RateLimit, options: &Object) -> Result<Promise, JsValue>;
}

/// The bindings of the rate limiter, one for each step.
pub(crate) struct Counters([RateLimit; 4]);

impl Counters {
    /// Returns the bindings, or `None` if one is missing.
    pub(crate) fn of(binding: impl Fn(&str) -> Option<RateLimit>) -> Option<Self> {
        let [a, b, c, d] = Step::ALL.map(|step| binding(step.binding()));
        Some(Counters([a?, b?, c?, d?]))
    }
}

#[async_trait(?Send)]
impl Limiter for Counters {
    async fn allows(&self, step: Step, key: &str) -> Result<bool, String> {
        let Counters([ten, hundred, thousand, ten_thousand]) = self;
        let counter = match step {
            Step::Ten => ten,
            Step::Hundred => hundred,
            Step::Thousand => thousand,
            Step::TenThousand => ten_thousand,
        };
        let asked = async {
            let options = Object::new();
            Reflect::set(&options, &"key".into(), &key.into())?;
            let outcome = JsFuture::from(counter.limit(&options)?).await?;
            Reflect::get(&outcome, &"success".into())
        };
        asked.await.map(|success| success.is_truthy()).map_err(|error| thrown(&error))
    }
}
