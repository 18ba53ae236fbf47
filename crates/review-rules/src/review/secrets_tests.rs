//! The secrets of these tests are put together at run time, so that no scanner finds any in this file.

use super::*;

const BODY: &str = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2eF4hJ6";

fn names(line: &str) -> Vec<&'static str> {
    find(line, None, false, false).iter().map(|rule| rule.name).collect()
}

fn bare_names(line: &str) -> Vec<&'static str> {
    find(line, None, false, true).iter().map(|rule| rule.name).collect()
}

/// Lines with a secret, each with the rule that finds it.
fn planted() -> Vec<(String, &'static str)> {
    let jwt_claims = "eyJpc3MiOiJhdXRoIiwiZXhwIjoxNzY3MzIzMDQ1fQ";
    let google = BODY.get(..35).unwrap();
    vec![
        (format!("id = \"{}IQ3XR7PN5WKL2ZTM\"", "AKIA"), "aws-access-key"),
        (format!("token: {}{BODY}", "ghp_"), "github-token"),
        (format!("{}{BODY}", "ghs_"), "github-token"),
        (format!("{}{BODY}", "gho_"), "github-token"),
        (format!("{}{BODY}", "ghu_"), "github-token"),
        (format!("x {}11ABCDEFG0{BODY}_{BODY} y", "github_pat_"), "github-token"),
        (format!("'{}123456789012-{BODY}'", "xoxb-"), "slack-token"),
        (
            format!("https://hooks.slack{}/T0A1B2C3D/B0A1B2C3D/{BODY}", ".com/services"),
            "slack-webhook",
        ),
        (format!("Stripe({}{BODY})", "sk_live_"), "stripe-key"),
        (format!("{}{BODY}", "rk_live_"), "stripe-key"),
        (format!("key={}{google}&x", "AIza"), "google-api-key"),
        (format!("//registry.npmjs.org/:_authToken={}{BODY}", "npm_"), "npm-token"),
        (format!("Bearer eyJhbGciOiJIUzI1NiJ9.{jwt_claims}.{BODY}"), "jwt"),
        (format!("const DB_PASSWORD: &str = \"{}\";", "kJ9#mP2$vL5@x"), "assigned-secret"),
        (format!("  \"api_key\": \"{BODY}\","), "assigned-secret"),
        (format!("let apiKey = '{BODY}'"), "assigned-secret"),
        (format!("client_secret := `{BODY}`"), "assigned-secret"),
        (format!("password: str = \"{}\"", "9f86d081884c7d659a2feaa0c55ad015"), "assigned-secret"),
        (format!("if token == \"{BODY}\" {{"), "assigned-secret"),
        (format!("url = \"postgres://app:{}@db.acme.io:5432/x\"", "q7Tz9Lw2"), "connection-string"),
        (format!("mongodb+srv://app:{}@c0.abcde.mongodb.net", "q7Tz9Lw2"), "connection-string"),
        (format!("\"Server=db.acme.io;User Id=sa;Password={};\"", "q7Tz9Lw2"), "connection-string"),
    ]
}

#[test]
fn each_kind_is_found_once() {
    for (line, expected) in planted() {
        assert_eq!(names(&line), [expected], "{line}");
    }
}

