//! Names and values of headers as JavaScript strings, kept for reuse: to make such a string costs more than
//! to read the header.

use std::cell::RefCell;
use std::collections::BTreeMap;

use js_sys::JsString;

/// The most strings that are kept: more than this program has names of headers. The limit is needed because a
/// proxied request may have any names.
const MAX_KEPT: usize = 64;

/// The longest text that is kept, in bytes.
const MAX_BYTES: usize = 64;

thread_local! {
    static KEPT: RefCell<BTreeMap<String, JsString>> = const { RefCell::new(BTreeMap::new()) };
}

/// Returns a text that recurs in other requests, as a JavaScript string.
pub(crate) fn string(text: &str) -> JsString {
    KEPT.with_borrow_mut(|kept| match kept.get(text) {
        Some(string) => string.clone(),
        None => {
            let string = JsString::from(text);
            if kept.len() < MAX_KEPT && text.len() <= MAX_BYTES {
                kept.insert(text.to_owned(), string.clone());
            }
            string
        }
    })
}
