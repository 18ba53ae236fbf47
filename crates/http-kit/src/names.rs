//! Names that people give: their normal form, and the key by which two names are compared. Pure.
//!
//! **Normal form.** Unicode NFC; without white space at its ends; each run of white space inside is one
//! space. So different keyboards, systems and clients produce the same text for one name.
//!
//! **Invisible characters are refused**, because two names that look alike must be the same name: control
//! characters, default-ignorable characters (zero-width spaces, marks of direction, fillers, soft
//! hyphens, byte order marks) and combining marks without a base character. A character that shapes its
//! neighbours is accepted where it does so:
//!
//! - the joiners U+200C and U+200D after a letter or mark of a script that joins or stacks its letters
//!   (Arabic, Syriac, Mongolian, the scripts of India, Khmer and so on), U+200C only between two of them;
//!   U+200D also between two emoji;
//! - variation selectors after an emoji, an ideograph, or a letter or sign that has variants;
//! - the tags of a flag, such as that of Scotland, after U+1F3F4.
//!
//! **Comparison.** Variation selectors and joiners do not count, except U+200D between two emoji. Everything
//! else does: names that differ in case are different.

use std::fmt;

use seams::unicode::nfc;
use unicode_normalization::char::is_combining_mark;

/// The most characters of a name, in its normal form.
pub const MAX_CHARS: usize = 200;

/// A name that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    text: String,
    key: String,
}

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The text is empty, or has only white space.
    Blank,
    /// The text has more than [`MAX_CHARS`] characters.
    TooLong,
    /// The text has this control character.
    Control(char),
    /// The text has this invisible character, which shapes nothing where it stands.
    Invisible(char),
    /// The text has this combining mark without a base character.
    LoneMark(char),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Blank => {
                write!(f, "must have 1 to {MAX_CHARS} characters, not all of them blank")
            }
            Fault::TooLong => write!(f, "must have at most {MAX_CHARS} characters"),
            Fault::Control(c) => {
                write!(f, "must not hold control characters: leave out {}", Code(*c))
            }
            Fault::Invisible(c) => {
                write!(f, "must not hold characters that cannot be seen: leave out {}", Code(*c))
            }
            Fault::LoneMark(c) => write!(
                f,
                "must not hold a combining mark without a base character: leave out {}",
                Code(*c)
            ),
        }
    }
}

/// A character, shown by its number.
struct Code(char);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U+{:04X}", u32::from(self.0))
    }
}

impl Name {
    /// Returns a text as a name, in normal form.
    ///
    /// # Errors
    /// The first fault of the text.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = normal(text);
        if text.is_empty() {
            return Err(Fault::Blank);
        }
        if text.chars().nth(MAX_CHARS).is_some() {
            return Err(Fault::TooLong);
        }
        check_visible(&text)?;
        Ok(Name { key: without_shaping(&text), text })
    }

    /// Makes a name of one of the gateway's own texts, which is in normal form. Checks nothing.
    pub fn own(text: &'static str) -> Self {
        Name { text: text.to_owned(), key: key(text) }
    }

    /// The name, in its normal form.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key by which the name is compared.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// Returns the key by which a text is compared with names. The text need not be acceptable as a name.
pub fn key(text: &str) -> String {
    without_shaping(&normal(text))
}

/// Returns a text in normal form.
fn normal(text: &str) -> String {
    // Stops beyond MAX_CHARS characters (spaces aside), because the text may be as long as a body.
    let mut normal = String::new();
    let mut chars = 0;
    for word in text.split(is_blank).filter(|word| !word.is_empty()) {
        if !normal.is_empty() {
            normal.push(' ');
        }
        for c in nfc(word).chars() {
            normal.push(c);
            chars += 1;
            if chars > MAX_CHARS {
                return normal;
            }
        }
    }
    normal
}

/// Whether a character is white space, or the Braille blank, which looks like a space.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

