//! How the body of a delivery carries its payload. GitHub lets the owner of a webhook choose between two
//! encodings; each delivery names its own in the `Content-Type`.

use serde::{Deserialize, Serialize};

/// The name of the field that holds the payload in a form.
const FIELD: &[u8] = b"payload";

/// The encoding of a payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// `application/json`: the body is the payload.
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`: the payload is the field `payload` of a form.
    Form,
}

impl Encoding {
    /// Returns the encoding that a `Content-Type` names.
    pub fn of(content_type: &str) -> Option<Self> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/json" => Some(Encoding::Json),
            "application/x-www-form-urlencoded" => Some(Encoding::Form),
            _ => None,
        }
    }

    /// Whether it is [`Encoding::Json`], the usual one, which messages leave out.
    pub fn is_json(&self) -> bool {
        *self == Encoding::Json
    }

    /// Returns the payload that a body carries. Decodes in place, in the memory of the body.
    ///
    /// # Errors
    /// A sentence that says what is wrong and quotes nothing of the body.
    pub fn payload(self, body: Vec<u8>) -> Result<Vec<u8>, String> {
        match self {
            Encoding::Json => Ok(body),
            Encoding::Form => {
                field(body).ok_or_else(|| "the form has no field `payload`".to_owned())
            }
        }
    }
}

/// Returns the first field `payload` of a form, decoded in place.
fn field(mut form: Vec<u8>) -> Option<Vec<u8>> {
    let mut begin = 0;
    for part in form.split(|byte| *byte == b'&') {
        if part.strip_prefix(FIELD).is_some_and(|rest| rest.first() == Some(&b'=')) {
            let value = begin + FIELD.len() + 1;
            form.truncate(begin + part.len());
            form.drain(..value);
            decode(&mut form);
            return Some(form);
        }
        begin += part.len() + 1;
    }
    None
}

/// Decodes a value of a form (URL Standard, "application/x-www-form-urlencoded parsing").
fn decode(value: &mut Vec<u8>) {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut read, mut written) = (0, 0);
    while let Some(&byte) = value.get(read) {
        let escaped = match byte {
            b'%' => digit(value.get(read + 1)).zip(digit(value.get(read + 2))),
            _ => None,
        };
        let (decoded, length) = match (byte, escaped) {
            (_, Some((high, low))) => (u8::try_from(high << 4 | low).unwrap_or_default(), 3),
            (b'+', None) => (b' ', 1),
            (byte, None) => (byte, 1),
        };
        if let Some(place) = value.get_mut(written) {
            *place = decoded;
        }
        read += length;
        written += 1;
    }
    value.truncate(written);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_content_type_names_an_encoding() {
        for (text, expected) in [
            ("application/json", Some(Encoding::Json)),
            ("Application/JSON; charset=utf-8", Some(Encoding::Json)),
            ("application/x-www-form-urlencoded", Some(Encoding::Form)),
            ("application/x-www-form-urlencoded;charset=UTF-8", Some(Encoding::Form)),
            ("", None),
            ("text/plain", None),
            ("multipart/form-data; boundary=x", None),
            ("application/jsonp", None),
        ] {
            assert_eq!(Encoding::of(text), expected, "{text}");
        }
    }

    #[test]
    fn the_payload_of_a_form_is_its_field() {
        let payload = |form: &str| Encoding::Form.payload(form.as_bytes().to_vec());
        for (form, expected) in [
            ("payload=%7B%22a%22%3A+%22%2B%26%22%7D", r#"{"a": "+&"}"#),
            ("a=b&payload=%7b%7d&payload=2", "{}"),
            ("payload=", ""),
            // A percent sign without two hexadecimal digits stays unchanged.
            ("payload=100%&a", "100%"),
            ("payload=%zz%4", "%zz%4"),
        ] {
            assert_eq!(payload(form).unwrap(), expected.as_bytes(), "{form}");
        }
        for form in ["", "{}", "payload", "payloads={}", "&&", "PAYLOAD={}"] {
            let error = payload(form).unwrap_err();
            assert!(error.contains("no field `payload`"), "{form}");
        }
    }

    proptest! {
        #[test]
        fn a_form_gives_back_its_payload(value in ".*", before in "[a-z]{0,8}") {
            let form = form_urlencoded::Serializer::new(String::new())
                .append_pair(&before, &value)
                .append_pair("payload", &value)
                .finish();
            let payload = Encoding::Form.payload(form.into_bytes()).unwrap();
            prop_assert_eq!(payload, value.into_bytes());
        }

        #[test]
        fn any_bytes_decode_as_the_standard_says(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut form = b"payload=".to_vec();
            form.extend(&bytes);
            let expected = form_urlencoded::parse(&form).next().unwrap().1.into_owned();
            let payload = Encoding::Form.payload(form).unwrap();
            prop_assert_eq!(String::from_utf8_lossy(&payload), expected);
        }
    }
}
