//! `Link` headers (RFC 8288), as far as GitHub's lists use them.

use seams::outside::OutsideResponse;

/// The longest cursor that is accepted, in bytes.
const MAX_CURSOR_BYTES: usize = 512;

/// Returns the address of the next page.
fn next(answer: &OutsideResponse) -> Option<&str> {
    let links = answer.header("link")?.split('<').skip(1);
    links.filter_map(|link| link.split_once('>')).find_map(|(url, params)| {
        let is_next = params.split([';', ',']).any(|param| {
            let (name, value) = param.trim().split_once('=').unwrap_or_default();
            name == "rel" && value.trim_matches('"') == "next"
        });
        is_next.then_some(url)
    })
}

/// Whether there is a page after this one.
pub(crate) fn has_next(answer: &OutsideResponse) -> bool {
    next(answer).is_some()
}

/// Returns the cursor of the next page, in lists that have a `cursor`.
pub(crate) fn next_cursor(answer: &OutsideResponse) -> Option<String> {
    let (_, query) = next(answer)?.split_once('?')?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let (_, cursor) = pairs.find(|(name, _)| name == "cursor")?;
    (1..=MAX_CURSOR_BYTES).contains(&cursor.len()).then(|| cursor.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_the_links() {
        let of = |link: &str| {
            let headers = vec![("link".to_owned(), link.to_owned())];
            next_cursor(&OutsideResponse { status: 200, headers, body: Vec::new() })
        };
        let next = r#"<https://api/x?per_page=9&cursor=v1_%2B7>; rel="next""#;
        assert_eq!(of(next).as_deref(), Some("v1_+7"));
        let among = format!(r#"<https://api/x?cursor=v1_1>; rel="prev", {next}, <y>; rel="last""#);
        assert_eq!(of(&among).as_deref(), Some("v1_+7"));
        for none in [
            "",
            "<",
            "next",
            r#"<https://api/x?cursor=1>; rel="prev""#,
            r#"<https://api/x>; rel="next""#,
            r#"<https://api/x?cursor=>; rel="next""#,
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
