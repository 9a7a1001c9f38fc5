//! Parameters of a request: the query string and, for the old endpoints, a form body.
//!
//! Decoded once. Of repeated names the last one counts; the query string wins over the body; blank
//! values are absent (compat: as the reference reads them).

use std::collections::HashMap;

use maltrail_core::time::Day;

use super::error::ApiError;

/// Most parameters that are looked at.
const MAX_PARAMS: usize = 64;

/// Decoded parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(HashMap<String, String>);

impl Params {
    /// Of a query string and a form body.
    pub(crate) fn new(query: Option<&str>, body: &[u8]) -> Self {
        let mut params = HashMap::new();
        let body = std::str::from_utf8(body).unwrap_or_default();
        for text in [body, query.unwrap_or_default()] {
            for pair in text.split('&').take(MAX_PARAMS) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                if let (Some(name), Some(value)) = (decode(name), decode(value))
                    && !value.is_empty()
                {
                    params.insert(name, value);
                }
            }
        }
        Self(params)
    }

    /// A value; `None` when absent or blank.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A day of the form `YYYY-MM-DD`.
    pub(crate) fn day(&self, name: &str) -> Result<Option<Day>, ApiError> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::parameter(format!("`{name}` is not a day; write it as YYYY-MM-DD."))
                })
            })
            .transpose()
    }

    /// A whole number up to `largest`.
    pub(crate) fn number(&self, name: &str, largest: usize) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.parse::<usize>() {
            Ok(number) if number <= largest => Ok(Some(number)),
            _ => Err(ApiError::parameter(format!(
                "`{name}` is not a whole number up to {largest}."
            ))),
        }
    }
}

/// Undoes percent and plus encoding. `None` when the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    percent_decode(&text.replace('+', " "))
}

/// Undoes percent encoding; a stray `%` stays. `None` when the result is not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = (byte == b'%').then(|| after.first_chunk::<2>()).flatten();
        let value = hex.and_then(|&[high, low]| Some(digit(high)? << 4 | digit(low)?));
        match value {
            Some(value) => {
                out.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(out).ok()
}

fn digit(hex: u8) -> Option<u8> {
    char::from(hex).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_repeated_names_and_the_query_string_win() {
        let params = Params::new(
            Some("date=2026-11-20&date=2026-11-21&q=a+b%20c&x=&bad=%ff"),
            b"date=1999-01-01&pos=7",
        );
        assert_eq!(params.get("date"), Some("2026-11-21"));
        assert_eq!(params.get("pos"), Some("7"));
        assert_eq!(params.get("q"), Some("a b c"));
        assert_eq!((params.get("x"), params.get("bad")), (None, None));
    }

    #[test]
    fn values_are_decoded_once() {
        let params = Params::new(None, b"username=a%2526hash=zz");
        assert_eq!(params.get("username"), Some("a%26hash=zz"));
        assert_eq!(percent_decode("%zz%4"), Some("%zz%4".into()));
    }
}
