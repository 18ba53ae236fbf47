//! The runtime's WebCrypto behind [`Es256`] and [`Rs256`].

use std::cell::RefCell;

use async_trait::async_trait;
use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use seams::es256::{Es256, PublicKey};
use seams::rs256::Rs256;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

use super::thrown;

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

    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = verify, catch)]
    fn verify_hmac(
        algorithm: &str,
        key: &JsValue,
        signature: &Uint8Array,
        data: &Uint8Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_namespace = ["crypto", "subtle"], js_name = sign, catch)]
    fn make_signature(
        algorithm: &str,
        key: &JsValue,
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
    let curve = algorithm("ECDSA", &[("namedCurve", "P-256")])?;
    let usages = Array::of1(&"verify".into());
    let key = import_key("raw", &bytes(&key.uncompressed()), &curve, false, &usages)?;
    let key = JsFuture::from(key).await?;
    let hash = algorithm("ECDSA", &[("hash", "SHA-256")])?;
    let verified = verify_signature(&hash, &key, &bytes(signature), &bytes(message))?;
    Ok(JsFuture::from(verified).await?.is_truthy())
}

#[async_trait(?Send)]
impl Rs256 for WebCrypto {
    async fn sign(&self, pkcs8: &[u8], message: &[u8]) -> Result<Vec<u8>, String> {
        sign(pkcs8, message).await.map_err(|error| thrown(&error))
    }
}

/// RSASSA-PKCS1-v1_5, as WebCrypto calls it.
const RSA: &str = "RSASSA-PKCS1-v1_5";

async fn sign(pkcs8: &[u8], message: &[u8]) -> Result<Vec<u8>, JsValue> {
    let algorithm = algorithm(RSA, &[("hash", "SHA-256")])?;
    let usages = Array::of1(&"sign".into());
    let key = import_key("pkcs8", &Uint8Array::from(pkcs8), &algorithm, false, &usages)?;
    let key = JsFuture::from(key).await?;
    let signature = JsFuture::from(make_signature(RSA, &key, &Uint8Array::from(message))?).await?;
    Ok(Uint8Array::new(&signature).to_vec())
}

/// The most keys that are kept: more than a gateway has secrets for HMAC.
const MAX_KEYS: usize = 4;

thread_local! {
    /// Keys that the runtime has imported, with their bytes: to import a key costs as much as to use it.
    static KEYS: RefCell<Vec<(Vec<u8>, JsValue)>> = const { RefCell::new(Vec::new()) };
}

/// Whether `code` is the HMAC-SHA256 of the message. The runtime compares in constant time.
pub(crate) async fn has_hmac(
    key: &[u8],
    message: &Uint8Array,
    code: &[u8],
) -> Result<bool, JsValue> {
    let key = hmac_key(key).await?;
    let verified = verify_hmac("HMAC", &key, &Uint8Array::from(code), message)?;
    Ok(JsFuture::from(verified).await?.is_truthy())
}

async fn hmac_key(bytes: &[u8]) -> Result<JsValue, JsValue> {
    let find = |keys: &RefCell<Vec<(Vec<u8>, JsValue)>>| {
        keys.borrow().iter().find(|(known, _)| known == bytes).map(|(_, key)| key.clone())
    };
    if let Some(key) = KEYS.with(find) {
        return Ok(key);
    }
    let algorithm = algorithm("HMAC", &[("hash", "SHA-256")])?;
    let usages = Array::of1(&"verify".into());
    let imported = import_key("raw", &Uint8Array::from(bytes), &algorithm, false, &usages)?;
    let key = JsFuture::from(imported).await?;
    KEYS.with_borrow_mut(|keys| {
        keys.truncate(MAX_KEYS - 1);
        keys.insert(0, (bytes.to_vec(), key.clone()));
    });
    Ok(key)
}

/// `{name, …members}`
fn algorithm(name: &str, members: &[(&str, &str)]) -> Result<Object, JsValue> {
    let algorithm = Object::new();
    for (member, value) in [("name", name)].iter().chain(members) {
        Reflect::set(&algorithm, &(*member).into(), &(*value).into())?;
    }
    Ok(algorithm)
}
