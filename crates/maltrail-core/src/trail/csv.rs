//! `trails.csv`: three columns `trail,info,reference`, no header, CRLF line ends, quotes only where
//! needed. The interchange form between updater, sensor, server and the reference's programs.

use std::io;

use csv::{ByteRecord, QuoteStyle, ReaderBuilder, Terminator, WriterBuilder};

/// What was met while reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Rows with three columns.
    pub rows: usize,
    /// Rows that were skipped because they have not exactly three columns.
    pub malformed: usize,
}

/// Calls `row(trail, info, reference)` for each row of `input`, in order. Bytes that are not UTF-8
/// become U+FFFD. A row without exactly three columns is skipped and counted.
///
/// # Errors
/// Only those of `input` itself.
pub fn read(input: impl io::Read, mut row: impl FnMut(&str, &str, &str)) -> io::Result<ReadCounts> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 18)
        .from_reader(input);
    let mut record = ByteRecord::new();
    let mut counts = ReadCounts::default();
    while reader
        .read_byte_record(&mut record)
        .map_err(io::Error::other)?
    {
        if record.len() != 3 {
            counts.malformed += 1;
            continue;
        }
        counts.rows += 1;
        let column = |at| String::from_utf8_lossy(record.get(at).unwrap_or_default());
        row(&column(0), &column(1), &column(2));
    }
    Ok(counts)
}

/// Writes rows.
pub struct Writer<W: io::Write>(csv::Writer<W>);

impl<W: io::Write> Writer<W> {
    /// Writes to `output`, buffered.
    pub fn new(output: W) -> Self {
        let mut builder = WriterBuilder::new();
        builder
            .terminator(Terminator::CRLF)
            .quote_style(QuoteStyle::Necessary)
            .buffer_capacity(1 << 18);
        Self(builder.from_writer(output))
    }

    /// Writes one row.
    ///
    /// # Errors
    /// Those of the output.
    pub fn row(&mut self, trail: &str, info: &str, reference: &str) -> io::Result<()> {
        self.0
            .write_record([trail, info, reference])
            .map_err(io::Error::other)
    }

    /// Flushes and returns the output.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(self) -> io::Result<W> {
        self.0.into_inner().map_err(|error| error.into_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8]) -> (Vec<[String; 3]>, ReadCounts) {
        let mut rows = Vec::new();
        let counts =
            read(text, |a, b, c| rows.push([a.into(), b.into(), c.into()])).expect("memory");
        (rows, counts)
    }

    #[test]
    fn quotes_line_ends_and_bad_rows() {
        let text = b"evil.com,\"a, b\",(static)\r\nx,\"he said \"\"hi\"\"\",r\nonly,two\n1,2,3,4\n\xff.com,i,r";
        let (rows, counts) = rows(text);
        assert_eq!(
            counts,
            ReadCounts {
                rows: 3,
                malformed: 2
            }
        );
        assert_eq!(rows[0], ["evil.com", "a, b", "(static)"]);
        assert_eq!(rows[1][1], "he said \"hi\"");
        assert_eq!(rows[2][0], "\u{fffd}.com");
    }

    #[test]
    fn what_is_written_is_read() {
        let wanted = [
            ["\"quoted,comma\".biz", "a", "b"],
            ["two words", "", "r"],
            ["x", "line\nbreak", "r"],
        ];
        let mut writer = Writer::new(Vec::new());
        for [trail, info, reference] in wanted {
            writer.row(trail, info, reference).expect("memory");
        }
        let bytes = writer.finish().expect("memory");
        assert!(bytes.ends_with(b"\r\n"));
        assert_eq!(rows(&bytes).0, wanted.map(|row| row.map(str::to_owned)));
    }
}
