//! An expression for each line, with the group `trail` and, where lines have labels, `info`. It is matched in
//! linear time and compiled within a memory bound.

use std::io::BufRead;

use regex::RegexBuilder;

use super::plain::info_of;
use super::{FormatError, Sink, by_line};

/// Largest compiled expression in bytes.
const COMPILED_BYTES: usize = 1 << 20;

pub(super) fn read(sink: &mut Sink<'_>, body: &mut dyn BufRead) -> Result<(), FormatError> {
    let regex = RegexBuilder::new(&sink.feed.pattern)
        .size_limit(COMPILED_BYTES)
        .build()
        .map_err(|error| FormatError::Form(format!("pattern: {error}")))?;
    by_line(sink, body, |sink, number, line| {
        for groups in regex.captures_iter(line) {
            let Some(text) = groups.name("trail") else {
                continue;
            };
            match groups.name("info") {
                None => sink.add(number, text.as_str())?,
                Some(family) => {
                    let info = info_of(sink, family.as_str());
                    sink.add_labelled(number, text.as_str(), &info)?;
                }
            }
        }
        Ok(())
    })
}