/// Returns a text in normal form without what does not count in a comparison.
fn without_shaping(text: &str) -> String {
    let mut key = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut base = None;
    while let Some(c) = chars.next() {
        let between_emoji = c == ZWJ
            && base.is_some_and(is_emoji)
            && chars.peek().is_some_and(|next| is_emoji(*next));
        if !is_joiner(c) && !is_variation_selector(c) || between_emoji {
            key.push(c);
        }
        if !is_shaping(c) && !is_combining_mark(c) {
            base = Some(c);
        }
    }
    key
}

/// Refuses a text in normal form that has a control character, an invisible character that shapes nothing, or
/// a combining mark without a base character.
fn check_visible(text: &str) -> Result<(), Fault> {
    let mut chars = text.chars().peekable();
    // The character before, and the last one that is neither a mark nor a shaping character.
    let (mut before, mut base) = (None, None);
    while let Some(c) = chars.next() {
        if c.is_control() {
            return Err(Fault::Control(c));
        }
        let place = Place { before, base, next: chars.peek().copied() };
        if is_ignorable(c) && !place.may_hold(c) {
            return Err(Fault::Invisible(c));
        }
        if is_combining_mark(c) && !is_ignorable(c) && before.is_none_or(|before| before == ' ') {
            return Err(Fault::LoneMark(c));
        }
        before = Some(c);
        if !is_shaping(c) && !is_combining_mark(c) {
            base = Some(c);
        }
    }
    Ok(())
}

/// The neighbours of a character.
struct Place {
    before: Option<char>,
    base: Option<char>,
    next: Option<char>,
}

impl Place {
    /// Whether the invisible character `c` shapes its neighbours here.
    fn may_hold(&self, c: char) -> bool {
        let before = |is: fn(char) -> bool| self.before.is_some_and(is);
        let base = |is: fn(char) -> bool| self.base.is_some_and(is);
        let next = |is: fn(char) -> bool| self.next.is_some_and(is);
        match c {
            ZWNJ => before(joins) && next(joins),
            ZWJ => before(joins) || (base(is_emoji) && !before(|c| c == ZWJ) && next(is_emoji)),
            '\u{fe00}'..='\u{fe0f}' => before(has_variants),
            '\u{e0100}'..='\u{e01ef}' => before(is_ideograph),
            '\u{180b}'..='\u{180f}' => before(is_mongolian),
            // Tags follow a flag or other tags, and the last of them is TAG_END.
            TAG_FIRST..=TAG_END => {
                (before(|c| c == BLACK_FLAG) || before(|c| (TAG_FIRST..TAG_END).contains(&c)))
                    && (c == TAG_END || next(|c| (TAG_FIRST..=TAG_END).contains(&c)))
            }
            _ => false,
        }
    }
}

const ZWNJ: char = '\u{200c}';
const ZWJ: char = '\u{200d}';
const BLACK_FLAG: char = '\u{1f3f4}';
const TAG_FIRST: char = '\u{e0020}';
const TAG_END: char = '\u{e007f}';

fn is_joiner(c: char) -> bool {
    matches!(c, ZWNJ | ZWJ)
}

fn is_variation_selector(c: char) -> bool {
    matches!(
        c,
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' | '\u{180b}'..='\u{180d}' | '\u{180f}'
    )
}

/// Whether a character belongs to the emoji or letter before it: a joiner, a variation selector, a skin tone
/// or a tag.
fn is_shaping(c: char) -> bool {
    is_joiner(c)
        || is_variation_selector(c)
        || matches!(c, '\u{1f3fb}'..='\u{1f3ff}' | TAG_FIRST..=TAG_END)
}

/// Whether a code point is a Default_Ignorable_Code_Point (Unicode 17), an annotation or object mark (U+FFF9
/// to U+FFFC) or a noncharacter.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffc}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' | '\u{fdd0}'..='\u{fdef}'
    ) || u32::from(c) & 0xfffe == 0xfffe
}

