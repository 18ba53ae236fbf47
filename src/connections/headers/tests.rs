//! Names of headers that are known to do harm, names like them, and names that targets need.

use proptest::prelude::*;

use super::*;

fn goes(name: &str, to_chittyos: bool) -> bool {
    let sent = vec![(name.to_owned(), "v".to_owned())];
    !forwarded(sent, None, to_chittyos).is_empty()
}

const NEVER: [&str; 96] = [
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "proxy-authorization",
    "proxy-connection",
    "proxy",
    "host",
    "content-length",
    "expect",
    "via",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded",
    "x-forwarded-email",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "x-cluster-client-ip",
    "fastly-client-ip",
    "x-azure-clientip",
    "x-appengine-user-ip",
    "cf-connecting-ip",
    "cf-access-client-secret",
    "x-remote-user",
    "remote-addr",
    "x-original-url",
    "x-original-host",
    "x-original-method",
    "x-rewrite-url",
    "x-envoy-original-path",
    "x-accel-redirect",
    "x-sendfile",
    "x-reproxy-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-method",
    "method-override",
    "x-http-path-override",
    "x-middleware-subrequest",
    "x-invoke-path",
    "x-matched-path",
    "x-ms-client-principal-id",
    "x-goog-authenticated-user-email",
    "x-goog-iap-jwt-assertion",
    "x-consumer-username",
    "x-webauth-user",
    "x-ssl-client-verify",
    "ssl-client-cert",
    "x-client-cert",
    "x-chitty-internal-binding",
    "x-chitty-id",
    "x-chittyid",
    "x-chittyos-caller",
    "x-chittyos-api-key",
    "x-source-service",
    "x-worker-name",
    "x-service-token",
    "x-internal-call",
    "authorization",
    "cookie",
    "cookie2",
    "x-api-key",
    "api-key",
    "apikey",
    "x-partner-key",
    "private-token",
    "job-token",
    "x-vault-token",
    "x-amz-security-token",
    "x-auth-token",
    "x-access-token",
    "x-csrf-token",
    "ocp-apim-subscription-key",
    "x-functions-key",
    "x-hasura-admin-secret",
    "x-github-otp",
    "x-session",
    "dpop",
    "signature",
    "x-auth-email",
    "authentication",
    "x-user-id",
    "sec-fetch-site",
    "origin",
    "referer",
    "user-agent",
    "x-request-id",
    "traceparent",
    "x_forwarded_for",
    "x.http.method.override",
];

#[test]
fn no_steering_header_and_no_credential_goes_to_a_target() {
    for name in NEVER {
        assert!(!goes(name, false), "{name} elsewhere");
        assert!(!goes(name, true), "{name} to a ChittyOS service");
    }
}

#[test]
fn no_header_that_steers_by_its_beginning_goes_to_a_target() {
    for name in ["upgrade-insecure-requests", "proxy", "proxy-status"] {
        assert!(!goes(name, false) && !goes(name, true), "{name}");
    }
}

#[test]
fn the_headers_that_a_target_needs_go_to_it() {
    for name in [
        "accept",
        "accept-language",
        "content-type",
        // Without it a target would read a compressed body as a broken one.
        "content-encoding",
        "if-match",
        "if-none-match",
        "if-range",
        "range",
        "idempotency-key",
    ] {
        assert!(goes(name, true) && goes(name, false), "{name}");
    }
    for name in [
        "cache-control",
        "x-custom",
        "x-github-api-version",
        "notion-version",
        "anthropic-version",
        "stripe-account",
        "prefer",
        "openai-organization",
        "x-idempotency-key",
        "xero-tenant-id",
        "x-amz-date",
        "x-amz-content-sha256",
        "x-correlation-id",
        "x-author",
    ] {
        assert!(goes(name, false) && !goes(name, true), "{name}");
    }
    let hop = vec![
        ("connection".to_owned(), "x-hop, close".to_owned()),
        ("x-hop".to_owned(), "1".to_owned()),
        ("x-kept".to_owned(), "1".to_owned()),
    ];
    assert_eq!(forwarded(hop, Some("x-kept"), false), []);
}

