//! Names and values of headers as strings of JavaScript: to make one anew costs more than to read the header.

use std::cell::RefCell;
use std::collections::BTreeMap;

use js_sys::JsString;

/// How many are kept: more than this program has names of headers. A proxy may be asked for any.
const MAX_KEPT: usize = 64;

/// The longest that is kept, in bytes.
const MAX_BYTES: usize = 64;

thread_local! {
    static KEPT: RefCell<BTreeMap<String, JsString>> = const { RefCell::new(BTreeMap::new()) };
}

/// A text that comes again with other requests, as a string of JavaScript.
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
