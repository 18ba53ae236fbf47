//! The README's example: it is this code, it compiles, and it does what the README says.

include!("readme_example.rs");

mod tests {
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;
    use crate::world::run;

    /// Starts a server for one request, which gives this answer and returns the request. Without an
    /// answer the server keeps its caller waiting until the caller goes.
    fn serve(answer: Option<&'static str>) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = format!("http://{}/{{name}}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            let mut chunk = [0; 4096];
            while !request.ends_with('}') {
                let length = stream.read(&mut chunk).unwrap();
                request += std::str::from_utf8(&chunk[..length]).unwrap();
            }
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
                None => assert_eq!(stream.read(&mut chunk).unwrap_or(0), 0),
            }
            request
        });
        (place, server)
    }

    fn ask(services: &str) -> String {
        run(describe(&core(services), "t"))
    }

    #[test]
    fn the_example_of_the_readme_is_this_one() {
        let _: fn() = main;
        let readme = include_str!("../../README.md");
        let example = format!("```rust\n{}```\n", include_str!("readme_example.rs"));
        assert!(readme.contains(&example), "copy readme_example.rs into README.md");
    }

    #[test]
    fn it_asks_over_a_real_connection() {
        let (place, server) = serve(Some(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n\
             {\"valid\": true, \"chittyId\": \"CHITTY-PEO-1\", \"scope\": [\"read\", \"write\"]}",
        ));
        assert_eq!(ask(&place), "CHITTY-PEO-1 may read, write");
        let request = server.join().unwrap();
        assert!(request.starts_with("POST /auth/v1/tokens/validate HTTP/1.0\r\n"), "{request}");
        assert!(request.contains("\r\nx-request-id: request-1\r\n"), "{request}");
        assert!(request.ends_with("\r\ncontent-length: 13\r\n\r\n{\"token\":\"t\"}"), "{request}");
    }

    #[test]
    fn it_tells_a_refusal_from_an_outage() {
        let (place, server) = serve(Some("HTTP/1.1 401 Unauthorized\r\n\r\n{}"));
        assert_eq!(ask(&place), "not valid");
        server.join().unwrap();
        let (place, server) = serve(Some("HTTP/1.1 503 Busy\r\nRetry-After: 60\r\n\r\n"));
        assert_eq!(ask(&place), "ask again later: chittyauth: unavailable: answered 503");
        server.join().unwrap();
        // A port that was free a moment ago.
        let place = {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}/{{name}}", listener.local_addr().unwrap())
        };
        assert!(ask(&place).starts_with("ask again later: chittyauth: unreachable: "));
    }

    #[test]
    fn its_transport_keeps_to_deadline_and_size() {
        let request = |url: String| HttpRequest {
            service: chitty_core::Service::Auth,
            method: chitty_core::HttpMethod::Post,
            url,
            headers: Vec::new(),
            body: Some("{}".to_owned()),
            deadline_ms: 50,
            max_body_bytes: 100,
        };
        let (place, server) = serve(None);
        let answer = run(PlainHttp.send(request(place)));
        assert_eq!(answer.unwrap_err(), TransportError::Timeout);
        server.join().unwrap();

        let (place, server) = serve(Some(
            "HTTP/1.1 200 OK\r\n\r\n--------------------------------------------------------------\
             --------------------------------------------------------------------------------------",
        ));
        let answer = run(PlainHttp.send(HttpRequest { deadline_ms: 5_000, ..request(place) }));
        assert_eq!(answer.unwrap_err(), TransportError::TooLarge(100));
        server.join().unwrap();
    }

    #[test]
    fn its_random_numbers_are_bounded() {
        let clock = SystemClock;
        assert_eq!(clock.jitter(0), 0);
        let drawn: std::collections::BTreeSet<u32> =
            (0..100).map(|_| clock.jitter(1_000)).collect();
        assert!(drawn.len() > 10 && drawn.iter().all(|number| *number < 1_000));
    }
}
