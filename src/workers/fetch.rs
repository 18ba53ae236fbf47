//! Outgoing HTTP behind [`Transport`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use chitty_core::{HttpRequest, HttpResponse, Service, Transport, TransportError};
use js_sys::{Array, Promise, Reflect, Uint8Array};
use seams::memory::Share;
use seams::outside::{Outside, OutsideRequest, OutsideResponse};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::web_sys;
use worker::worker_sys::Fetcher;

use super::thrown;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch, catch)]
    fn global_fetch(request: &web_sys::Request) -> Result<Promise, JsValue>;
}

/// The runtime's `fetch`, or the `fetch` of a service binding if the service is a Worker of the same account.
/// It does not follow redirects; the deadline covers the body too.
pub(crate) struct Fetch {
    bound: BTreeMap<Service, Fetcher>,
}

impl Fetch {
    /// Takes a function that returns the binding of a service, if it has one.
    pub(crate) fn new(binding: impl Fn(Service) -> Option<Fetcher>) -> Self {
        let bound = |service: &Service| binding(*service).map(|fetcher| (*service, fetcher));
        Fetch { bound: Service::ALL.iter().filter_map(bound).collect() }
    }

    fn begin(
        &self,
        service: Option<Service>,
        request: &web_sys::Request,
    ) -> Result<Promise, JsValue> {
        match service.and_then(|service| self.bound.get(&service)) {
            Some(fetcher) => fetcher.fetch(request),
            None => global_fetch(request),
        }
    }

    async fn perform(
        &self,
        service: Option<Service>,
        request: Result<web_sys::Request, JsValue>,
        limit: usize,
        share: Option<&Share>,
    ) -> Result<(web_sys::Response, Vec<u8>), TransportError> {
        let begun = request.and_then(|request| self.begin(service, &request));
        let response = begun.map_err(|error| failed(&error))?;
        let response = JsFuture::from(response).await.map_err(|error| failed(&error))?;
        let response: web_sys::Response = response.unchecked_into();
        let body = body_of(&response, limit, share).await.map_err(|error| match error {
            ReadError::TooLarge => TransportError::TooLarge(limit),
            ReadError::Broken(error) => failed(&error),
        })?;
        Ok((response, body))
    }
}

#[async_trait(?Send)]
impl Transport for Fetch {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let wanted = RequestParts {
            method: request.method.as_str(),
            url: &request.url,
            body: request.body.as_deref().map(JsValue::from_str),
            deadline_ms: request.deadline_ms,
        };
        let headers = request.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let prepared = prepare(wanted, headers);
        let limit = request.max_body_bytes;
        let (response, body) = self.perform(Some(request.service), prepared, limit, None).await?;
        let retry_after = response.headers().get("retry-after").ok().flatten();
        Ok(HttpResponse { status: response.status(), retry_after, body })
    }
}

#[async_trait(?Send)]
impl Outside for Fetch {
    async fn send(&self, request: OutsideRequest) -> Result<OutsideResponse, TransportError> {
        let wanted = RequestParts {
            method: &request.method,
            url: &request.url,
            body: request.body.as_deref().map(|bytes| Uint8Array::from(bytes).into()),
            deadline_ms: request.deadline_ms,
        };
        let pairs = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let prepared = prepare(wanted, pairs);
        let limit = request.max_body_bytes;
        let share = request.share.upgrade();
        let (response, body) =
            self.perform(request.service, prepared, limit, share.as_deref()).await?;
        let headers = headers(&response.headers());
        Ok(OutsideResponse { status: response.status(), headers, body })
    }
}

/// The parts that both kinds of requests have.
struct RequestParts<'a> {
    method: &'a str,
    url: &'a str,
    body: Option<JsValue>,
    deadline_ms: u32,
}

