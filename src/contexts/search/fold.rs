//! Folding: removes from a text the differences that do not matter to a search, which are case,
//! compatibility forms, and marks that are an addition to a letter. Pure.
//!
//! Folding drops the diacritics of Latin, Greek and Cyrillic, the points of Hebrew, the vowels and hamzas of
//! Arabic and similar marks. It keeps й, ў and ї, because they are letters of their own, and every mark that
//! makes another letter or syllable: those of kana and of the scripts of India and South-East Asia. It
//! replaces Latin letters without a decomposition by their usual substitutes (ł l, ø o, ß ss).

use std::borrow::Cow;

use seams::unicode::{nfc, nfkd};
use unicode_normalization::char::is_combining_mark;

use super::cut::is_unspaced;

/// Returns the folded form of a text, which the search uses.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => Cow::Borrowed(text),
        };
    }
    let mut folded = String::with_capacity(text.len());
    let mut base = ' ';
    let mut may_compose = false;
    for c in nfkd(text).chars().flat_map(char::to_lowercase) {
        if is_combining_mark(c) {
            if !is_dropped(c, base) {
                folded.push(c);
                may_compose = true;
            }
            continue;
        }
        match c {
            // Invisible: soft hyphens, joiners, marks of direction, selectors, tags.
            '\u{ad}'
            | '\u{200d}'..='\u{200f}'
            | '\u{61c}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}' => continue,
            // The zero-width space ends a word, except in scripts whose words are not separated anyway.
            '\u{200b}' if is_unspaced(base) => continue,
            // The non-joiner ends a part of a word in scripts that join letters.
            '\u{200c}' if !is_arabic(base) => continue,
            _ => {}
        }
        match spelling(c) {
            Some(spelling) => folded.push_str(spelling),
            None => folded.push(c),
        }
        may_compose |= joins(c);
        base = c;
    }
    // Without a kept mark or a joining character, there is nothing to compose.
    Cow::Owned(if may_compose { nfc(&folded) } else { folded })
}

/// Whether a character that is no mark composes with the character before it: the parts of Korean
/// syllables, and one vowel of Kirat Rai.
fn joins(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{16d67}')
}

/// Whether folding drops a mark, because it is an addition to the letter `base` before it.
fn is_dropped(mark: char, base: char) -> bool {
    match mark {
        '\u{306}' => !matches!(base, 'и' | 'у'),
        '\u{308}' => base != 'і',
        // Marks of any letter.
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}'
        | '\u{e0100}'..='\u{e01ef}'
        // Mongolian selectors; Cyrillic, Hebrew, Arabic, Syriac.
        | '\u{180b}'..='\u{180f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{5bf}'
        | '\u{5c1}'..='\u{5c2}' | '\u{5c4}'..='\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}'
        | '\u{6e7}'..='\u{6e8}' | '\u{6ea}'..='\u{6ed}' | '\u{711}' | '\u{730}'..='\u{74a}'
        | '\u{898}'..='\u{89f}' | '\u{8ca}'..='\u{8e1}' | '\u{8e3}'..='\u{8ff}' => true,
        _ => false,
    }
}

fn is_arabic(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{870}'..='\u{8ff}')
}

/// Returns the replacement of a character that has no decomposition or has several forms.
fn spelling(c: char) -> Option<&'static str> {
    Some(match c {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'þ' => "th",
        'ø' => "o",
        'ł' => "l",
        'đ' | 'ð' => "d",
        'ħ' => "h",
        'ŧ' => "t",
        'ı' => "i",
        // The form at the end of a word, and the one elsewhere.
        'ς' => "σ",
        // Persian and Arabic keyboards have different letters here.
        'ی' | 'ى' => "ي",
        'ک' => "ك",
        // The tatweel only makes a word longer.
        '\u{640}' => "",
        '\u{200b}' => " ",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    #[test]
    fn case_forms_and_marks_are_folded() {
        for (text, folded) in [
            ("Hello", "hello"),
            ("Crème BRÛLÉE", "creme brulee"),
            ("Ελλάδα ΟΔΟΣ οδός", "ελλαδα οδοσ οδοσ"),
            ("Ёлка Йод Їжак Ў", "елка йод їжак ў"),
            ("Việt Đức", "viet duc"),
            ("Łódź Øst Straße ẞ Æsir", "lodz ost strasse ss aesir"),
            ("Cœur Þór Ħamrun Ŧuŧŧa Đorđe", "coeur thor hamrun tutta dorde"),
            ("İstanbul ISPARTA ısparta", "istanbul isparta isparta"),
            ("مُحَمَّد أحمد", "محمد احمد"),
            ("שָׁלוֹם", "שלום"),
            ("ﬁne Ｆｕｌｌ x² ①", "fine full x2 1"),
            ("ガ が ｶﾞ", "ガ が ガ"),
            ("co\u{ad}operate", "cooperate"),
            ("한국", "한국"),
            ("\u{1112}\u{1161}\u{11ab}", "한"),
            ("ภาษาไทย", "ภาษาไทย"),
            ("हिन्दी", "हिन्दी"),
            ("a\u{200c}b", "ab"),
            ("ک ك یـى", "ك ك يي"),
            ("می\u{200c}خواهم", "مي\u{200c}خواهم"),
            ("ไทย\u{200b}ดี a\u{200b}b", "ไทยดี a b"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn folded_text_is_composed() {
        for c in '\0'..='\u{2ffff}' {
            for text in [format!("{c}{c}"), format!("x{c}\u{301}"), format!("ᄒ{c}ᅡᆫ")] {
                let folded = fold(&text);
                assert_eq!(nfc(&folded), folded, "{text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn folding_a_folded_text_does_not_change_it(text in "\\PC{0,40}") {
            let once = fold(&text).into_owned();
            prop_assert_eq!(fold(&once), once.clone());
        }

        #[test]
        fn composition_and_case_do_not_matter(text in "[a-zà-žα-ωа-я]{0,20}") {
            let decomposed: String = text.nfd().collect();
            prop_assert_eq!(fold(&text), fold(&decomposed));
            let upper = text.to_uppercase();
            prop_assert_eq!(fold(&text), fold(&upper));
        }
    }
}
