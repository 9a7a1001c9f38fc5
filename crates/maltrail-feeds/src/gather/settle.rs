//! What an answer is worth: new entries are taken, or the last good copy stands in for them.
//!
//! Refused are: no entry at all; fewer than `TRAIL_RELOAD_MIN_RATIO` of those before; many entries that would
//! match what everybody uses. Much growth, and an archive whose whitelist or ranges changed, wait for the
//! next answer to confirm them. `--force` takes what shrank or grew, never what is spoilt.

use std::path::PathBuf;

use super::archive::Archive;
use super::ask::{Copy, Fetched, Origin, Reply};
use super::{Rules, Source};
use crate::canary::Canaries;
use crate::registry::Feed;
use crate::store::{FeedRows, FeedStatus, Pending, Store};

/// Growth that is taken at once: a quarter, or so many entries.
const GROWTH: f64 = 1.25;
const GROWTH_ENTRIES: usize = 1000;

/// What a feed contributes.
#[derive(Debug, Default)]
pub(super) struct Contribution {
    pub(super) rows: Option<FeedRows>,
    pub(super) archive: Option<PathBuf>,
    pub(super) source: Source,
}

/// Why an answer is not taken.
struct Refusal {
    reason: String,
    http_status: Option<u16>,
    pending: Option<Pending>,
}

/// Decides about a feed's answer and records how it stands.
pub(super) fn settle(
    feed: &Feed,
    reply: Reply,
    copy: Copy,
    rules: &Rules,
    store: &mut Store,
) -> Contribution {
    let copy = match copy {
        Copy::Damaged(note) => {
            store.forget(&feed.name, note);
            Copy::None
        }
        copy => copy,
    };
    let before = store.status(&feed.name);
    let mut status = FeedStatus {
        name: feed.name.clone(),
        url: match before.url.as_str() {
            "" => feed.urls.first().cloned().unwrap_or_default(),
            url => url.to_owned(),
        },
        last_attempt: rules.now,
        ..before.clone()
    };
    let mut made = Contribution::default();
    made.source.name.clone_from(&feed.name);
    let refusal = match reply {
        Reply::NotDue => {
            status.last_attempt = before.last_attempt;
            (status.unchanged, made.source.unchanged) = (true, true);
            stand_in(&mut made, copy);
            None
        }
        Reply::Unchanged {
            http_status,
            etag,
            last_modified,
        } => {
            (status.unchanged, made.source.unchanged) = (true, true);
            status.http_status = Some(http_status);
            (status.etag, status.last_modified) = (etag, last_modified);
            (status.change, status.pending) = (0, None);
            good(&mut status, rules.now);
            stand_in(&mut made, copy);
            None
        }
        Reply::Rows(fetched) => match judge_rows(&fetched, &before, rules) {
            Ok(()) => {
                take_rows(*fetched, &mut status, &mut made, rules, store);
                None
            }
            Err(refusal) => {
                made.source.samples = fetched.counts.samples;
                Some((refusal, copy))
            }
        },
        Reply::Archive(archive) => match judge_archive(&archive, &before, rules) {
            Ok(()) => {
                take_archive(*archive, &mut status, &mut made, rules);
                None
            }
            Err(refusal) => Some((refusal, copy)),
        },
        Reply::Failed {
            reason,
            http_status,
        } => {
            let refusal = Refusal {
                reason,
                http_status,
                pending: before.pending.clone(),
            };
            Some((refusal, copy))
        }
    };
    if let Some((refusal, copy)) = refusal {
        refuse(refusal, copy, &before, &mut status, &mut made, rules);
    }
    made.source.entries = status.entries;
    if let Some(rows) = &mut made.rows {
        rows.confidence = feed.confidence;
    }
    store.set(status);
    made
}

/// The copy stands in for an answer that is not taken.
fn refuse(
    refusal: Refusal,
    copy: Copy,
    before: &FeedStatus,
    status: &mut FeedStatus,
    made: &mut Contribution,
    rules: &Rules,
) {
    stand_in(made, copy);
    if made.rows.is_some() || made.archive.is_some() {
        let age = rules.now.saturating_sub(before.last_success.unwrap_or(0));
        made.source.copy_age_secs = Some(age);
    } else {
        // Nothing is known of it any more that could be compared with.
        (status.entries, status.digest, status.raw_digest) = (0, None, None);
    }
    status.unchanged = false;
    status.copy_age_secs = made.source.copy_age_secs;
    status.http_status = refusal.http_status;
    status.pending = refusal.pending;
    status.error = Some(refusal.reason.clone());
    made.source.error = Some(refusal.reason);
}

fn stand_in(made: &mut Contribution, copy: Copy) {
    match copy {
        Copy::Rows(rows) => made.rows = Some(rows),
        Copy::Archive(path) => made.archive = Some(path),
        Copy::None | Copy::Damaged(_) => {}
    }
}

