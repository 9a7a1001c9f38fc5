//! Pages of a list that lies in memory: `limit` and an opaque `cursor`.
//!
//! A cursor holds the key of the last item that was given, so a page is right whatever came or went in
//! between.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::http::error::ApiError;
use crate::http::params::Params;

/// Items on a page unless said otherwise.
const DEFAULT_LIMIT: usize = 100;
/// Items on a page at most.
const MAX_LIMIT: usize = 500;
/// Longest cursor.
const MAX_CURSOR: usize = 512;

/// Which page is asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) limit: usize,
    /// Key of the last item of the page before.
    pub(crate) after: Option<String>,
}

impl Wanted {
    pub(crate) fn read(params: &Params) -> Result<Self, ApiError> {
        let limit = params.number("limit", MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
        if limit == 0 {
            return Err(ApiError::parameter("`limit` is at least 1."));
        }
        let after = params.get("cursor").map(|cursor| {
            (cursor.len() <= MAX_CURSOR)
                .then(|| URL_SAFE_NO_PAD.decode(cursor).ok())
                .flatten()
                .and_then(|key| String::from_utf8(key).ok())
                .ok_or_else(|| {
                    ApiError::parameter("`cursor` is not one that this server gave out.")
                })
        });
        Ok(Self {
            limit,
            after: after.transpose()?,
        })
    }

    /// The page of items that are sorted by `key`, and the cursor of the next one.
    pub(crate) fn page<T>(
        &self,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let after = self.after.as_deref();
        let mut page: Vec<T> = items
            .into_iter()
            .filter(|item| after.is_none_or(|after| key(item).as_str() > after))
            .take(self.limit + 1)
            .collect();
        let more = page.len() > self.limit;
        page.truncate(self.limit);
        let next = page.last().filter(|_| more).map(|last| cursor(&key(last)));
        (page, next)
    }
}

/// The cursor that goes on after the item of this key.
pub(crate) fn cursor(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> Result<Wanted, ApiError> {
        Wanted::read(&Params::new(Some(query), b""))
    }

    #[test]
    fn pages_follow_each_other_whatever_changes_in_between() {
        let key = |item: &&str| (*item).to_owned();
        let (page, next) = wanted("limit=2")
            .unwrap()
            .page(vec!["a", "b", "c", "d"], key);
        assert_eq!(page, ["a", "b"]);
        let query = format!("limit=2&cursor={}", next.unwrap());
        // `b` went and `bb` came.
        let (page, next) = wanted(&query).unwrap().page(vec!["a", "bb", "c"], key);
        assert_eq!((page, next), (vec!["bb", "c"], None));
        let (page, next) = wanted("").unwrap().page(Vec::<&str>::new(), key);
        assert!(page.is_empty() && next.is_none());
    }

    #[test]
    fn impossible_pages_are_refused() {
        let long = format!("cursor={}", "A".repeat(MAX_CURSOR + 1));
        for query in [
            "limit=0",
            "limit=501",
            "limit=x",
            "cursor=%00",
            "cursor=_w",
            &long,
        ] {
            assert!(wanted(query).is_err(), "{query}");
        }
        assert_eq!(wanted("limit=500").unwrap().limit, 500);
    }
}
