//! Globs over paths. Any glob is matched in one pass over the path: the matcher keeps the set of all places
//! in the glob that the path may have reached, with one bit for each place.

/// The longest glob, in bytes.
pub const MAX_BYTES: usize = 100;

/// A pattern for whole paths from the root of a repository: `?` is one character and `*` any number of
/// them, both within a path segment; `**` is any number of segments.
#[derive(Debug, Clone)]
pub struct Glob {
    text: String,
    /// For each byte, the places from which it leads to the next place.
    steps: Vec<u128>,
    /// The places at which any byte but a slash may stay.
    stay_in_segment: u128,
    /// The places at which any byte may stay.
    stay: u128,
    /// The places from which the next one is reached without a byte.
    skip: u128,
    /// The places before a `**/`: the next two places are reached without a byte.
    skip_segments: u128,
    /// The places after a `?`, at which the other bytes of its character stay.
    in_character: u128,
    end: u128,
}

impl Glob {
    /// Reads a glob.
    ///
    /// # Errors
    /// Why the text is no glob, and what to write instead; for its author.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(format!("a glob has 1 to {MAX_BYTES} bytes"));
        }
        if let Some(other) = text.chars().find(|c| "[]{}\\".contains(*c) || c.is_control()) {
            let other = other.escape_default();
            return Err(format!("a glob knows `*`, `**` and `?` only: remove `{other}`"));
        }
        if text.starts_with('!') {
            return Err("a glob cannot be negated: remove `!`".to_owned());
        }
        let segments: Vec<&str> = text.split('/').collect();
        if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            let say = "a glob is a path from the root of the repository, such as `src/**`: no slash \
                       at its beginning or end, no `.` or `..`";
            return Err(say.to_owned());
        }
        if segments.iter().any(|segment| *segment != "**" && segment.contains("**")) {
            return Err("`**` stands alone between slashes, as in `**/*.rs`".to_owned());
        }
        Ok(Builder::default().build(text, &segments))
    }

    /// Whether the glob matches the whole path.
    pub fn matches(&self, path: &str) -> bool {
        let mut places = self.close(1);
        for byte in path.bytes() {
            let steps = self.steps.get(usize::from(byte)).copied().unwrap_or_default();
            let mut next = (places & steps) << 1 | places & self.stay;
            if byte != b'/' {
                next |= places & self.stay_in_segment;
            }
            if is_within_character(byte) {
                next |= places & self.in_character;
            }
            if next == 0 {
                return false;
            }
            places = self.close(next);
        }
        places & self.end != 0
    }

    /// The glob as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Adds the places that are reached without a byte. `**/` comes first, because a `*` may follow it.
    fn close(&self, mut places: u128) -> u128 {
        places |= (places & self.skip_segments) << 1 | (places & self.skip_segments) << 2;
        places | (places & self.skip) << 1
    }
}

