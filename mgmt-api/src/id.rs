//! Identifiers chosen by the caller: UUIDs (what Neutron sends) or names.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// The identifier of one resource: 1 to 255 of `[A-Za-z0-9._:-]`, unique within its kind.
///
/// A canonical lower-case UUID is held as its 16 bytes, everything else as text: 24 bytes
/// either way, and no allocation for the million UUIDs of a large cloud. Comparison is that of the text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Uuid([u8; 16]),
    Text(Box<str>),
}

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It has no characters or more than 255.
    #[error("an identifier has 1 to 255 characters, this one has {0}")]
    Length(usize),
    /// It has a character that is not allowed.
    #[error(
        "an identifier consists of letters, digits and '.', '_', ':', '-'; {0:?} is none of them"
    )]
    Character(char),
}

impl Id {
    /// The most characters an identifier may have.
    pub const MAX_LEN: usize = 255;

    /// Stands in messages for a record that came and went within one group of requests.
    pub(crate) fn of_removed() -> Self {
        Self(Repr::Text("removed".into()))
    }

    /// Appends it as the store keeps it: a UUID in 17 bytes, which the store's library holds without allocating.
    pub(crate) fn store(&self, bytes: &mut Vec<u8>) {
        match &self.0 {
            Repr::Uuid(uuid) => {
                bytes.push(0);
                bytes.extend(uuid);
            }
            Repr::Text(text) => {
                bytes.push(1);
                bytes.extend(text.as_bytes());
            }
        }
    }

    /// Reads what [`store`](Self::store) wrote.
    pub(crate) fn load(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (0, uuid) => Some(Self(Repr::Uuid(uuid.try_into().ok()?))),
            (1, text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// Calls `use_text` with the identifier as text, without allocating.
    fn with_text<T>(&self, use_text: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            Repr::Text(text) => use_text(text),
            Repr::Uuid(bytes) => {
                let text = uuid_text(bytes);
                use_text(std::str::from_utf8(&text).unwrap_or_default())
            }
        }
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if let Some(bytes) = parse_uuid(text) {
            return Ok(Self(Repr::Uuid(bytes)));
        }
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(IdError::Length(text.chars().count()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-');
        match text.chars().find(|&c| !allowed(c)) {
            Some(c) => Err(IdError::Character(c)),
            None => Ok(Self(Repr::Text(text.into()))),
        }
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            // Fixed-width lower-case hex sorts as the bytes it stands for.
            (Repr::Uuid(a), Repr::Uuid(b)) => a.cmp(b),
            (Repr::Text(a), Repr::Text(b)) => a.cmp(b),
            _ => self.with_text(|a| other.with_text(|b| a.cmp(b))),
        }
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.with_text(|text| serializer.serialize_str(text))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ParseVisitor::new("an identifier"))
    }
}

/// Reads any [`FromStr`] type from a JSON string without copying the string first.
pub(crate) struct ParseVisitor<T> {
    expected: &'static str,
    of: std::marker::PhantomData<T>,
}

impl<T> ParseVisitor<T> {
    pub(crate) fn new(expected: &'static str) -> Self {
        Self {
            expected,
            of: std::marker::PhantomData,
        }
    }
}

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for ParseVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(de::Error::custom)
    }
}

impl utoipa::PartialSchema for Id {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(1))
            .max_length(Some(Self::MAX_LEN))
            .pattern(Some("^[A-Za-z0-9._:-]+$"))
            .description(Some(
                "An identifier chosen by the caller: a UUID or a name.",
            ))
            .into()
    }
}

impl utoipa::ToSchema for Id {}

/// Where the hyphens stand in a UUID's text.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let nibble = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 16];
    let mut at = 0;
    for byte in &mut bytes {
        if HYPHENS.contains(&at) {
            if text[at] != b'-' {
                return None;
            }
            at += 1;
        }
        *byte = nibble(text[at])? << 4 | nibble(text[at + 1])?;
        at += 2;
    }
    Some(bytes)
}

fn uuid_text(bytes: &[u8; 16]) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for byte in bytes {
        if HYPHENS.contains(&at) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 0xf)];
        at += 2;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_uuid_is_held_as_its_bytes_and_printed_as_it_came() {
        let text = "9b8a1d9c-0f6e-4c0e-8d49-2a5b7c6d1e0f";
        let id: Id = text.parse().unwrap();
        assert!(matches!(id.0, Repr::Uuid(_)));
        assert_eq!(id.to_string(), text);
        assert_eq!(size_of::<Id>(), 24);
    }

    #[test]
    fn what_is_nearly_a_uuid_stays_text() {
        for text in [
            "9B8A1D9C-0F6E-4C0E-8D49-2A5B7C6D1E0F",
            "9b8a1d9c00f6e-4c0e-8d49-2a5b7c6d1e0f",
            "9b8a",
        ] {
            let id: Id = text.parse().unwrap();
            assert!(matches!(id.0, Repr::Text(_)));
            assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn lengths_and_characters_are_limited() {
        assert_eq!("".parse::<Id>(), Err(IdError::Length(0)));
        assert_eq!("x".repeat(256).parse::<Id>(), Err(IdError::Length(256)));
        assert!("x".repeat(255).parse::<Id>().is_ok());
        assert_eq!("a/b".parse::<Id>(), Err(IdError::Character('/')));
        assert_eq!("é".parse::<Id>(), Err(IdError::Character('é')));
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_text(a: [u8; 16], b in "[0-9a-f-]{1,40}") {
            let uuid = Id(Repr::Uuid(a));
            let text: Id = b.parse().unwrap();
            prop_assert_eq!(uuid.cmp(&text), uuid.to_string().as_str().cmp(b.as_str()));
            prop_assert_eq!(&uuid.to_string().parse::<Id>().unwrap(), &uuid);
            for id in [uuid, text] {
                let mut bytes = Vec::new();
                id.store(&mut bytes);
                prop_assert_eq!(Id::load(&bytes), Some(id));
            }
        }
    }
}
