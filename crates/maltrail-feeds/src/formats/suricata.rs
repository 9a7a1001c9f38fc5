//! Suricata datasets: one value a line, Base64 for the type `string`, plain for addresses; what follows a
//! comma is a reputation.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Sink;

pub(super) fn dataset(sink: &mut Sink<'_>, number: usize, line: &str) -> io::Result<()> {
    let line = line.split(',').next().unwrap_or_default().trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    let decoded = STANDARD
        .decode(line)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        // A value with a dot or colon is no Base64; one that decodes to text with either was.
        .filter(|text| text.contains(['.', ':']));
    sink.add(number, decoded.as_deref().unwrap_or(line))
}
