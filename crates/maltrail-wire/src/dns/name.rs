//! Names inside a message, read label by label.
//!
//! A [`Name`] is a place in the message; its end is known, its labels are read on demand into a
//! [`NameBuf`] in lower case (ASCII letters only; other bytes unchanged). Two forms:
//!
//! - *plain*, for the first question: a length byte is always a length (compat: never a pointer,
//!   so labels up to 255 bytes occur);
//! - *compressed*, everywhere else: RFC 1035 section 4.1.4.
//!
//! Bounds: [`MAX_WIRE_LEN`] bytes on the wire, [`MAX_LABELS`] labels, [`MAX_POINTERS`] pointers. A
//! pointer must lead to before the place that it was reached from, so no chain can close.

/// Most bytes of a name on the wire, the final zero included (RFC 1035 section 2.3.4).
pub const MAX_WIRE_LEN: usize = 255;
/// Most labels: what [`MAX_WIRE_LEN`] has room for, with one letter each.
pub const MAX_LABELS: usize = 127;
/// Most pointers followed in one name: one in front, and one behind each label.
pub const MAX_POINTERS: usize = MAX_LABELS + 1;

/// Length bytes from here on are not lengths in a compressed name.
const POINTER_BITS: u8 = 0xc0;

/// Why a name cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameError {
    /// The message ends inside the name.
    Truncated,
    /// More than [`MAX_WIRE_LEN`] bytes.
    TooLong,
    /// A label type other than length and pointer.
    LabelType,
    /// A pointer that does not lead backwards.
    Pointer,
    /// More than [`MAX_POINTERS`] pointers.
    TooManyPointers,
}

/// Text of a name: labels joined by dots, without a final dot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NameBuf {
    bytes: [u8; MAX_WIRE_LEN],
    len: u8,
}

impl NameBuf {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; MAX_WIRE_LEN],
            len: 0,
        }
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The text, if it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }

    /// Length of the text in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no text; also so for the root name.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets the text.
    pub const fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends text in lower case, behind a dot when it is not the first.
    fn push(&mut self, text: &[u8]) -> Result<(), NameError> {
        let start = usize::from(self.len);
        let dot = usize::from(start != 0);
        let end = start.saturating_add(dot).saturating_add(text.len());
        let room = self.bytes.get_mut(start..end).ok_or(NameError::TooLong)?;
        let (separator, to) = room.split_at_mut(dot);
        separator.fill(b'.');
        copy_lower(to, text);
        self.len = u8::try_from(end).map_err(|_| NameError::TooLong)?;
        Ok(())
    }

    fn put_dot(&mut self, at: usize) {
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte = b'.';
        }
    }
}

/// Copies `from` to `to`, which is as long, in lower case: in blocks, the last of which overlaps
/// the one before. Names are mostly 10 to 40 bytes long, too short for a byte loop to be unrolled.
#[inline]
fn copy_lower(to: &mut [u8], from: &[u8]) {
    if !copy_blocks::<16>(to, from) && !copy_blocks::<8>(to, from) {
        copy_blocks::<1>(to, from);
    }
}

/// Copies in blocks of `N`; `false`, and nothing done, when there is not even one block.
#[inline]
fn copy_blocks<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    let Some(last) = from.last_chunk::<N>() else {
        return false;
    };
    for (to, from) in to
        .as_chunks_mut::<N>()
        .0
        .iter_mut()
        .zip(from.as_chunks::<N>().0)
    {
        *to = from.map(|byte| byte.to_ascii_lowercase());
    }
    if let Some(to) = to.last_chunk_mut::<N>() {
        *to = last.map(|byte| byte.to_ascii_lowercase());
    }
    true
}

impl Default for NameBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NameBuf({})", self.as_bytes().escape_ascii())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Plain,
    Compressed,
}

/// A name in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    message: &'a [u8],
    start: usize,
    end: usize,
    form: Form,
}

