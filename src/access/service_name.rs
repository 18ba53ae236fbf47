//! The names of services.

/// Returns a service's name in the form in which names are compared: `ChittyCases` and `cases` both
/// give `cases`.
pub fn service_name(text: &str) -> String {
    let name = text.to_ascii_lowercase();
    match name.strip_prefix("chitty") {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => name,
    }
}

/// Whether a text can be the name of a service.
pub fn is_service_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::caller::THIS_GATEWAY;

    #[test]
    fn names_of_services() {
        assert_eq!(service_name("ChittyCases"), "cases");
        assert_eq!(service_name("cases"), "cases");
        assert_eq!(service_name("chittyconnect"), THIS_GATEWAY);
        assert_eq!(service_name("chitty"), "chitty");
        assert!(is_service_name("github.com") && is_service_name("a"));
        for bad in ["", "-a", "a b", "a/b", "é", &"a".repeat(65)] {
            assert!(!is_service_name(bad), "{bad}");
        }
    }
}
