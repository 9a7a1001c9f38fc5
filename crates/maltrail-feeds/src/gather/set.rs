//! A whole set from another server (`UPDATE_SERVER`).

use std::io::Read as _;

use crate::fetch::{ARCHIVE_BYTES, Answer, Fetch, Request};
use crate::formats::Entry;

/// The set of `UPDATE_SERVER`: rows `trail,info,reference`.
///
/// # Errors
/// When it does not answer, or the answer is no trail set: an HTML page, nothing, or rows that have not
/// three columns.
pub fn whole_set(url: &str, fetch: &dyn Fetch) -> Result<Vec<Entry>, String> {
    let request = Request {
        max_bytes: ARCHIVE_BYTES,
        ..Request::plain(url)
    };
    let mut body = match fetch.get(&request).map_err(|error| error.to_string())? {
        Answer::Fresh(fresh) => fresh.body,
        Answer::Unchanged => return Err("answer 304 to a question without condition".to_owned()),
    };
    let text = |error: std::io::Error| error.to_string();
    let mut start = Vec::new();
    body.open()
        .map_err(text)?
        .take(64)
        .read_to_end(&mut start)
        .map_err(text)?;
    if start.trim_ascii_start().starts_with(b"<") {
        return Err("the answer is a web page, not a trail set".to_owned());
    }
    let mut rows = Vec::new();
    let file = body.open().map_err(text)?;
    let counts = maltrail_core::trail::csv::read(file, |text, info, reference| {
        rows.push(Entry {
            text: text.to_owned(),
            info: info.to_owned(),
            reference: reference.to_owned(),
        });
    });
    let malformed = counts.map_err(text)?.malformed;
    if rows.is_empty() || malformed > rows.len() / 100 {
        return Err(format!(
            "the answer is no trail set: {} good rows, {malformed} bad ones",
            rows.len()
        ));
    }
    Ok(rows)
}
