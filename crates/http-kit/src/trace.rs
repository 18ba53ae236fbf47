//! Correlation: the request id and the W3C trace context of one request.

use chitty_core::CallContext;
use seams::ids;
use seams::inbound::Inbound;

/// The correlation of one request. Taken from the caller where valid, generated otherwise; returned to the
/// caller and passed upstream.
#[derive(Debug, Clone)]
pub struct Trace {
    /// `X-Request-ID`.
    pub request_id: String,
    /// `traceparent` with this gateway's own span, which is the parent of the spans upstream.
    pub traceparent: String,
    /// `tracestate` of the caller, passed on unchanged.
    pub tracestate: Option<String>,
}

impl Trace {
    /// Reads the request id and the trace context of a request, or generates them.
    pub fn of(inbound: &dyn Inbound, now_ms: u64) -> Self {
        let request_id = inbound
            .header("x-request-id")
            .filter(|id| is_request_id(id))
            .unwrap_or_else(|| ids::uuid_v7(now_ms));
        let mut tracestate = None;
        let traceparent = match inbound.header("traceparent").as_deref().and_then(parse) {
            Some((trace_id, flags)) => {
                tracestate = inbound.header("tracestate").filter(|state| is_tracestate(state));
                format!("00-{trace_id}-{}-{flags}", ids::random_hex::<8>())
            }
            // Flags 00: nobody asked to record this trace.
            None => {
                let random = ids::random_hex::<24>();
                let (trace_id, span) = random.split_at(32);
                format!("00-{trace_id}-{span}-00")
            }
        };
        Trace { request_id, traceparent, tracestate }
    }

    /// Returns the context that upstream calls of this request carry. Leaves out a session id that is not
    /// valid.
    pub fn call(&self, session_id: Option<String>) -> CallContext {
        CallContext {
            request_id: Some(self.request_id.clone()),
            traceparent: Some(self.traceparent.clone()),
            tracestate: self.tracestate.clone(),
            session_id: session_id.filter(|id| is_request_id(id)),
        }
    }
}

/// Whether a text is short enough to log and has no character that a header or a log line must escape.
fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
}

/// Whether a `tracestate` is printable ASCII of at most 512 bytes, the length that a service must pass on
/// (W3C Trace Context §3.3.1.5).
fn is_tracestate(text: &str) -> bool {
    text.len() <= 512 && text.bytes().all(|b| (0x20..0x7f).contains(&b))
}

/// Returns the trace id and flags of a `traceparent` of version 00 or of a later version, whose first fields
/// are read in the same way (W3C Trace Context §4.3).
fn parse(header: &str) -> Option<(&str, &str)> {
    let mut fields = header.trim().split('-');
    let (version, trace_id, parent, flags) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |text: &str| text.bytes().all(|b| b == b'0');
    let sound = hex(version, 2)
        && version != "ff"
        && (version != "00" || fields.next().is_none())
        && hex(trace_id, 32)
        && !zero(trace_id)
        && hex(parent, 16)
        && !zero(parent)
        && hex(flags, 2);
    sound.then_some((trace_id, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = format!("00-{id}-00f067aa0ba902b7-01");
        assert_eq!(parse(&good), Some((id, "01")));
        assert_eq!(parse(&format!("cc-{id}-00f067aa0ba902b7-01-more")), Some((id, "01")));
        for bad in [
            String::new(),
            format!("{good}-more"),
            good.replace("00-4", "ff-4"),
            good.to_uppercase(),
            good.replace(id, &"0".repeat(32)),
            good.replace("00f067aa0ba902b7", "0000000000000000"),
            good.replace(id, "4bf9"),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn request_ids() {
        for good in ["a", "01890a5d-ac96-774b-bcce-b302099a8057", "job:42_x.y"] {
            assert!(is_request_id(good), "{good}");
        }
        for bad in ["", "a b", "a\nb", "é", &"x".repeat(129)] {
            assert!(!is_request_id(bad), "{bad}");
        }
    }

    #[test]
    fn tracestates() {
        for good in ["", "a=1,b=2", " ~", &"x".repeat(512)] {
            assert!(is_tracestate(good), "{good}");
        }
        for bad in ["a\tb", "\u{7f}", "é", &"x".repeat(513)] {
            assert!(!is_tracestate(bad), "{bad}");
        }
    }

    #[test]
    fn a_call_carries_the_context_and_a_valid_session() {
        let trace = Trace {
            request_id: "r".to_owned(),
            traceparent: "p".to_owned(),
            tracestate: Some("s".to_owned()),
        };
        let call = trace.call(Some("session-1".to_owned()));
        let texts = [call.request_id, call.traceparent, call.tracestate, call.session_id];
        let texts: Vec<&str> = texts.iter().flatten().map(String::as_str).collect();
        assert_eq!(texts, ["r", "p", "s", "session-1"]);
        assert_eq!(trace.call(Some("no session".to_owned())).session_id, None);
    }
}
