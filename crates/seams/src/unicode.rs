//! Unicode normalization (UAX #15). In a Worker the runtime does it, because it has the tables anyway: those
//! of the crate would add 65 KB to the worker. Both give the same result and will do so in future:
//! normalization is stable, except for characters that are not assigned yet.

/// A text in form C: composed.
pub fn nfc(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { composed(text) }
}

/// A text in form KD: decomposed, compatibility forms too.
pub fn nfkd(text: &str) -> String {
    if text.is_ascii() { text.to_owned() } else { decomposed(text) }
}

#[cfg(target_family = "wasm")]
fn composed(text: &str) -> String {
    js_sys::JsString::from(text).normalize("NFC").into()
}

#[cfg(target_family = "wasm")]
fn decomposed(text: &str) -> String {
    js_sys::JsString::from(text).normalize("NFKD").into()
}

#[cfg(not(target_family = "wasm"))]
fn composed(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    text.nfc().collect()
}

#[cfg(not(target_family = "wasm"))]
fn decomposed(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    text.nfkd().collect()
}
