//! Everything beyond the ChittyOS services: the targets of connections, the platform's limiter, and
//! the verification of signatures.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use chitty_core::{Clock, TransportError};
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use seams::es256::{Es256, PublicKey};
use seams::limiter::{Limiter, Step};
use seams::outside::{Outside, OutsideRequest, OutsideResponse};
use seams::rs256::Rs256;

use super::{TestClock, yield_now};

type Behave = Box<dyn FnMut(&OutsideRequest) -> Result<OutsideResponse, TransportError>>;

/// After how many ms a request is answered, on whose clock.
type Latency = (Rc<TestClock>, Box<dyn Fn(&OutsideRequest) -> u64>);

/// The world outside. Answers 200 `{}` unless told otherwise.
#[derive(Default)]
pub(crate) struct TestOutside {
    behave: RefCell<Option<Behave>>,
    latency: RefCell<Option<Latency>>,
    /// How many calls wait for their answers, and how many did at most.
    waiting: Cell<usize>,
    pub(crate) most_waiting: Cell<usize>,
    calls: RefCell<Vec<OutsideRequest>>,
}

impl TestOutside {
    pub(crate) fn set(
        &self,
        behave: impl FnMut(&OutsideRequest) -> Result<OutsideResponse, TransportError> + 'static,
    ) {
        *self.behave.borrow_mut() = Some(Box::new(behave));
    }

    /// Answers take their time from now on; after the deadline of a request there is none.
    pub(crate) fn take_time(
        &self,
        clock: &Rc<TestClock>,
        latency: impl Fn(&OutsideRequest) -> u64 + 'static,
    ) {
        *self.latency.borrow_mut() = Some((Rc::clone(clock), Box::new(latency)));
    }

    /// Waits for an answer; whether there is one within the deadline.
    async fn wait(&self, request: &OutsideRequest) -> bool {
        let latency =
            self.latency.borrow().as_ref().map(|(clock, ms)| (Rc::clone(clock), ms(request)));
        let Some((clock, ms)) = latency else { return true };
        self.waiting.set(self.waiting.get() + 1);
        self.most_waiting.set(self.most_waiting.get().max(self.waiting.get()));
        clock.sleep(ms.min(u64::from(request.deadline_ms))).await;
        self.waiting.set(self.waiting.get() - 1);
        ms <= u64::from(request.deadline_ms)
    }

    /// Answers this status to everything.
    pub(crate) fn status(&self, status: u16) {
        self.set(move |_| Ok(answer(status, "{}")));
    }

    /// The requests so far, in order; they are forgotten by that.
    pub(crate) fn take(&self) -> Vec<OutsideRequest> {
        self.calls.take()
    }
}

pub(crate) fn answer(status: u16, body: &str) -> OutsideResponse {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    OutsideResponse { status, headers, body: body.as_bytes().to_vec() }
}

#[async_trait(?Send)]
impl Outside for TestOutside {
    async fn send(&self, request: OutsideRequest) -> Result<OutsideResponse, TransportError> {
        yield_now().await;
        self.calls.borrow_mut().push(request.clone());
        if !self.wait(&request).await {
            return Err(TransportError::Timeout);
        }
        let answered = match self.behave.borrow_mut().as_mut() {
            Some(behave) => behave(&request),
            None => Ok(answer(200, "{}")),
        };
        if let (Ok(answer), Some(share)) = (&answered, request.share.upgrade())
            && !share.grow(answer.body.len())
        {
            return Err(TransportError::TooLarge(request.max_body_bytes));
        }
        yield_now().await;
        answered
    }
}

/// The platform's limiter, exact and without a window.
#[derive(Default)]
pub(crate) struct TestLimiter {
    pub(crate) counts: RefCell<BTreeMap<String, u32>>,
    pub(crate) down: Cell<bool>,
}

#[async_trait(?Send)]
impl Limiter for TestLimiter {
    async fn allows(&self, step: Step, key: &str) -> Result<bool, String> {
        yield_now().await;
        if self.down.get() {
            return Err("limiter down".to_owned());
        }
        let mut counts = self.counts.borrow_mut();
        let count = counts.entry(key.to_owned()).or_default();
        *count += 1;
        Ok(*count <= step.per_minute())
    }
}

/// Verifies with a library what WebCrypto verifies in a Worker.
pub(crate) struct TestEs256;

#[async_trait(?Send)]
impl Es256 for TestEs256 {
    async fn verify(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, String> {
        yield_now().await;
        let key = VerifyingKey::from_sec1_bytes(&key.uncompressed());
        let key = key.map_err(|error| error.to_string())?;
        let Ok(signature) = Signature::from_slice(signature) else { return Ok(false) };
        Ok(key.verify(message, &signature).is_ok())
    }
}

/// Signs nothing: the end-to-end tests look at real signatures.
pub(crate) struct TestRs256;

#[async_trait(?Send)]
impl Rs256 for TestRs256 {
    async fn sign(&self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, String> {
        yield_now().await;
        Ok(b"signature".to_vec())
    }
}

/// The key that ChittyAuth signs with here; another number is another key.
pub(crate) fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_slice(&[number; 32]).unwrap()
}

/// A signature over a text, as it stands in a JWT.
pub(crate) fn sign(key: &SigningKey, text: &str) -> Vec<u8> {
    let signature: Signature = key.sign(text.as_bytes());
    signature.to_bytes().to_vec()
}
