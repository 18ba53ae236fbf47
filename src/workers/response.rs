//! Turns a [`Reply`] into a response of the runtime.

use futures_util::StreamExt;
use js_sys::{JsString, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use worker::web_sys;

use crate::access::reply::{Body, Reply};
use crate::edge::COMMON_HEADERS;
use crate::workers::d1::LongText;
use crate::workers::inbound::WebBody;
use crate::workers::names;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = Response)]
    type StringResponse;

    /// A response whose body is a JavaScript string already.
    #[wasm_bindgen(constructor, js_class = "Response", catch)]
    fn new(body: &JsString, init: &web_sys::ResponseInit) -> Result<StringResponse, JsValue>;
}

thread_local! {
    /// The headers of every reply, as an object; each reply copies it and adds its own headers.
    static COMMON: Object = common();
}

fn common() -> Object {
    let headers = Object::new();
    for (name, value) in COMMON_HEADERS {
        // Setting a member of a plain object does not fail.
        let _ = Reflect::set(&headers, &name.into(), &value.into());
    }
    headers
}

/// Makes the response. A plain object of headers is cheaper to build and to hand to the runtime than a
/// `Headers` object.
pub(crate) fn of(reply: Reply) -> worker::Result<web_sys::Response> {
    let headers = COMMON.with(|common| Object::assign(&Object::new(), common));
    if let Some(content_type) = reply.body.content_type() {
        Reflect::set(&headers, &names::string("content-type"), &names::string(content_type))?;
    }
    for (name, value) in &reply.headers {
        Reflect::set(&headers, &names::string(name), &JsValue::from_str(value))?;
    }
    let init = web_sys::ResponseInit::new();
    init.set_status(reply.status);
    init.set_headers(&headers);
    if let Body::Stream { stream, .. } = reply.body {
        let pieces = stream.map(Ok::<_, worker::Error>);
        let streamed: web_sys::Response = worker::Response::from_stream(pieces)?.into();
        let body = streamed.body();
        return Ok(web_sys::Response::new_with_opt_readable_stream_and_init(body.as_ref(), &init)?);
    }
    let bytes = match &reply.body {
        Body::Bytes { bytes, .. } => Some(Uint8Array::from(bytes.as_slice())),
        Body::Runtime { body, .. } => Some(WebBody::of(&**body)),
        _ => None,
    };
    if bytes.is_some() {
        let bytes = bytes.as_deref();
        return Ok(web_sys::Response::new_with_opt_buffer_source_and_init(bytes, &init)?);
    }
    if let Body::RuntimeJson(text) = &reply.body {
        return Ok(match text.0.as_any().downcast_ref::<LongText>() {
            Some(LongText(text)) => StringResponse::new(text, &init)?.unchecked_into(),
            None => web_sys::Response::new_with_opt_str_and_init(Some(&text.0.copy()), &init)?,
        });
    }
    Ok(web_sys::Response::new_with_opt_str_and_init(reply.body.text(), &init)?)
}