fn prepare<'h>(
    wanted: RequestParts<'_>,
    pairs: impl Iterator<Item = (&'h str, &'h str)>,
) -> Result<web_sys::Request, JsValue> {
    let init = web_sys::RequestInit::new();
    init.set_method(wanted.method);
    init.set_redirect(web_sys::RequestRedirect::Manual);
    init.set_signal(Some(&web_sys::AbortSignal::timeout_with_u32(wanted.deadline_ms)));
    let headers = web_sys::Headers::new()?;
    for (name, value) in pairs {
        headers.set(name, value)?;
    }
    init.set_headers(&headers);
    if let Some(body) = &wanted.body {
        init.set_body(body);
    }
    web_sys::Request::new_with_str_and_init(wanted.url, &init)
}

fn failed(error: &JsValue) -> TransportError {
    let name = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.name()));
    match name.as_deref() {
        Some("TimeoutError" | "AbortError") => TransportError::Timeout,
        _ => TransportError::Unreachable(thrown(error)),
    }
}

/// Returns every header, as pairs of name and value.
pub(crate) fn headers(headers: &web_sys::Headers) -> Vec<(String, String)> {
    let text = |pair: &Array, index| pair.get(index).as_string();
    headers
        .entries()
        .into_iter()
        .filter_map(|pair| {
            let pair: Array = pair.ok()?.unchecked_into();
            Some((text(&pair, 0)?, text(&pair, 1)?))
        })
        .collect()
}

/// Why a body could not be read.
pub(crate) enum ReadError {
    /// The body is larger than the limit or than the memory that its share may take.
    TooLarge,
    /// The stream broke.
    Broken(JsValue),
}

/// Reads a body chunk by chunk, so that reading an endless body stops at the limit.
pub(crate) async fn read(
    body: Option<web_sys::ReadableStream>,
    limit: usize,
) -> Result<Vec<u8>, ReadError> {
    read_into(body, limit, None).await
}

/// Reads the body of a response. Reads it in one piece if its length is declared and it is not compressed,
/// because the runtime then reads no more than that length.
async fn body_of(
    response: &web_sys::Response,
    limit: usize,
    share: Option<&Share>,
) -> Result<Vec<u8>, ReadError> {
    let headers = response.headers();
    let header = |name: &str| headers.get(name).ok().flatten();
    let length = header("content-length").and_then(|length| length.parse().ok());
    let is_whole = length.is_some_and(|length| {
        length <= limit
            && header("content-encoding").is_none()
            && share.is_none_or(|share| share.grow(length))
    });
    if !is_whole {
        return read_into(response.body(), limit, share).await;
    }
    let buffer = response.array_buffer().map_err(ReadError::Broken)?;
    let bytes = Uint8Array::new(&JsFuture::from(buffer).await.map_err(ReadError::Broken)?);
    if bytes.length() as usize > limit { Err(ReadError::TooLarge) } else { Ok(bytes.to_vec()) }
}

/// The same as [`read`], as long as a share of the memory can grow by each chunk.
async fn read_into(
    body: Option<web_sys::ReadableStream>,
    limit: usize,
    share: Option<&Share>,
) -> Result<Vec<u8>, ReadError> {
    let Some(body) = body else { return Ok(Vec::new()) };
    let reader: web_sys::ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let chunk = JsFuture::from(reader.read()).await.map_err(ReadError::Broken)?;
        let member = |name| Reflect::get(&chunk, &JsValue::from_str(name));
        if member("done").map_err(ReadError::Broken)?.is_truthy() {
            return Ok(bytes);
        }
        let chunk: Uint8Array = member("value").map_err(ReadError::Broken)?.unchecked_into();
        let length = chunk.length() as usize;
        let fits = bytes.len() + length <= limit && share.is_none_or(|share| share.grow(length));
        if !fits {
            // Does not wait until the sender learns of the cancellation.
            drop(reader.cancel());
            return Err(ReadError::TooLarge);
        }
        bytes.extend_from_slice(&chunk.to_vec());
    }
}
