//! The runtime's WebCrypto behind [`Es256`].

use async_trait::async_trait;
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use super::thrown;
use crate::platform::es256::{Es256, PublicKey};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = importKey, catch)]
    fn import_key(
        format: &str,
        key: &Uint8Array,
        algorithm: &Object,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = verify, catch)]
    fn verify_signature(
        algorithm: &Object,
        key: &JsValue,
        signature: &Uint8Array,
        data: &Uint8Array,
    ) -> Result<Promise, JsValue>;
}

/// The runtime's `crypto.subtle`.
pub(crate) struct WebCrypto;

#[async_trait(?Send)]
impl Es256 for WebCrypto {
    async fn verify(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, String> {
        verify(key, message, signature).await.map_err(|error| thrown(&error))
    }
}

async fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<bool, JsValue> {
    let bytes = |bytes: &[u8]| Uint8Array::from(bytes);
    let curve = algorithm("namedCurve", "P-256")?;
    let usages = Array::of1(&"verify".into());
    let key = import_key("raw", &bytes(&key.uncompressed()), &curve, false, &usages)?;
    let key = JsFuture::from(key).await?;
    let hash = algorithm("hash", "SHA-256")?;
    let verified = verify_signature(&hash, &key, &bytes(signature), &bytes(message))?;
    Ok(JsFuture::from(verified).await?.is_truthy())
}

/// `{name: "ECDSA", [member]: value}`
fn algorithm(member: &str, value: &str) -> Result<Object, JsValue> {
    let algorithm = Object::new();
    Reflect::set(&algorithm, &"name".into(), &"ECDSA".into())?;
    Reflect::set(&algorithm, &member.into(), &value.into())?;
    Ok(algorithm)
}