#[test]
fn a_placeholder_is_no_secret() {
    for line in [
        "AKIAIOSFODNN7EXAMPLE",
        "let prefixes = [\"ghp_\", \"gho_\", \"github_pat_\"];",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "ghp_000000000000000000000000000000000000",
        "xoxb-your-token-goes-here-please",
        "sk_live_...",
        "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
        "npm_config_registry=https://registry.npmjs.org/",
        "npm_package_devDependencies_something_long",
        "AIza is how they begin",
        "password = \"hunter2\"",
        "password = os.environ[\"DB_PASSWORD\"]",
        "const token = process.env.GITHUB_TOKEN_V2;",
        "token: ${{ secrets.GITHUB_TOKEN }}",
        "password: \"${DB_PASSWORD_1A2B3C}\"",
        "api_key = \"<your-api-key-1A2B3C4D>\"",
        "api_key: \"YOUR_API_KEY_12345\"",
        "secret = \"changeme-1A2b3C4d5E\"",
        "token_url = \"https://auth.acme.io/oauth2/v1/token\"",
        "const TOKEN_PATH: &str = \"/v1/auth/token2/x1y2z3\";",
        "next_page_token = \"aB3dE5gH7jK9mN1pQ3sT5v\"",
        "\"PublicKeyToken\": \"b77a5c561934e089\"",
        "max_tokens: 300",
        "secret_name = \"projects/a1b2c3/secrets/d4e5f6\"",
        "password_hash = \"$2b$12$kJ9mP2vL5xQ8zR1tY4wN7u\"",
        "checksum = \"9f86d081884c7d659a2feaa0c55ad015\"",
        "{ token: name, id: \"9f86d081884c7d659a2feaa0c55ad015\" }",
        "sha512-9f86d081884c7d659a2feaa0c55ad015",
        "uses: actions/checkout@9f86d081884c7d659a2feaa0c55ad01500000000",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4ifQ.\
         SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        "postgres://user:password@localhost:5432/app",
        "postgres://postgres:postgres@db:5432/app",
        "postgres://app:q7Tz9Lw2@localhost/app",
        "postgres://${USER}:${PASSWORD}@${HOST}/app",
        "postgres://{user}:{password}@{host}.acme.io/app",
        "https://user:q7Tz9Lw2@example.com/",
        "git clone git@github.com:acme/app.git",
        "https://github.com/acme/app/blob/main/a.ts#L10",
        "http://localhost:8080/a@b",
        "if pem.starts_with(\"-----BEGIN PRIVATE KEY-----\") {",
        "const HEADER: &str = \"-----BEGIN RSA PRIVATE KEY-----\\n\";",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "\"-----BEGIN PRIVATE KEY-----\\nMAAA\\n-----END PRIVATE KEY-----\"",
    ] {
        assert_eq!(names(line), [""; 0], "{line}");
    }
}

#[test]
fn a_private_key_is_a_header_with_a_key() {
    let header = format!("-----BEGIN {} KEY-----", "RSA PRIVATE");
    let key = "MIIEpAIBAAKCAQEA7v0rXb3kqY9Zc1dW5fT8hJ2nLp6sQxUa";
    let is_found = |line: &str, next: Option<&str>| {
        find(line, next, true, false).iter().any(|rule| rule.name == "private-key")
    };
    assert!(is_found(&header, Some(key)));
    assert!(is_found(&format!("    {header}"), Some(&format!("    {key}"))));
    assert!(is_found(&header, Some("Proc-Type: 4,ENCRYPTED")));
    assert!(is_found(&header, None));
    assert!(is_found(&format!("key: \"{header}\\n{key}\\n\""), None));
    assert!(is_found(&format!("\"{header}\\n\" +"), Some(&format!("\"{key}\\n\" +"))));
    assert!(!is_found(&header, Some("...")));
    assert!(!is_found(&format!("`{header}` is how a key begins"), None));
}

#[test]
fn files_of_settings_have_values_without_quotes() {
    for line in [
        format!("DB_PASSWORD={BODY}"),
        format!("export API_TOKEN={BODY}"),
        format!("  secret: {BODY}"),
        format!("//npm.acme.io/:_authToken={BODY}"),
    ] {
        assert_eq!(bare_names(&line), ["assigned-secret"], "{line}");
        assert_eq!(names(&line), [""; 0], "{line}");
    }
    for line in [
        "API_TOKEN=",
        "API_TOKEN=$(cat /run/token1a2b3c)",
        "token: ${{ secrets.TOKEN }}",
        "  secretName: app-tls-2024-01",
        "PASSWORD=changeme # 9f86d081884c7d659a2feaa0c55ad015",
        "token = request.headers[\"x-token-1a2b3c4d5e\"]",
    ] {
        assert_eq!(bare_names(line), [""; 0], "{line}");
    }
}

#[test]
fn in_tests_only_known_shapes_count() {
    let in_tests = |line: &str| find(line, None, true, false).len();
    for (line, rule) in planted() {
        let is_by_shape = !matches!(rule, "jwt" | "assigned-secret" | "connection-string");
        assert_eq!(in_tests(&line), usize::from(is_by_shape), "{line}");
    }
}
