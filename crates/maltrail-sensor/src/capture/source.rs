//! A buffered reader that hands out whole stretches of its buffer, so that a packet is never copied
//! once it is read.

use std::io::{self, Read};

/// Bytes asked from the system at once: large enough that the calls do not count (measured: 13-15 ns
/// a small packet).
const CHUNK: usize = 256 * 1024;

/// Buffer over `input`.
pub(super) struct Source<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes handed out so far.
    consumed: u64,
    /// Where the present record starts, for messages.
    mark: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            consumed: 0,
            mark: 0,
        }
    }

    /// Position of the next byte in the input.
    pub(super) const fn position(&self) -> u64 {
        self.consumed
    }

    /// Says that a record starts here.
    pub(super) const fn mark(&mut self) {
        self.mark = self.consumed;
    }

    /// Where the last record started.
    pub(super) const fn marked(&self) -> u64 {
        self.mark
    }

    /// The next `count` bytes without taking them; fewer at the end of the input.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.start < count {
            if self.buffer.len() - self.start < count {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
                if self.buffer.len() < count {
                    self.buffer.resize(count.next_multiple_of(CHUNK), 0);
                }
            }
            let space = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.input.read(space) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let end = self.end.min(self.start + count);
        Ok(self.buffer.get(self.start..end).unwrap_or_default())
    }

    /// The next `count` bytes, taken; fewer at the end of the input.
    pub(super) fn take(&mut self, count: usize) -> io::Result<&[u8]> {
        let got = self.peek(count)?.len();
        let from = self.start;
        self.start += got;
        self.consumed += got as u64;
        Ok(self.buffer.get(from..from + got).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as a slow pipe does.
    struct Drip(Vec<u8>);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            buffer[0] = self.0.remove(0);
            Ok(1)
        }
    }

    #[test]
    fn stretches_larger_than_the_buffer_and_slow_inputs_work() {
        let bytes: Vec<u8> = (0..=255).cycle().take(CHUNK * 2 + 7).collect();
        let mut source = Source::new(bytes.as_slice());
        assert_eq!(source.take(3).expect("memory"), &bytes[..3]);
        assert_eq!(
            source.peek(CHUNK + 100).expect("memory"),
            &bytes[3..CHUNK + 103]
        );
        assert_eq!(source.take(CHUNK + 100).expect("memory").len(), CHUNK + 100);
        assert_eq!(source.position(), CHUNK as u64 + 103);
        assert_eq!(
            source.take(CHUNK * 2).expect("memory"),
            &bytes[CHUNK + 103..]
        );
        let mut drip = Source::new(Drip(b"abcdef".to_vec()));
        assert_eq!(drip.take(4).expect("memory"), b"abcd");
        assert_eq!(drip.take(4).expect("memory"), b"ef");
    }
}
