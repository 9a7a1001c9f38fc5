//! Comma- or tab-separated columns with quotes (RFC 4180): a quoted column may hold separators, doubled
//! quotes and line ends. A record has at most 64 KiB; a quote that never closes costs that much.

use std::io::{self, BufRead};

use super::{FormatError, Sink, plain, text};

/// Longest record.
const RECORD_BYTES: usize = 64 << 10;

pub(super) fn read(sink: &mut Sink<'_>, body: &mut dyn BufRead) -> Result<(), FormatError> {
    let separator = sink.feed.separator.unwrap_or(',');
    let (mut record, mut start) = (String::new(), 0);
    let too_long = text::each_line(body, |number, line| {
        if record.is_empty() {
            if line.trim().is_empty() || line.starts_with('#') {
                return Ok(());
            }
            start = number;
        } else {
            record.push('\n');
        }
        record.push_str(line);
        let is_open = record.matches('"').count() % 2 == 1;
        if is_open && record.len() < RECORD_BYTES {
            return Ok(());
        }
        let done = take(sink, start, &record, separator, is_open);
        record.clear();
        done
    })?;
    sink.counts.refused += too_long;
    if !record.is_empty() {
        take(sink, start, &record, separator, true)?;
    }
    Ok(())
}

fn take(
    sink: &mut Sink<'_>,
    start: usize,
    record: &str,
    separator: char,
    is_open: bool,
) -> io::Result<()> {
    if is_open {
        sink.refuse(start, record, "a quote that does not close", false);
        return Ok(());
    }
    plain::pick(sink, start, &columns(record, separator))
}

/// Columns of a record, unquoted.
fn columns(record: &str, separator: char) -> Vec<String> {
    let mut columns = vec![String::new()];
    let mut quoted = false;
    let mut letters = record.chars().peekable();
    while let Some(letter) = letters.next() {
        let Some(column) = columns.last_mut() else {
            break;
        };
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                column.push('"');
                letters.next();
            }
            '"' if quoted || column.trim().is_empty() => {
                quoted = !quoted;
                if quoted {
                    column.clear();
                }
            }
            letter if letter == separator && !quoted => columns.push(String::new()),
            letter => column.push(letter),
        }
    }
    columns
        .iter()
        .map(|column| column.trim().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_separators_and_quotes() {
        let cases: [(&str, &[&str]); 5] = [
            ("a,b , c", &["a", "b", "c"]),
            (r#""a,b","say ""x""",c"#, &["a,b", r#"say "x""#, "c"]),
            (r#"a, "b,c""#, &["a", "b,c"]),
            (r#"5" disk,b"#, &[r#"5" disk"#, "b"]),
            (",", &["", ""]),
        ];
        for (record, wanted) in cases {
            assert_eq!(columns(record, ','), wanted, "{record}");
        }
    }
}