fn good(status: &mut FeedStatus, now: u64) {
    status.last_success = Some(now);
    (status.error, status.copy_age_secs) = (None, None);
}

fn judge_rows(fetched: &Fetched, before: &FeedStatus, rules: &Rules) -> Result<(), Refusal> {
    let counts = &fetched.counts;
    let lines = counts.entries + counts.refused;
    if Canaries::is_spoilt(counts.canaries, lines) {
        let first = counts.samples.first().cloned().unwrap_or_default();
        return Err(refusal(format!(
            "{} of {lines} entries would match what everybody uses, such as {first}",
            counts.canaries
        )));
    }
    if counts.entries == 0 {
        return Err(refusal("no entry".to_owned()));
    }
    compare(counts.entries, &fetched.origin.raw_digest, before, rules)
}

fn judge_archive(archive: &Archive, before: &FeedStatus, rules: &Rules) -> Result<(), Refusal> {
    let lists_changed = before
        .lists_digest
        .as_ref()
        .is_some_and(|lists| *lists != archive.lists_digest);
    let confirmed = before
        .pending
        .as_ref()
        .is_some_and(|pending| pending.digest == archive.lists_digest);
    if before.digest.is_some() && lists_changed && !confirmed && !rules.force {
        return Err(Refusal {
            pending: Some(Pending {
                digest: archive.lists_digest.clone(),
                entries: archive.entries,
                since: rules.now,
            }),
            ..refusal(
                "its whitelist or ranges changed: taken when the next answer has the same ones \
                 (--force takes them now)"
                    .to_owned(),
            )
        });
    }
    compare(archive.entries, &archive.lists_digest, before, rules)
}

/// Whether so many entries may follow those before.
fn compare(now: usize, digest: &str, before: &FeedStatus, rules: &Rules) -> Result<(), Refusal> {
    let then = before.entries;
    if (now as f64) < then as f64 * rules.min_ratio {
        return Err(refusal(format!(
            "{now} entries instead of {then}: below TRAIL_RELOAD_MIN_RATIO {} (--force takes them)",
            rules.min_ratio
        )));
    }
    if before.digest.is_none() || rules.force || !has_grown(now, then) {
        return Ok(());
    }
    let confirmed = before.pending.as_ref().is_some_and(|pending| {
        pending.entries > 0
            && (pending.digest == digest || !has_grown(now, pending.entries))
            && has_grown(pending.entries, then)
    });
    if confirmed {
        return Ok(());
    }
    Err(Refusal {
        pending: Some(Pending {
            digest: digest.to_owned(),
            entries: now,
            since: rules.now,
        }),
        ..refusal(format!(
            "{now} entries instead of {then}: taken when the next answer confirms it (--force takes them now)"
        ))
    })
}

fn has_grown(now: usize, then: usize) -> bool {
    now as f64 > then as f64 * GROWTH && now - then > GROWTH_ENTRIES
}

fn refusal(reason: String) -> Refusal {
    Refusal {
        reason,
        http_status: Some(200),
        pending: None,
    }
}

fn take_rows(
    fetched: Fetched,
    status: &mut FeedStatus,
    made: &mut Contribution,
    rules: &Rules,
    store: &mut Store,
) {
    let Fetched {
        kept,
        counts,
        origin,
    } = fetched;
    if let Some(failure) = kept.failure {
        store.note(format!("no copy of {} is kept: {failure}", status.name));
    }
    take(counts.entries, kept.digest, origin, status, rules);
    (status.refused, made.source.refused) = (counts.refused, counts.refused);
    made.source.samples = counts.samples;
    made.rows = Some(kept.rows);
}

fn take_archive(archive: Archive, status: &mut FeedStatus, made: &mut Contribution, rules: &Rules) {
    let digest = Some(archive.digest);
    take(archive.entries, digest, archive.origin, status, rules);
    status.lists_digest = Some(archive.lists_digest);
    made.archive = Some(archive.path);
}

fn take(
    entries: usize,
    digest: Option<String>,
    origin: Origin,
    status: &mut FeedStatus,
    rules: &Rules,
) {
    let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    status.change = signed(entries) - signed(status.entries);
    if digest.is_none() || digest != status.digest {
        status.last_changed = Some(rules.now);
    }
    good(status, rules.now);
    (status.unchanged, status.pending) = (false, None);
    status.http_status = Some(200);
    status.entries = entries;
    status.url = origin.url;
    // Without a copy nothing may be asked for "only if changed".
    let has_copy = digest.is_some();
    status.digest = digest;
    status.etag = origin.etag.filter(|_| has_copy);
    status.last_modified = origin.last_modified.filter(|_| has_copy);
    status.raw_digest = Some(origin.raw_digest).filter(|_| has_copy);
    status.recipe = Some(origin.recipe);
}
