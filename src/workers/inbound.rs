//! A runtime request behind [`Inbound`].

use std::any::Any;

use async_trait::async_trait;
use js_sys::{ArrayBuffer, JsString, Object, Reflect, Uint8Array};
use seams::inbound::{BodyError, Inbound, Intake, RuntimeBody};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::web_sys;

use super::fetch::{ReadError, headers, read};
use super::{names, thrown, webcrypto};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = Object, js_name = Headers)]
    type RequestHeaders;

    /// Reads a header, by a name that is a JavaScript string already.
    #[wasm_bindgen(method, catch)]
    fn get(this: &RequestHeaders, name: &JsString) -> Result<Option<String>, JsValue>;
}

/// The runtime's request.
pub(crate) struct WebRequest {
    request: web_sys::Request,
    headers: RequestHeaders,
}

impl WebRequest {
    pub(crate) fn new(request: web_sys::Request) -> Self {
        let headers = request.headers().unchecked_into();
        WebRequest { request, headers }
    }
}

#[async_trait(?Send)]
impl Inbound for WebRequest {
    fn method(&self) -> String {
        self.request.method()
    }

    fn target(&self) -> String {
        // The runtime gives an absolute URL. Parsing it with `Url` would add 188 KB of tables to the program.
        let url = self.request.url();
        let after_scheme = url.find("://").map_or(0, |at| at + 3);
        let path =
            url.get(after_scheme..).and_then(|rest| rest.find('/')).map(|at| after_scheme + at);
        path.and_then(|at| url.get(at..)).unwrap_or("/").to_owned()
    }

    fn origin(&self) -> String {
        let url = self.request.url();
        let after_scheme = url.find("://").map_or(0, |at| at + 3);
        let rest = url.get(after_scheme..).unwrap_or_default();
        let end = rest.find(['/', '?', '#']).map_or(url.len(), |at| after_scheme + at);
        url.get(..end).unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(&names::string(name)).ok().flatten()
    }

    fn headers(&self) -> Vec<(String, String)> {
        headers(self.headers.unchecked_ref())
    }

    async fn body(&self, limit: usize) -> Result<Vec<u8>, BodyError> {
        match self.declared_length() {
            Some(_) => Ok(self.declared(limit).await?.to_vec()),
            None => read(self.request.body(), limit).await.map_err(|error| match error {
                ReadError::TooLarge => BodyError::TooLarge,
                ReadError::Broken(_) => BodyError::Broken,
            }),
        }
    }

    async fn held_body(&self, limit: usize) -> Result<Box<dyn RuntimeBody>, BodyError> {
        let bytes = match self.declared_length() {
            Some(_) => self.declared(limit).await?,
            // The length is unknown, so `body` counts the bytes as they come.
            None => Uint8Array::from(self.body(limit).await?.as_slice()),
        };
        Ok(Box::new(WebBody(bytes)))
    }

    async fn gradual_body(
        &self,
        limit: usize,
        intake: &dyn Intake,
    ) -> Result<Box<dyn RuntimeBody>, BodyError> {
        if self.declared_length().is_some_and(|length| length > limit) {
            return Err(BodyError::TooLarge);
        }
        let Some(body) = self.request.body() else {
            return Ok(Box::new(WebBody(Uint8Array::new_with_length(0))));
        };
        let mut pieces = Pieces::of(&body);
        let (mut taken, mut length) = (Vec::new(), 0u32);
        while let Some(piece) = pieces.next().await? {
            length = length.saturating_add(piece.length());
            if length as usize > limit {
                return Err(BodyError::TooLarge);
            }
            if !intake.take(piece.length() as usize) {
                return Err(BodyError::Crowded);
            }
            taken.push(piece);
        }
        // Joins the pieces, since the body is verified and stored as a whole.
        let whole = Uint8Array::new_with_length(length);
        let mut at = 0;
        for piece in taken {
            whole.set(&piece, at);
            at += piece.length();
        }
        Ok(Box::new(WebBody(whole)))
    }
}

/// A body that is read piece by piece, in the runtime's memory. Dropping it before the end cancels the rest.
struct Pieces {
    reader: web_sys::ReadableStreamDefaultReader,
    is_over: bool,
}

impl Pieces {
    fn of(body: &web_sys::ReadableStream) -> Self {
        Pieces { reader: body.get_reader().unchecked_into(), is_over: false }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Uint8Array>, BodyError> {
        let read = async {
            let piece = JsFuture::from(self.reader.read()).await?;
            let member = |name: &str| Reflect::get(&piece, &name.into());
            if member("done")?.is_truthy() {
                return Ok::<_, JsValue>(None);
            }
            Ok(Some(member("value")?.unchecked_into::<Uint8Array>()))
        };
        let piece = read.await.map_err(|_| BodyError::Broken);
        self.is_over = !matches!(piece, Ok(Some(_)));
        piece
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if !self.is_over {
            // Does not wait until the sender learns of the cancellation.
            drop(self.reader.cancel());
        }
    }
}

impl WebRequest {
    /// Reads a body with a declared length in one piece: the runtime reads no more than that length.
    async fn declared(&self, limit: usize) -> Result<Uint8Array, BodyError> {
        if self.declared_length().is_none_or(|length| length > limit) {
            return Err(BodyError::TooLarge);
        }
        let read = async {
            let buffer = JsFuture::from(self.request.array_buffer()?).await?;
            Ok::<_, JsValue>(Uint8Array::new(buffer.unchecked_ref::<ArrayBuffer>()))
        };
        let bytes = read.await.map_err(|_| BodyError::Broken)?;
        if bytes.length() as usize > limit { Err(BodyError::TooLarge) } else { Ok(bytes) }
    }
}

/// A body in the runtime's memory.
pub(crate) struct WebBody(pub(crate) Uint8Array);

impl WebBody {
    /// Returns the bytes of a body, without a copy if they are in the runtime's memory already.
    pub(crate) fn of(body: &dyn RuntimeBody) -> Uint8Array {
        match (body as &dyn Any).downcast_ref::<WebBody>() {
            Some(WebBody(bytes)) => bytes.clone(),
            None => Uint8Array::from(body.bytes().as_slice()),
        }
    }
}

#[async_trait(?Send)]
impl RuntimeBody for WebBody {
    fn length(&self) -> usize {
        self.0.length() as usize
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    async fn has_hmac(&self, key: &[u8], code: &[u8; 32]) -> Result<bool, String> {
        webcrypto::has_hmac(key, &self.0, code).await.map_err(|error| thrown(&error))
    }
}
