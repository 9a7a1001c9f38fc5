//! Lines of a body, whatever its bytes: a byte-order mark and CR vanish, bytes that are no UTF-8 become
//! U+FFFD, and a line longer than 64 KiB is left out, so that a body without line ends fills no memory.

use std::io::{self, BufRead, Read as _};

/// Longest line.
const LINE_BYTES: u64 = 64 << 10;

/// Calls `found(number, line)` for each line; the number of lines that were too long.
pub(super) fn each_line(
    input: &mut dyn BufRead,
    mut found: impl FnMut(usize, &str) -> io::Result<()>,
) -> io::Result<usize> {
    let (mut number, mut too_long) = (0, 0);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let count = (&mut *input)
            .take(LINE_BYTES)
            .read_until(b'\n', &mut bytes)?;
        if count == 0 {
            return Ok(too_long);
        }
        number += 1;
        if count as u64 == LINE_BYTES && bytes.last() != Some(&b'\n') {
            too_long += 1;
            skip_line(input)?;
            continue;
        }
        let mut line = bytes.as_slice();
        if number == 1 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        found(number, &String::from_utf8_lossy(line))?;
    }
}

fn skip_line(input: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let skipped = end.map_or(buffer.len(), |end| end + 1);
        input.consume(skipped);
        if end.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_bytes() {
        let mut body = b"\xef\xbb\xbfa\r\nb\xff\n".to_vec();
        body.extend(vec![b'x'; LINE_BYTES as usize + 5]);
        body.extend(b"\n\nlast");
        let mut lines = Vec::new();
        let mut input = io::BufReader::with_capacity(7, body.as_slice());
        let too_long = each_line(&mut input, |number, line| {
            lines.push((number, line.to_owned()));
            Ok(())
        });
        assert_eq!(too_long.expect("memory"), 1);
        let wanted = [(1, "a"), (2, "b\u{fffd}"), (4, ""), (5, "last")];
        assert_eq!(
            lines,
            wanted.map(|(number, line)| (number, line.to_owned()))
        );
    }
}