impl<'a> Name<'a> {
    /// The name at `start`, all length bytes being lengths.
    pub(super) fn plain(message: &'a [u8], start: usize) -> Result<Self, NameError> {
        Self::locate(message, start, Form::Plain)
    }

    /// The name at `start`, which may be compressed.
    pub(super) fn compressed(message: &'a [u8], start: usize) -> Result<Self, NameError> {
        Self::locate(message, start, Form::Compressed)
    }

    fn locate(message: &'a [u8], start: usize, form: Form) -> Result<Self, NameError> {
        let mut labels = Labels::new(message, start, form);
        loop {
            // Ends: every label counts against MAX_WIRE_LEN.
            match labels.step()? {
                Step::Label(_) => {}
                Step::Pointer(_) | Step::End => {
                    return Ok(Self {
                        message,
                        start,
                        end: labels.at,
                        form,
                    });
                }
            }
        }
    }

    /// Offset of the byte after the name.
    pub(super) const fn end(self) -> usize {
        self.end
    }

    /// The bytes of the name where it stands, up to its final zero or first pointer.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        self.message.get(self.start..self.end).unwrap_or_default()
    }

    /// Writes the name in lower case into `out`, replacing what was there. After an error `out` is
    /// empty, as part of a name would be another name.
    pub fn write_lower(self, out: &mut NameBuf) -> Result<(), NameError> {
        out.clear();
        let written = self.append_to(out);
        if written.is_err() {
            out.clear();
        }
        written
    }

    fn append_to(self, out: &mut NameBuf) -> Result<(), NameError> {
        match self.form {
            Form::Plain => self.append_plain(out),
            Form::Compressed => self.append_compressed(out),
        }
    }

    /// The text stands in the message in one piece: between its first length byte and the final
    /// zero, with length bytes where dots belong.
    fn append_plain(self, out: &mut NameBuf) -> Result<(), NameError> {
        let raw = self.raw();
        out.push(raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default())?;
        let mut at = 0_usize;
        // Ends: `at` grows, and the name ends in a zero.
        while let Some(&length @ 1..) = raw.get(at) {
            if let Some(before) = at.checked_sub(1) {
                out.put_dot(before);
            }
            at = at.saturating_add(usize::from(length)).saturating_add(1);
        }
        Ok(())
    }

    fn append_compressed(self, out: &mut NameBuf) -> Result<(), NameError> {
        let mut labels = Labels::new(self.message, self.start, self.form);
        loop {
            // Ends: labels count against MAX_WIRE_LEN, pointers against MAX_POINTERS.
            match labels.step()? {
                Step::Label(label) => out.push(label)?,
                Step::Pointer(target) => labels.follow(target)?,
                Step::End => return Ok(()),
            }
        }
    }
}

enum Step<'a> {
    Label(&'a [u8]),
    Pointer(usize),
    End,
}

/// A walk over the labels of a name.
struct Labels<'a> {
    message: &'a [u8],
    at: usize,
    form: Form,
    /// Bytes of labels so far, length bytes included.
    wire_len: usize,
    pointers: usize,
    /// Where the current run of labels starts; pointers must lead to before it.
    run_start: usize,
}

impl<'a> Labels<'a> {
    const fn new(message: &'a [u8], start: usize, form: Form) -> Self {
        Self {
            message,
            at: start,
            form,
            wire_len: 0,
            pointers: 0,
            run_start: start,
        }
    }

