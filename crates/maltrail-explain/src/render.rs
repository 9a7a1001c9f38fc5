//! An answer for a person, and as JSON.

use std::fmt::Write as _;

use maltrail_core::time::Day;
use maltrail_feeds::catalog::Listing;
use serde_json::{Value, json};

use super::Answer;

/// The text without characters that a terminal would act on.
fn clean(text: &str) -> String {
    let letter = |letter: char| {
        if letter.is_control() {
            '\u{fffd}'
        } else {
            letter
        }
    };
    text.chars().map(letter).collect()
}

/// The answer in lines.
pub(super) fn text(answer: &Answer) -> String {
    let mut out = String::new();
    let verdict = match (answer.is_flagged(), answer.hits.is_empty()) {
        (true, _) => "REPORTED",
        (false, false) => "HIDDEN",
        (false, true) => "NOT REPORTED",
    };
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", clean(&text));
    };
    line(format!("{verdict}: {} ({})", answer.asked, answer.kind));
    for hit in &answer.hits {
        let found = &hit.found;
        line(format!("  found by {}", hit.how));
        line(format!(
            "    event   {} {}",
            found.kind.as_str(),
            found.shown
        ));
        line(format!("    key     {}", found.key));
        line(format!("    info    {}", found.info));
        line(format!("    origin  {}", found.reference));
        listings(&hit.listings, &mut line);
    }
    for hidden in &answer.hidden {
        line(format!(
            "  hidden by {} {}:{} `{}`",
            hidden.by, hidden.line.file, hidden.line.line, hidden.line.text
        ));
    }
    for unused in &answer.unused {
        line(format!(
            "  `{}` is listed but not in the set: {}",
            unused.key, unused.why
        ));
        listings(&unused.listings, &mut line);
    }
    answer
        .notes
        .iter()
        .for_each(|note| line(format!("  note: {note}")));
    answer
        .advice
        .iter()
        .for_each(|text| line(format!("  {text}")));
    out.trim_end().to_owned()
}

fn listings(listings: &[Listing], line: &mut impl FnMut(String)) {
    for listing in listings {
        let place = listing.line.map_or_else(String::new, |at| format!(":{at}"));
        let since = listing
            .first
            .map_or_else(String::new, |day| format!(", since {day}"));
        let gone = listing
            .last
            .map_or_else(String::new, |day| format!(", gone since {day}"));
        let trust = listing
            .confidence
            .map_or_else(String::new, |percent| format!(", confidence {percent} %"));
        line(format!(
            "    list    {}{place} ({}): {}{since}{gone}{trust}",
            listing.list,
            listing.kind.name(),
            listing.info
        ));
        if !listing.aliases.is_empty() {
            line(format!("      also called {}", listing.aliases));
        }
        listing
            .urls
            .iter()
            .for_each(|url| line(format!("      see {url}")));
    }
}

/// The answer as one object.
pub(super) fn json(answer: &Answer) -> Value {
    let hits: Vec<Value> = answer
        .hits
        .iter()
        .map(|hit| {
            json!({
                "by": hit.how, "type": hit.found.kind.as_str(), "trail": hit.found.shown, "key": hit.found.key,
                "info": hit.found.info, "reference": hit.found.reference, "lists": lists(&hit.listings),
            })
        })
        .collect();
    let hidden: Vec<Value> = answer
        .hidden
        .iter()
        .map(|hidden| {
            json!({ "by": hidden.by, "file": hidden.line.file, "line": hidden.line.line, "text": hidden.line.text })
        })
        .collect();
    let unused: Vec<Value> = answer
        .unused
        .iter()
        .map(|unused| json!({ "key": unused.key, "why": unused.why, "lists": lists(&unused.listings) }))
        .collect();
    json!({
        "indicator": answer.asked, "kind": answer.kind, "reported": answer.is_flagged(), "hits": hits,
        "hidden_by": hidden, "unused": unused, "notes": answer.notes, "advice": answer.advice,
    })
}

fn lists(listings: &[Listing]) -> Vec<Value> {
    let day = |day: Option<Day>| day.map(|day| day.to_string());
    listings
        .iter()
        .map(|listing| {
            json!({
                "list": listing.list, "kind": listing.kind.name(), "line": listing.line, "info": listing.info,
                "reference": listing.reference, "urls": listing.urls, "aliases": listing.aliases,
                "first": day(listing.first), "last": day(listing.last), "confidence": listing.confidence,
            })
        })
        .collect()
}
