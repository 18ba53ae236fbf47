use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use chitty_core::{
    CallContext, ChittyCore, Clock, CoreConfig, HttpRequest, HttpResponse, TokenCheck, Transport,
    TransportError,
};

/// Sends HTTP/1.0 without TLS, one connection a request.
struct PlainHttp;

#[async_trait(?Send)]
impl Transport for PlainHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        exchange(&request).map_err(|error| match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => TransportError::Timeout,
            ErrorKind::FileTooLarge => TransportError::TooLarge(request.max_body_bytes),
            _ => TransportError::Unreachable(error.to_string()),
        })
    }
}

fn exchange(request: &HttpRequest) -> io::Result<HttpResponse> {
    let deadline = Instant::now() + Duration::from_millis(request.deadline_ms.into());
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let place = request.url.strip_prefix("http://").and_then(|rest| rest.split_once('/'));
    let (host, path) = place.ok_or(ErrorKind::InvalidInput)?;
    let address = host.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;

    let body = request.body.as_deref().unwrap_or_default();
    let mut text = format!("{} /{path} HTTP/1.0\r\nhost: {host}\r\n", request.method.as_str());
    for (name, value) in &request.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(text.as_bytes())?;

    // The answer ends with the connection.
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left()?))?;
        let length = stream.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        answer.extend_from_slice(&chunk[..length]);
        if answer.len() > request.max_body_bytes {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
    let end =
        answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(ErrorKind::InvalidData)?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    let retry_after = head.lines().find_map(|line| line.strip_prefix("retry-after:"));
    Ok(HttpResponse {
        status: status.ok_or(ErrorKind::InvalidData)?,
        retry_after: retry_after.map(|value| value.trim().to_owned()),
        body,
    })
}

/// The system's clock. Its sleep blocks the thread; with an async runtime, use the runtime's timer.
struct SystemClock;

#[async_trait(?Send)]
impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    async fn sleep(&self, ms: u64) {
        std::thread::sleep(Duration::from_millis(ms));
    }

    fn jitter(&self, bound: u32) -> u32 {
        (RandomState::new().build_hasher().finish() % u64::from(bound.max(1))) as u32
    }
}

fn core(services: &str) -> ChittyCore {
    let mut config = CoreConfig::new("Example/1.0");
    config.url_template = services.to_owned();
    ChittyCore::new(config, Rc::new(PlainHttp), Rc::new(SystemClock))
}

async fn describe(core: &ChittyCore, token: &str) -> String {
    let cx = CallContext { request_id: Some("request-1".to_owned()), ..CallContext::default() };
    match core.session(cx).auth().validate(token).await {
        Ok(TokenCheck::Valid(info)) => format!("{} may {}", info.actor, info.scopes.join(", ")),
        Ok(TokenCheck::Invalid) => "not valid".to_owned(),
        Err(error) if error.is_retryable() => format!("ask again later: {error}"),
        Err(error) => format!("no answer: {error}"),
    }
}

fn main() {
    let core = core("http://127.0.0.1:8788/{name}");
    println!("{}", futures_executor::block_on(describe(&core, "some-token")));
}
