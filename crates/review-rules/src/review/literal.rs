//! Decides whether a text looks like a real secret: it is random enough, and no placeholder.

/// Parts of placeholders for a secret, in lower case.
const STAND_INS: &[&str] = &[
    "example",
    "changeme",
    "change-me",
    "change_me",
    "placeholder",
    "dummy",
    "sample",
    "fake",
    "mock",
    "todo",
    "xxx",
    "your",
    "redacted",
    "replace",
    "insert",
    "test",
    "secret",
    "password",
    "foobar",
    "12345678",
    "abcdef",
    "deadbeef",
    "default",
    "***",
    "...",
    "process.env",
    "environ",
    "getenv",
];

/// The beginnings of texts that only say where a secret is.
const REFERENCES: &[&str] = &[
    "$",
    "%",
    "<",
    "{",
    "/",
    "./",
    "../",
    "~/",
    "arn:",
    "vault:",
    "op://",
    "ref+",
    "enc[",
    "enc:",
    "env:",
    "env.",
    "file:",
    "secretsmanager",
    "http://",
    "https://",
    "sha256",
    "sha384",
    "sha512",
    "#",
];

/// The least entropy of a secret, in bits a character: 20 random letters and digits have about 4, 20 random
/// hexadecimal digits about 3.3, and short words have less.
const MIN_BITS: f64 = 3.0;

/// The shortest text that may be a secret, in bytes.
const MIN_BYTES: usize = 12;

/// The longest text that may be a secret, in bytes: keys are shorter.
const MAX_BYTES: usize = 256;

/// Whether a value that is assigned to a password, secret, token or key looks real.
pub(super) fn is_secret(value: &str) -> bool {
    (MIN_BYTES..=MAX_BYTES).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_graphic())
        && !is_stand_in(value)
        && !is_uuid(value)
        && is_mixed(value)
        && entropy(value) >= MIN_BITS
}

/// Whether a value is a placeholder for a secret, or only says where one is.
pub(super) fn is_stand_in(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    ["${", "{{", "$(", "#{", "%(", "%s", "<%"].iter().any(|part| lower.contains(part))
        || REFERENCES.iter().any(|beginning| lower.starts_with(beginning))
        || STAND_INS.iter().any(|word| lower.contains(word))
        || distinct(value.as_bytes()) < 5
}

/// How many different bytes there are.
pub(super) fn distinct(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in bytes {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    seen.iter().filter(|seen| **seen).count()
}

fn is_uuid(value: &str) -> bool {
    let parts: Vec<usize> = value.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && value.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

/// Whether digits, capitals and small letters alternate as often as in random text. Names have fewer changes:
/// `oauth2_token` has one digit, and in `getAccessTokenV2` hardly any change counts.
fn is_mixed(value: &str) -> bool {
    let kind = |byte: u8| match byte {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        b'a'..=b'z' => 2,
        _ => 3,
    };
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.bytes().filter(u8::is_ascii_alphabetic).count();
    let pairs = value.bytes().zip(value.bytes().skip(1));
    let is_change = |(one, other): &(u8, u8)| match (kind(*one), kind(*other)) {
        // The capital at the beginning of a word, and a separator of words, do not count.
        (1, 2) | (3, _) | (_, 3) => false,
        (one, other) => one != other,
    };
    let changes = pairs.filter(is_change).count();
    digits >= 2 && letters >= 2 && changes >= 3 && changes * 6 >= value.len()
}

/// Shannon's entropy of the bytes, in bits a byte.
#[allow(clippy::cast_precision_loss, reason = "at most MAX_BYTES")]
fn entropy(value: &str) -> f64 {
    let mut counts = [0u32; 256];
    for byte in value.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let total = value.len() as f64;
    let bits = |count: &u32| {
        let share = f64::from(*count) / total;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(bits).sum()
}

/// Whether the password of a connection string looks real: it is no placeholder and no usual default.
pub(super) fn is_password(value: &str) -> bool {
    const COMMON: &[&str] = &[
        "pass",
        "passwd",
        "pwd",
        "postgres",
        "mysql",
        "root",
        "admin",
        "guest",
        "user",
        "redis",
        "rabbitmq",
        "mongo",
        "local",
        "localhost",
        "dev",
        "develop",
        "development",
    ];
    let lower = value.to_ascii_lowercase();
    (6..=200).contains(&value.len()) && !is_stand_in(value) && !COMMON.contains(&lower.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_text_is_told_from_names() {
        for secret in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMP1EK3Y",
            "hG7kP2xQ9mZ4vB1n",
            "Zx8-kQ2_vLm4Rt6Yp0Ws",
            "kJ9#mP2$vL5@",
            "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0NTY=",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for harmless in [
            "",
            "hunter2",
            "changeme-please-123",
            "getAccessTokenV2",
            "oauth2_access_token_v1",
            "refresh_token_expired",
            "correct horse battery staple 12",
            "correct-horse-battery-staple-12",
            "${DB_PASSWORD}",
            "$DB_PASSWORD_2",
            "process.env.TOKEN_A1b2C3",
            "<your-api-key-1a2b3c>",
            "YOUR_API_KEY_1A2B3C",
            "xxxxxxxxxxxx1a2b",
            "AKIAIOSFODNN7EXAMPLE",
            "/run/secrets/db1a2b3c",
            "https://auth.acme.io/t0ken/a1b2c3",
            "arn:aws:secretsmanager:eu-1:123:x",
            "123e4567-e89b-12d3-a456-426614174000",
            "1111111111111111",
            "2026-01-02T03:04:05Z",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is_secret(harmless), "{harmless}");
        }
    }

    #[test]
    fn entropy_is_in_bits() {
        assert!(entropy("aaaa").abs() < 1e-9);
        assert!((entropy("abcd") - 2.0).abs() < 1e-9);
    }
}
