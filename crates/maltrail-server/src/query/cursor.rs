//! Where a page ended: the order's key of its last row, as an opaque text.
//!
//! The next page begins after that key, so rows that come or go elsewhere neither repeat nor hide others. The
//! text is base64 of a small JSON array and is checked like any other input: it says nothing that a query could
//! not say.

use std::borrow::Cow;
use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Longest cursor in characters.
const MAX_CHARS: usize = 2048;
/// Longest text in a key, in bytes. Longer texts are ordered by their beginning.
pub(crate) const KEY_BYTES: usize = 512;

/// What a row is ordered by.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Key<'a> {
    Float(f64),
    Number(u128),
    Text(Cow<'a, str>),
}

impl<'a> Key<'a> {
    /// A text, as much of it as counts.
    pub(crate) fn text(text: &'a str) -> Self {
        let fits = (0..=KEY_BYTES.min(text.len())).rev();
        let end = fits.take(4).find_map(|end| text.get(..end));
        Self::Text(end.unwrap_or_default().into())
    }
}

/// A row's place: key, events, id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) count: u64,
    pub(crate) id: u64,
}

impl Place<'_> {
    /// Orders two places: by key in the asked direction, then more events first, then the id.
    pub(crate) fn compare(&self, other: &Place<'_>, descending: bool) -> Ordering {
        let by_key = self.key.partial_cmp(&other.key).unwrap_or(Ordering::Equal);
        let by_key = if descending { by_key.reverse() } else { by_key };
        by_key
            .then_with(|| other.count.cmp(&self.count))
            .then_with(|| self.id.cmp(&other.id))
    }
}

/// The end of a page of one order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cursor {
    /// Name of the order.
    pub(crate) sort: String,
    pub(crate) descending: bool,
    pub(crate) place: Place<'static>,
}

impl Cursor {
    /// The text for the client.
    pub(crate) fn encode(&self) -> String {
        let key = match &self.place.key {
            Key::Float(value) => format!("f{:016x}", value.to_bits()),
            Key::Number(value) => format!("n{value:x}"),
            Key::Text(text) => format!("t{text}"),
        };
        let (count, id) = (self.place.count, format!("{:016x}", self.place.id));
        let parts = serde_json::json!([self.sort, self.descending, key, count, id]);
        URL_SAFE_NO_PAD.encode(parts.to_string())
    }

    /// Reads a text that [`Cursor::encode`] wrote; `None` for any other.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        if text.len() > MAX_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (sort, descending, key, count, id): (String, bool, String, u64, String) =
            serde_json::from_slice(&bytes).ok()?;
        let mut letters = key.chars();
        let kind = letters.next()?;
        let rest = letters.as_str();
        let key = match kind {
            'f' => Key::Float(f64::from_bits(u64::from_str_radix(rest, 16).ok()?)),
            'n' => Key::Number(u128::from_str_radix(rest, 16).ok()?),
            't' => Key::Text(rest.to_owned().into()),
            _ => return None,
        };
        let id = u64::from_str_radix(&id, 16).ok()?;
        Some(Self {
            sort,
            descending,
            place: Place { key, count, id },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(key: Key<'static>) -> Cursor {
        Cursor {
            sort: "risk".into(),
            descending: true,
            place: Place {
                key,
                count: 7,
                id: u64::MAX,
            },
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for key in [
            Key::Float(3410.4),
            Key::Number(u128::MAX),
            Key::Text("".into()),
            Key::Text("ä\"\\\0 t".into()),
            Key::Text("x".repeat(KEY_BYTES).into()),
        ] {
            let cursor = cursor(key);
            assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let good = cursor(Key::Number(1)).encode();
        let mut cases = vec![String::new(), "!".into(), "AAAA".into(), "x".repeat(3000)];
        cases.extend((0..good.len()).map(|len| good[..len].to_owned()));
        for text in [
            "[]",
            "[1,2]",
            "[\"risk\",true,\"\",1,\"1\"]",
            "[\"r\",true,\"xé\",1,\"1\"]",
        ] {
            cases.push(URL_SAFE_NO_PAD.encode(text));
        }
        for text in cases {
            assert_eq!(Cursor::decode(&text), None, "{text}");
        }
    }
}
