//! Files of repositories. The client reads a file again only if it has changed: GitHub does not count an
//! answer of 304 against the rate limit.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use seams::outside::OutsideResponse;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ErrorKind, GithubError};
use crate::repository::Repository;
use crate::request;

/// The largest file that is read, in bytes.
const MAX_FILE_BYTES: usize = 64 << 10;

/// The most bytes of an answer: such a file in base64, and the JSON around it.
const MAX_ANSWER_BYTES: usize = 128 << 10;

/// The longest ETag that is kept, in bytes.
const MAX_ETAG_BYTES: usize = 256;

/// The most files that an isolate keeps.
const MAX_FILES: usize = 64;

/// A file as it was last read.
#[derive(Clone)]
struct File {
    etag: String,
    /// The text; `None` if the path has something other than a file.
    text: Option<Rc<str>>,
    /// When it was last used, as a number that counts up.
    used: u64,
}

/// The files that an isolate keeps, by installation and path.
#[derive(Default)]
pub(crate) struct FileCache {
    files: RefCell<BTreeMap<(i64, String), File>>,
    uses: Cell<u64>,
}

impl FileCache {
    fn get(&self, key: &(i64, String)) -> Option<File> {
        let mut files = self.files.borrow_mut();
        let file = files.get_mut(key)?;
        file.used = self.next_use();
        Some(file.clone())
    }

    /// Keeps a file. If there are too many, it replaces the one that has not been used for the longest time.
    fn put(&self, key: (i64, String), etag: &str, text: Option<&str>) {
        if etag.len() > MAX_ETAG_BYTES {
            return;
        }
        let mut files = self.files.borrow_mut();
        if files.len() >= MAX_FILES && !files.contains_key(&key) {
            let oldest = files.iter().min_by_key(|(_, file)| file.used).map(|(key, _)| key.clone());
            oldest.map(|key| files.remove(&key));
        }
        let text = text.map(Rc::from);
        files.insert(key, File { etag: etag.to_owned(), text, used: self.next_use() });
    }

    fn forget(&self, key: &(i64, String)) {
        self.files.borrow_mut().remove(key);
    }

    fn next_use(&self) -> u64 {
        self.uses.set(self.uses.get() + 1);
        self.uses.get()
    }
}

/// The entry at a path that is no directory.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    encoding: String,
    #[serde(default)]
    content: String,
}

impl Repository<'_> {
    /// Returns a text file of the default branch; `None` if there is no file at this path.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a file that is larger than 64 KiB or not UTF-8.
    pub async fn content(&self, path: &str) -> Result<Option<String>, GithubError> {
        let files = &self.installation.client.state.files;
        let path = self.path(&format!("/contents{}", request::path(path.split('/'))?))?;
        let key = (self.installation.id, path.clone());
        let kept = files.get(&key);
        let etag = kept.as_ref().map(|file| file.etag.clone());
        let call = self.get(&path).up_to(MAX_ANSWER_BYTES).unless(etag);
        let answer = match self.send(&call).await {
            Ok(answer) => answer,
            Err(error) if error.kind == ErrorKind::NotFound => {
                files.forget(&key);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if answer.status == 304 {
            return Ok(kept.and_then(|file| file.text).map(|text| text.to_string()));
        }
        let text = decoded(&answer)?;
        if let Some(etag) = answer.header("etag") {
            files.put(key, etag, text.as_deref());
        }
        Ok(text)
    }
}

fn decoded(answer: &OutsideResponse) -> Result<Option<String>, GithubError> {
    let invalid = || GithubError::new(ErrorKind::Invalid);
    let unreadable = || GithubError::new(ErrorKind::Unreadable);
    let found: Value = request::read(answer)?;
    // A directory is a list of its entries.
    if found.is_array() {
        return Ok(None);
    }
    let entry: Entry = serde_json::from_value(found).map_err(|_| unreadable())?;
    if entry.kind != "file" {
        return Ok(None);
    }
    // GitHub leaves the content of a large file out of the JSON; its encoding is `none`.
    if entry.encoding != "base64" {
        return Err(invalid());
    }
    let encoded: String = entry.content.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(encoded).map_err(|_| unreadable())?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(invalid());
    }
    String::from_utf8(bytes).map(Some).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_used_last_are_kept() {
        let files = FileCache::default();
        let key = |n: usize| (1, n.to_string());
        for n in 0..200 {
            files.put(key(n), "etag", Some("text"));
            assert!(files.get(&key(0)).is_some());
        }
        assert_eq!(files.files.borrow().len(), MAX_FILES);
        assert!(files.get(&key(1)).is_none());
        files.put(key(300), &"e".repeat(MAX_ETAG_BYTES + 1), None);
        assert!(files.get(&key(300)).is_none());
    }
}
