//! The macro `id_type!`, by which a folder makes the type of its ids. Each kind of id has a type of its own, so
//! an id of one kind does not pass for an id of another.
//!
//! An id is the prefix of its kind, followed by a UUIDv7 (RFC 9562 §5.7). A caller's text is parsed and may be
//! refused. A stored row and a message are trusted: their ids are read as they are.

/// The longest id that is accepted from a caller, in bytes. The gateway's own are less than half as long.
pub(crate) const MAX_BYTES: usize = 128;

/// Makes the type of one kind of id from its documentation, its name, its prefix and, if paths take such an id,
/// the noun for a 404:
///
/// ```ignore
/// id_type! {
///     /// The id of a note.
///     NoteId = "note_", "note";
/// }
/// ```
macro_rules! id_type {
    ($(#[doc = $doc:literal])+ $name:ident = $prefix:literal $(, $noun:literal)?;) => {
        $(#[doc = $doc])+
        #[derive(
            Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(Box<str>);

        impl $name {
            /// The beginning of every id of this kind.
            pub const PREFIX: &str = $prefix;

            /// Makes a new id at the instant `now_ms`, in ms since the Unix epoch. Later ids sort after it.
            pub fn new(now_ms: u64) -> Self {
                $name(format!("{}{}", Self::PREFIX, ::seams::ids::uuid_v7(now_ms)).into())
            }

            /// Parses a caller's text: the prefix, followed by ASCII letters, digits, `-` and `_`, of at most
            /// 128 bytes in all. `None` for any other text, which is the id of nothing.
            pub fn parse(text: &str) -> Option<Self> {
                $crate::store::id_type::is_sound(text, Self::PREFIX).then(|| $name(text.into()))
            }

            $(
                /// Parses the id in the path of a request.
                ///
                /// # Errors
                /// 404, as for an unknown id.
                pub fn of(
                    request: &::http_kit::request::Request<'_>,
                ) -> Result<Self, ::http_kit::problem::Problem> {
                    let unknown = || ::http_kit::problem::Problem::not_found($noun);
                    Self::parse(&request.id).ok_or_else(unknown)
                }
            )?

            /// Takes the id in a column of a stored row, as it is.
            ///
            /// # Errors
            /// [`DbError::Shape`](seams::db::DbError::Shape) if there is no such column or it is not text.
            pub fn from_row(
                row: &mut ::seams::db::Row,
                column: &str,
            ) -> Result<Self, ::seams::db::DbError> {
                Ok($name(row.text(column)?.into()))
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl ::std::fmt::Debug for $name {
            /// Shows the text only.
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl From<&$name> for ::seams::db::Value {
            fn from(id: &$name) -> Self {
                id.as_str().into()
            }
        }
    };
}

pub(crate) use id_type;

/// Whether a caller's text has the form of an id with this prefix.
pub(crate) fn is_sound(text: &str, prefix: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_body = |rest: &str| !rest.is_empty() && rest.bytes().all(is_plain);
    text.len() <= MAX_BYTES && text.strip_prefix(prefix).is_some_and(is_body)
}
