//! The user's lists elsewhere (`CUSTOM_TRAILS_URL`): asked only for what changed, and kept like feeds, so that
//! a server that is down takes nothing away. What the user lists is the user's: only an answer that is no list
//! at all is refused, not one that shrank or grew.

use std::io::Read as _;

use ring::digest::{SHA256, digest};

use super::Source;
use super::ask::{Inquiry, Trouble, no_list};
use crate::fetch::{Answer, Fresh, LIST_BYTES, Request, hex};
use crate::store::{FeedStatus, Store};

/// How a list answered.
#[derive(Debug)]
pub(super) struct Reply {
    /// None when it was not asked.
    answer: Option<Result<Option<Fresh>, Trouble>>,
    /// Text of the last good answer.
    copy: Result<Option<String>, String>,
}

/// Its name in the record.
fn name_of(url: &str) -> String {
    let digits = hex(digest(&SHA256, url.as_bytes()).as_ref());
    format!("list-{}", digits.get(..16).unwrap_or(&digits))
}

/// Asks for a list.
pub(super) fn ask(inquiry: &Inquiry<'_>, url: &str) -> Reply {
    let name = name_of(url);
    let copy = inquiry.store.list(&name);
    let status = inquiry.store.status(&name);
    let known = Some(&status).filter(|_| matches!(copy, Ok(Some(_))));
    let request = Request {
        etag: known.and_then(|status| status.etag.as_deref()),
        last_modified: known.and_then(|status| status.last_modified.as_deref()),
        folder: inquiry.store.spool(),
        ..Request::plain(url)
    };
    let Some(fetch) = inquiry.fetch else {
        return Reply { answer: None, copy };
    };
    let answer = match fetch.get(&request) {
        Ok(Answer::Unchanged) => Ok(None),
        Ok(Answer::Fresh(fresh)) => check(fresh).map(Some).map_err(Trouble::from),
        Err(error) => Err(Trouble(error.to_string(), error.status())),
    };
    Reply {
        answer: Some(answer),
        copy,
    }
}

fn check(mut fresh: Fresh) -> Result<Fresh, String> {
    let mut start = Vec::new();
    let file = fresh.body.open().map_err(|error| error.to_string())?;
    file.take(512)
        .read_to_end(&mut start)
        .map_err(|error| error.to_string())?;
    no_list(&start, true).map_or(Ok(fresh), |reason| Err(format!("the answer {reason}")))
}

/// The text that a list contributes, and how it did.
pub(super) fn settle(
    url: &str,
    reply: Reply,
    now: u64,
    store: &mut Store,
) -> (Option<String>, Source) {
    let name = name_of(url);
    let copy = reply.copy.unwrap_or_else(|note| {
        store.forget(&name, note);
        None
    });
    let Some(answer) = reply.answer else {
        let source = Source {
            name: url.to_owned(),
            entries: copy.as_ref().map_or(0, |text| text.lines().count()),
            unchanged: true,
            ..Source::default()
        };
        return (copy, source);
    };
    let before = store.status(&name);
    let mut status = FeedStatus {
        name: name.clone(),
        url: url.to_owned(),
        last_attempt: now,
        unchanged: false,
        change: 0,
        error: None,
        copy_age_secs: None,
        ..before.clone()
    };
    let mut source = Source {
        name: url.to_owned(),
        ..Source::default()
    };
    let text = match answer {
        Ok(None) => {
            (status.unchanged, status.http_status) = (true, Some(304));
            status.last_success = Some(now);
            copy
        }
        Ok(Some(fresh)) => {
            let taken = take(&name, fresh, &mut status, store);
            match taken {
                Ok(text) => {
                    status.last_success = Some(now);
                    status.http_status = Some(200);
                    if status.digest.is_none() || status.digest != before.digest {
                        status.last_changed = Some(now);
                    }
                    let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
                    status.change = signed(status.entries) - signed(before.entries);
                    status.unchanged = status.digest.is_some() && status.digest == before.digest;
                    Some(text)
                }
                Err(reason) => fail(Trouble(reason, Some(200)), copy, &mut status, now),
            }
        }
        Err(trouble) => fail(trouble, copy, &mut status, now),
    };
    source.unchanged = status.unchanged;
    source.error.clone_from(&status.error);
    source.copy_age_secs = status.copy_age_secs;
    source.entries = text.as_ref().map_or(0, |text| text.lines().count());
    store.set(status);
    (text, source)
}

/// Keeps an answer and reads it.
fn take(
    name: &str,
    mut fresh: Fresh,
    status: &mut FeedStatus,
    store: &mut Store,
) -> Result<String, String> {
    let bytes = fresh
        .body
        .bytes(LIST_BYTES)
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    status.entries = text.lines().count();
    match store.keep_list(name, &mut fresh.body) {
        Ok(_) => {
            status.digest = Some(fresh.body.digest().to_owned());
            (status.etag, status.last_modified) = (fresh.etag, fresh.last_modified);
        }
        Err(error) => {
            store.note(format!("no copy of {} is kept: {error}", status.url));
            (status.digest, status.etag, status.last_modified) = (None, None, None);
        }
    }
    Ok(text)
}

fn fail(
    Trouble(reason, http_status): Trouble,
    copy: Option<String>,
    status: &mut FeedStatus,
    now: u64,
) -> Option<String> {
    status.http_status = http_status;
    status.error = Some(reason);
    status.copy_age_secs = copy
        .is_some()
        .then(|| now.saturating_sub(status.last_success.unwrap_or(0)));
    copy
}