    fn step(&mut self) -> Result<Step<'a>, NameError> {
        let (&length, rest) = self
            .message
            .get(self.at..)
            .and_then(<[u8]>::split_first)
            .ok_or(NameError::Truncated)?;
        if length == 0 {
            self.at = self.at.saturating_add(1);
            return Ok(Step::End);
        }
        if self.form == Form::Compressed && length & POINTER_BITS != 0 {
            return self.pointer(length, rest);
        }
        let label = rest
            .get(..usize::from(length))
            .ok_or(NameError::Truncated)?;
        let label_len = label.len().saturating_add(1);
        self.wire_len = self.wire_len.saturating_add(label_len);
        if self.wire_len >= MAX_WIRE_LEN {
            return Err(NameError::TooLong);
        }
        self.at = self.at.saturating_add(label_len);
        Ok(Step::Label(label))
    }

    fn pointer(&mut self, length: u8, rest: &[u8]) -> Result<Step<'a>, NameError> {
        if length & POINTER_BITS != POINTER_BITS {
            return Err(NameError::LabelType);
        }
        let &low = rest.first().ok_or(NameError::Truncated)?;
        self.at = self.at.saturating_add(2);
        Ok(Step::Pointer(usize::from(u16::from_be_bytes([
            length & !POINTER_BITS,
            low,
        ]))))
    }

    fn follow(&mut self, target: usize) -> Result<(), NameError> {
        if target >= self.run_start {
            return Err(NameError::Pointer);
        }
        if self.pointers == MAX_POINTERS {
            return Err(NameError::TooManyPointers);
        }
        self.pointers = self.pointers.saturating_add(1);
        self.run_start = target;
        self.at = target;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: Result<Name<'_>, NameError>) -> Result<String, NameError> {
        let mut out = NameBuf::new();
        name?.write_lower(&mut out)?;
        Ok(out.as_bytes().escape_ascii().to_string())
    }

    fn plain(bytes: &[u8]) -> Result<String, NameError> {
        read(Name::plain(bytes, 0))
    }

    fn compressed(bytes: &[u8], start: usize) -> Result<String, NameError> {
        read(Name::compressed(bytes, start))
    }

    #[test]
    fn labels_are_joined_in_lower_case() {
        assert_eq!(
            plain(b"\x03WwW\x0aEvil-Dom_1\x03COM\x00"),
            Ok("www.evil-dom_1.com".into())
        );
        assert_eq!(plain(b"\x00"), Ok(String::new()));
        assert_eq!(
            plain(b"\x02\xC4\x41\x00"),
            Ok("\\xc4a".into()),
            "ASCII letters only"
        );
    }

    #[test]
    fn the_end_is_behind_the_zero_or_the_first_pointer() {
        let message = b"\x01a\x00\x01b\xc0\x00tail";
        let name = Name::plain(message, 0).unwrap();
        assert_eq!((name.end(), name.raw()), (3, &b"\x01a\x00"[..]));
        let name = Name::compressed(message, 3).unwrap();
        assert_eq!((name.end(), name.raw()), (7, &b"\x01b\xc0\x00"[..]));
    }

    #[test]
    fn pointers_are_followed_in_compressed_names_only() {
        let message = b"\x03com\x00\x04evil\xc0\x00\x03www\xc0\x05";
        assert_eq!(compressed(message, 12), Ok("www.evil.com".into()));
        // In a plain name 0xc0 is a length that this message has no bytes for.
        assert_eq!(read(Name::plain(message, 12)), Err(NameError::Truncated));
        let long = [&[0xc0][..], &[b'x'; 0xc0], &[0]].concat();
        assert_eq!(plain(&long), Ok("x".repeat(0xc0)));
    }

    #[test]
    fn pointers_must_lead_backwards() {
        assert_eq!(
            compressed(b"\xc0\x00", 0),
            Err(NameError::Pointer),
            "itself"
        );
        assert_eq!(
            compressed(b"\xc0\x02\xc0\x00", 0),
            Err(NameError::Pointer),
            "a pair"
        );
        assert_eq!(
            compressed(b"\xc0\x02\xc0\x00", 2),
            Err(NameError::Pointer),
            "a pair"
        );
        assert_eq!(
            compressed(b"\x01a\xc0\x00", 0),
            Err(NameError::Pointer),
            "own start"
        );
        assert_eq!(
            compressed(b"\x01a\xc0\x05\x00\x00", 0),
            Err(NameError::Pointer),
            "forward"
        );
    }

    #[test]
    fn other_label_types_are_refused() {
        assert_eq!(compressed(b"\x40abc", 0), Err(NameError::LabelType));
        assert_eq!(compressed(b"\x80abc", 0), Err(NameError::LabelType));
    }

    #[test]
    fn truncation_anywhere_is_an_error() {
        let bytes = b"\x03www\x04evil\x00";
        for cut in 0..bytes.len() {
            assert_eq!(
                plain(&bytes[..cut]),
                Err(NameError::Truncated),
                "{cut} bytes"
            );
        }
        assert_eq!(compressed(b"\x01a\xc0", 0), Err(NameError::Truncated));
    }

    #[test]
    fn the_longest_name_fits_and_one_byte_more_does_not() {
        // 127 labels of one letter: 254 bytes and the final zero.
        let mut longest = b"\x01a".repeat(MAX_LABELS);
        longest.push(0);
        assert_eq!(longest.len(), MAX_WIRE_LEN);
        let text = plain(&longest).unwrap();
        assert_eq!(text.split('.').count(), MAX_LABELS);
        let mut longer = b"\x01a".repeat(MAX_LABELS - 1);
        longer.extend(b"\x02ab\x00");
        assert_eq!(plain(&longer), Err(NameError::TooLong));
        // Through a pointer the same bound counts.
        let mut message = longest.clone();
        message.extend(b"\x01b\xc0\x00");
        assert_eq!(compressed(&message, longest.len()), Err(NameError::TooLong));
        assert_eq!(compressed(&message, 0), Ok(text));
    }

    #[test]
    fn a_chain_of_bare_pointers_ends_at_the_bound() {
        let chain = |pointers: usize| {
            let mut message = vec![0, 0];
            for step in 0..pointers {
                message.extend(u16::try_from(0xc000 | (step * 2)).unwrap().to_be_bytes());
            }
            message
        };
        let message = chain(MAX_POINTERS);
        assert_eq!(compressed(&message, MAX_POINTERS * 2), Ok(String::new()));
        let message = chain(MAX_POINTERS + 1);
        let start = (MAX_POINTERS + 1) * 2;
        assert_eq!(compressed(&message, start), Err(NameError::TooManyPointers));
    }

    #[test]
    fn text_of_every_length_is_copied_whole() {
        for len in 1..=250_u8 {
            let label: Vec<u8> = (0..len).map(|n| b'A' + n % 26).collect();
            let message = [&[len][..], &label, &[0]].concat();
            let mut out = NameBuf::new();
            Name::plain(&message, 0)
                .unwrap()
                .write_lower(&mut out)
                .unwrap();
            assert_eq!(out.as_bytes(), label.to_ascii_lowercase());
        }
    }

    #[test]
    fn length_bytes_that_look_like_letters_become_dots() {
        // 65 is the letter A.
        let long = "x".repeat(65);
        let message = format!("\x01aA{long}\x01b\0");
        assert_eq!(plain(message.as_bytes()), Ok(format!("a.{long}.b")));
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let mut out = NameBuf::new();
        Name::plain(b"\x01a\x00", 0)
            .unwrap()
            .write_lower(&mut out)
            .unwrap();
        assert_eq!(
            (out.as_str(), out.len(), out.is_empty()),
            (Some("a"), 1, false)
        );
        let broken = Name::compressed(b"\x01b\xc0\x09", 0).unwrap();
        assert_eq!(broken.write_lower(&mut out), Err(NameError::Pointer));
        assert!(out.is_empty());
    }

    #[test]
    fn a_buffer_starts_empty_and_is_shown_without_control_bytes() {
        let mut out = NameBuf::default();
        assert_eq!(out, NameBuf::new());
        assert_eq!(format!("{out:?}"), "NameBuf()");
        Name::plain(b"\x04a\x1b\xffB\x02cc\x00", 0)
            .unwrap()
            .write_lower(&mut out)
            .unwrap();
        assert_eq!(format!("{out:?}"), r"NameBuf(a\x1b\xffb.cc)");
        assert_eq!(out.as_str(), None, "no text");
    }
}