/// Whether a byte of UTF-8 is not the first of its character.
fn is_within_character(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// Whether any of the globs matches the path.
pub fn any(globs: &[Glob], path: &str) -> bool {
    globs.iter().any(|glob| glob.matches(path))
}

/// Builds a glob, one place after the other.
struct Builder {
    glob: Glob,
    place: u128,
}

impl Default for Builder {
    fn default() -> Self {
        let glob = Glob {
            text: String::new(),
            steps: vec![0; 256],
            stay_in_segment: 0,
            stay: 0,
            skip: 0,
            skip_segments: 0,
            in_character: 0,
            end: 0,
        };
        Builder { glob, place: 1 }
    }
}

impl Builder {
    fn build(mut self, text: &str, segments: &[&str]) -> Glob {
        text.clone_into(&mut self.glob.text);
        let mut rest = segments;
        while let Some((segment, after)) = rest.split_first() {
            rest = after;
            match (*segment, after.first()) {
                // Means the same as one.
                ("**", Some(&"**")) => {}
                ("**", Some(_)) => self.segments(),
                ("**", None) => {
                    self.glob.stay |= self.place;
                    self.glob.skip |= self.place;
                    self.place <<= 1;
                }
                (segment, following) => {
                    self.segment(segment);
                    if following.is_some() {
                        self.byte(b'/');
                    }
                }
            }
        }
        self.glob.end = self.place;
        self.glob
    }

    /// Adds `**/`: nothing, or anything that ends with a slash.
    fn segments(&mut self) {
        self.glob.skip_segments |= self.place;
        self.place <<= 1;
        self.glob.stay |= self.place;
        self.byte(b'/');
    }

    fn segment(&mut self, segment: &str) {
        for byte in segment.bytes() {
            match byte {
                b'*' => {
                    self.glob.stay_in_segment |= self.place;
                    self.glob.skip |= self.place;
                    self.place <<= 1;
                }
                b'?' => {
                    for (byte, steps) in (0u8..=255).zip(self.glob.steps.iter_mut()) {
                        if byte != b'/' && !is_within_character(byte) {
                            *steps |= self.place;
                        }
                    }
                    self.place <<= 1;
                    self.glob.in_character |= self.place;
                }
                byte => self.byte(byte),
            }
        }
    }

    fn byte(&mut self, byte: u8) {
        if let Some(steps) = self.glob.steps.get_mut(usize::from(byte)) {
            *steps |= self.place;
        }
        self.place <<= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(glob: &str, path: &str) -> bool {
        Glob::parse(glob).unwrap().matches(path)
    }

    #[test]
    fn a_glob_matches_whole_paths() {
        for (glob, path, expected) in [
            ("Cargo.toml", "Cargo.toml", true),
            ("Cargo.toml", "crates/Cargo.toml", false),
            ("**/Cargo.toml", "Cargo.toml", true),
            ("**/Cargo.toml", "a/b/Cargo.toml", true),
            ("**/Cargo.toml", "a/xCargo.toml", false),
            ("src/**", "src/a.rs", true),
            ("src/**", "src/a/b/c.rs", true),
            ("src/**", "src", false),
            ("src/**", "lib/src/a.rs", false),
            ("**/src/**", "lib/src/a.rs", true),
            ("src/*.rs", "src/a.rs", true),
            ("src/*.rs", "src/a/b.rs", false),
            ("src/**/*.rs", "src/a.rs", true),
            ("src/**/*.rs", "src/a/b/c.rs", true),
            ("**/**/a", "a", true),
            ("**/**/a", "x/y/a", true),
            ("**", "a/b", true),
            ("*", "a", true),
            ("*", "a/b", false),
            ("**/*_test.*", "pkg/a_test.go", true),
            ("**/*_test.*", "pkg/a_tests.go", false),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "a\u{1F600}c", true),
            ("a?c", "a/c", false),
            ("a?c", "ac", false),
            ("a??", "aé", false),
            ("é*", "école", true),
        ] {
            assert_eq!(matches(glob, path), expected, "{glob} {path}");
        }
    }

    #[test]
    fn a_text_that_is_no_glob_is_refused() {
        for glob in
            ["", "/src", "src/", "a//b", "./a", "../a", "a**", "*.{js,ts}", "[ab]", "!a", "a\\b"]
        {
            assert!(Glob::parse(glob).is_err(), "{glob}");
        }
        assert!(Glob::parse(&"a".repeat(MAX_BYTES)).unwrap().matches(&"a".repeat(MAX_BYTES)));
        assert!(Glob::parse(&"a".repeat(MAX_BYTES + 1)).is_err());
        // The most places for its length: one more than it has bytes, and fewer than the 128 bits.
        let dense = format!("**/{}a", "a/**/".repeat(19));
        assert!(Glob::parse(&dense).unwrap().matches(&format!("{}a", "a/x/".repeat(19))));
    }

    /// Matches by the definition of a glob, slowly.
    fn by_definition(glob: &[&str], path: &[&str]) -> bool {
        match (glob.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", [])), rest) => rest.is_some(),
            (Some((&"**", rest)), _) => {
                (0..=path.len()).any(|skipped| by_definition(rest, &path[skipped..]))
            }
            (Some((segment, glob)), Some((name, path))) => {
                let segment: Vec<char> = segment.chars().collect();
                let name: Vec<char> = name.chars().collect();
                of_segment(&segment, &name) && by_definition(glob, path)
            }
            _ => false,
        }
    }

    fn of_segment(glob: &[char], name: &[char]) -> bool {
        match (glob.split_first(), name.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                (0..=name.len()).any(|skipped| of_segment(rest, &name[skipped..]))
            }
            (Some(('?', glob)), Some((_, name))) => of_segment(glob, name),
            (Some((one, glob)), Some((other, name))) => one == other && of_segment(glob, name),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn matching_agrees_with_the_definition(
            glob in "(\\*\\*/){0,2}([ab?é*]{1,3}/|\\*\\*/){0,4}([ab?*]{1,3}|\\*\\*)",
            path in "([abé]{1,3}/){0,5}[abé]{1,3}",
        ) {
            if let Ok(compiled) = Glob::parse(&glob) {
                let globs: Vec<&str> = glob.split('/').collect();
                let names: Vec<&str> = path.split('/').collect();
                prop_assert_eq!(
                    compiled.matches(&path), by_definition(&globs, &names), "{} {}", glob, path
                );
            }
        }

        #[test]
        fn a_path_is_its_own_glob(path in "[a-z.é]{1,8}(/[a-z_é-]{1,8}){0,4}") {
            if let Ok(glob) = Glob::parse(&path) {
                prop_assert!(glob.matches(&path));
                prop_assert_eq!(glob.as_str(), path);
            }
        }

        #[test]
        fn no_text_makes_it_panic(glob in ".{0,120}", path in ".{0,300}") {
            if let Ok(glob) = Glob::parse(&glob) {
                glob.matches(&path);
            }
        }
    }
}