#[test]
fn only_a_header_for_credentials_may_carry_one() {
    for name in [
        "authorization",
        "x-api-key",
        "api-key",
        "api_key",
        "apikey",
        "x-partner-key",
        "private-token",
        "x-vault-token",
        "x-auth-token",
        "ocp-apim-subscription-key",
        "dd-application-key",
        "x-chittyos-api-key",
        "x-shopify-access-token",
        "circle-token",
        "x-hasura-admin-secret",
        "x-auth",
        "x-service-token",
    ] {
        assert!(may_carry_credential(name), "{name}");
    }
    for name in NEVER {
        let credential = is_secret(name) && !steers(name) || name == "x-chittyos-api-key";
        assert!(credential || !may_carry_credential(name), "{name}");
    }
    for name in [
        "",
        "x-custom",
        "date",
        "from",
        "accept",
        "content-type",
        "content-key",
        "idempotency-key",
        "x-idempotency-key",
        "cache-key",
        "x-csrf-token",
        "set-cookie",
        "cookie",
        "x-chitty-token",
        "x-forwarded-access-token",
        "x-original-key",
        "proxy-authorization",
        "www-authenticate",
        "sec-websocket-key",
        "x-user-key",
        "x-http-method-key",
        "X-API-Key",
        "x api key",
        "-key",
        "x-session-token",
        "if-key",
        "x-real-ip-token",
        "access-control-allow-key",
        "k\u{e9}y",
    ] {
        assert!(!may_carry_credential(name), "{name}");
    }
}

#[test]
fn only_headers_that_describe_an_answer_come_back() {
    for name in [
        "etag",
        "last-modified",
        "content-disposition",
        "content-range",
        "retry-after",
        "vary",
        "x-total-count",
        "x-next-page",
        "x-github-media-type",
        "sunset",
    ] {
        assert!(returns(name, "v"), "{name}");
    }
    for name in [
        "nel",
        "report-to",
        "reporting-endpoints",
        "accept-ch",
        "critical-ch",
        "speculation-rules",
        "ratelimit",
        "ratelimit-policy",
        "x-ratelimit-limit",
        "x-rate-limit-remaining",
        "idempotency-replayed",
        "x-idempotent-replayed",
        "clear-site-data",
        "service-worker-allowed",
        "alt-svc",
        "strict-transport-security",
        "access-control-allow-origin",
        "x-request-id",
        "set-cookie",
        "set-cookie2",
        "set-login",
        "content-security-policy",
        "content-encoding",
        "content-length",
        "content-location",
        "cross-origin-opener-policy",
        "permissions-policy",
        "origin-agent-cluster",
        "sourcemap",
        "x-sourcemap",
        "refresh",
        "server-timing",
        "server",
        "timing-allow-origin",
        "x-frame-options",
        "x-content-type-options",
        "x-accel-redirect",
        "x-sendfile",
        "x-auth-token",
        "x-chittyconnect-target",
        "traceparent",
        "www-authenticate",
        "authentication-info",
        "cache-control",
        "connection",
        "cf-ray",
        "no-vary-search",
        "date",
    ] {
        assert!(!returns(name, "v"), "{name}");
    }
    assert!(returns("link", "<https://api.partner.example/v1/x?page=2>; rel=\"next\""));
    for link in ["</x.js>; rel=preload; as=script", "<https://e>; rel=\"next Preconnect\""] {
        assert!(!returns("link", link), "{link}");
    }
    assert!(!returns("etag", "\u{e9}") && !returns("etag", "a\r\nb: c"));
}

#[test]
fn a_query_that_asks_for_a_writing_method_is_recognised() {
    for query in ["_method=DELETE", "a=1&method=put", "$httpMethod=Patch", "x-http-method=%44ELETE"]
    {
        assert!(overrides_method(query), "{query}");
    }
    for query in
        ["", "method=flickr.photos.search", "_method=get", "x=delete", "payment_method=card"]
    {
        assert!(!overrides_method(query), "{query}");
    }
}

proptest! {
    /// A steering header or a credential does not go to a target, whatever stands before and after its name.
    #[test]
    fn a_harmful_name_within_a_longer_one_does_not_go(
        front in "(x-|my-|acme-)?", back in "(-v2|-hint)?", at in 0usize..NEVER.len()
    ) {
        let name = NEVER[at];
        // A header of one hop has no effect within a longer name.
        prop_assume!(!HOP.contains(&name) && !OWN.contains(&name) && !name.contains("websocket"));
        prop_assume!(!name.contains(['_', '.']));
        let dressed = format!("{front}{name}{back}");
        prop_assert!(!goes(&dressed, false), "{}", dressed);
        prop_assert!(!goes(&dressed, true), "{}", dressed);
    }

    /// A caller's header that may carry a credential goes to no target.
    #[test]
    fn no_caller_brings_a_header_that_a_credential_may_stand_in(name in "[a-z]{1,6}(-(key|token|auth|secret|[a-z]{1,5})){1,3}") {
        if may_carry_credential(&name) {
            prop_assert!(!goes(&name, false) && !goes(&name, true), "{}", name);
        }
    }
}

#[test]
fn headers_named_in_connection_go_no_further() {
    let headers = [
        ("connection", "close, X-Hop"),
        ("x-hop", "1"),
        ("x-order", "x-trace"),
        ("x-trace", "2"),
        ("accept", "*/*"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let names = |to_chittyos| -> Vec<String> {
        forwarded(headers.clone(), None, to_chittyos).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(false), ["x-order", "x-trace", "accept"]);
    assert_eq!(names(true), ["accept"]);
}