/// Whether a character is a letter or mark of a script that joins or stacks its letters.
fn joins(c: char) -> bool {
    matches!(
        c,
        '\u{620}'..='\u{6ff}' | '\u{700}'..='\u{7ff}' | '\u{840}'..='\u{8ff}'
        | '\u{900}'..='\u{dff}' | '\u{f40}'..='\u{fbc}' | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17d3}' | '\u{1807}' | '\u{180a}' | '\u{1820}'..='\u{18aa}'
        | '\u{1a20}'..='\u{1aad}' | '\u{1b00}'..='\u{1bff}' | '\u{1c00}'..='\u{1c4f}'
        | '\u{a800}'..='\u{a9df}' | '\u{aa00}'..='\u{abff}' | '\u{fb50}'..='\u{fdcf}'
        | '\u{fdf0}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}' | '\u{10ac0}'..='\u{10aff}'
        | '\u{10d00}'..='\u{10fff}' | '\u{11000}'..='\u{11fff}' | '\u{1e900}'..='\u{1e95f}'
    )
}

fn is_mongolian(c: char) -> bool {
    matches!(c, '\u{1807}' | '\u{1820}'..='\u{18aa}' | '\u{180b}'..='\u{180d}')
}

fn is_ideograph(c: char) -> bool {
    matches!(
        c,
        '\u{3005}'..='\u{3007}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}'
    )
}

/// Whether a variation selector changes how the character looks.
fn has_variants(c: char) -> bool {
    is_emoji(c)
        || is_ideograph(c)
        || matches!(
            c,
            '0'..='9' | '#' | '*' | '\u{1000}'..='\u{109f}' | '\u{1820}'..='\u{18aa}'
            | '\u{2200}'..='\u{22ff}' | '\u{2a00}'..='\u{2aff}' | '\u{3000}'..='\u{303f}'
            | '\u{a840}'..='\u{a877}' | '\u{ff00}'..='\u{ff60}' | '\u{1f3fb}'..='\u{1f3ff}'
        )
}

/// Whether a character can be a part of an emoji (Extended_Pictographic, and more of the same blocks).
fn is_emoji(c: char) -> bool {
    matches!(
        c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
        | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{24c2}'
        | '\u{25a0}'..='\u{27bf}' | '\u{2934}'..='\u{2935}' | '\u{2b00}'..='\u{2bff}'
        | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    #[test]
    fn one_name_has_one_form() {
        for (text, form) in [
            ("release 42", "release 42"),
            (" \t release\u{a0}\u{3000} 42\r\n", "release 42"),
            ("cafe\u{301}", "café"),
            ("\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}", "한국"),
            ("\u{2126}", "\u{3a9}"),
            ("\u{2800}dots\u{2800}", "dots"),
            ("e\u{323}\u{302}", "\u{1ec7}"),
            ("e\u{302}\u{323}", "\u{1ec7}"),
        ] {
            assert_eq!(Name::parse(text).unwrap().text(), form, "{text:?}");
        }
        assert_ne!(Name::parse("Release"), Name::parse("release"));
        assert_eq!(Name::parse(&" x".repeat(100)).unwrap().text().len(), 199);
    }

    #[test]
    fn an_invisible_character_is_refused_and_named() {
        for (text, fault) in [
            ("", Fault::Blank),
            (" \u{2003}\u{2800}\n", Fault::Blank),
            ("\u{200b}", Fault::Invisible('\u{200b}')),
            ("a\u{200b}b", Fault::Invisible('\u{200b}')),
            ("\u{feff}name", Fault::Invisible('\u{feff}')),
            ("name\u{200e}", Fault::Invisible('\u{200e}')),
            ("co\u{ad}op", Fault::Invisible('\u{ad}')),
            ("\u{202e}gpj", Fault::Invisible('\u{202e}')),
            ("\u{3164}", Fault::Invisible('\u{3164}')),
            ("\u{ffa0}", Fault::Invisible('\u{ffa0}')),
            ("a\u{200d}b", Fault::Invisible('\u{200d}')),
            ("a\u{200c}b", Fault::Invisible('\u{200c}')),
            ("می\u{200c}", Fault::Invisible('\u{200c}')),
            ("👩\u{200d}", Fault::Invisible('\u{200d}')),
            ("👩\u{200d}\u{200d}🚀", Fault::Invisible('\u{200d}')),
            ("a\u{fe0f}", Fault::Invisible('\u{fe0f}')),
            ("a\u{e0061}", Fault::Invisible('\u{e0061}')),
            ("🏴\u{e0067}", Fault::Invisible('\u{e0067}')),
            ("a\u{180b}", Fault::Invisible('\u{180b}')),
            ("a\u{ffff}", Fault::Invisible('\u{ffff}')),
            ("a\u{0}", Fault::Control('\u{0}')),
            ("a\u{7}b", Fault::Control('\u{7}')),
            ("\u{301}", Fault::LoneMark('\u{301}')),
            ("a \u{301}", Fault::LoneMark('\u{301}')),
        ] {
            assert_eq!(Name::parse(text), Err(fault), "{text:?}");
        }
        assert_eq!(Name::parse(&"é".repeat(201)), Err(Fault::TooLong));
        assert!(Name::parse(&"e\u{301}".repeat(200)).is_ok(), "counted in the normal form");
        assert!(Fault::Invisible('\u{200b}').to_string().ends_with("leave out U+200B"));
    }

    #[test]
    fn a_shaping_character_is_accepted_where_it_shapes() {
        for text in [
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "ශ්\u{200d}රී",
            "ه\u{200d}",
            "👩\u{200d}👩\u{200d}👧\u{200d}👦",
            "👩🏽\u{200d}🚀",
            "❤\u{fe0f}\u{200d}🔥",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}\u{200d}🚀",
            "👩\u{301}\u{200d}🚀",
            "\u{182d}\u{180b}",
            "1\u{fe0f}\u{20e3}",
            "葛\u{e0100}城",
            "🇩🇪",
            "ภาษาไทย",
            "\u{5d0}\u{5b8}",
        ] {
            assert_eq!(Name::parse(text).map(|name| name.text), Ok(text.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_shaping_character_does_not_make_another_name() {
        for (one, other) in [
            ("می\u{200c}خواهم", "میخواهم"),
            ("❤\u{fe0f}", "❤"),
            ("葛\u{e0100}城", "葛城"),
            ("cafe\u{301}", " café"),
            ("👩\u{fe0f}🚀", "👩🚀"),
            ("1\u{fe0f}🚀", "1🚀"),
            ("👩\u{200d}\u{200d}🚀", "👩\u{200d}🚀"),
        ] {
            assert_eq!(key(one), key(other), "{one:?} {other:?}");
        }
        assert_ne!(key("👩\u{200d}🚀"), key("👩🚀"));
        assert_ne!(key("👩\u{301}\u{200d}🚀"), key("👩\u{301}🚀"));
        assert_eq!(key(&"x".repeat(100_000)).len(), MAX_CHARS + 1, "no more of it counts");
    }

    proptest! {
        #[test]
        fn a_name_is_its_own_normal_form(text in "\\PC{0,60}|.{0,20}|[a \u{301}\u{200c}\u{200d}\u{fe0f}می👩🏽]{0,12}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(Name::parse(name.text()), Ok(name.clone()));
                prop_assert_eq!(key(name.text()), name.key());
                prop_assert_eq!(key(&text), name.key());
                prop_assert_eq!(Name::parse(&format!("  {}\n", name.text())), Ok(name));
            }
        }

        #[test]
        fn names_of_two_forms_are_compared_alike(text in "[a-zé\u{301}\u{323}ñ가-힣 ]{1,20}") {
            let (nfd, nfc): (String, String) = (text.nfd().collect(), text.nfc().collect());
            prop_assert_eq!(Name::parse(&nfd), Name::parse(&nfc));
        }
    }
}
