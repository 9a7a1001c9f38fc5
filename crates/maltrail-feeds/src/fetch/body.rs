//! A downloaded body: up to 128 KiB in memory, beyond that in an unnamed temporary file, so that eight
//! downloads at once need little memory whatever their size. Its SHA-256 is known when it is complete.

use std::fmt;
use std::io::{self, Read, Seek as _, SeekFrom, Write};

use ring::digest::{Context, SHA256};
use tempfile::SpooledTempFile;

/// Bytes kept in memory.
const SPOOL_BYTES: usize = 128 << 10;

/// A complete body.
pub struct Body {
    file: SpooledTempFile,
    len: u64,
    digest: String,
}

impl Body {
    /// A body of these bytes.
    ///
    /// # Errors
    /// When a large one finds no room in the folder of temporary files.
    pub fn of(bytes: &[u8]) -> io::Result<Self> {
        let mut writer = BodyWriter::new();
        writer.write_all(bytes)?;
        Ok(writer.finish())
    }

    /// Its size in bytes.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// SHA-256 in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Its bytes from the first one on; may be called again.
    ///
    /// # Errors
    /// Those of the temporary file.
    pub fn open(&mut self) -> io::Result<&mut SpooledTempFile> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(&mut self.file)
    }

    /// All bytes, when they are at most `limit`.
    ///
    /// # Errors
    /// Those of the temporary file, and when there are more.
    pub fn bytes(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        if self.len > limit {
            return Err(io::Error::other(format!("more than {limit} bytes")));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(self.len).unwrap_or_default());
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes, {})", self.len, self.digest)
    }
}

/// A body that is being written.
pub struct BodyWriter {
    file: SpooledTempFile,
    len: u64,
    context: Context,
}

impl BodyWriter {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            file: tempfile::spooled_tempfile(SPOOL_BYTES),
            len: 0,
            context: Context::new(&SHA256),
        }
    }

    /// Bytes so far.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing was written yet.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The complete body.
    pub fn finish(self) -> Body {
        Body {
            file: self.file,
            len: self.len,
            digest: hex(self.context.finish().as_ref()),
        }
    }
}

impl Default for BodyWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.context.update(bytes.get(..count).unwrap_or(bytes));
        self.len += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Hexadecimal digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_leave_memory_and_read_the_same_twice() {
        let bytes: Vec<u8> = (0..SPOOL_BYTES + 10).map(|at| at as u8).collect();
        let mut body = Body::of(&bytes).expect("room");
        assert!(body.file.is_rolled());
        assert_eq!(body.bytes(1 << 20).expect("bytes"), bytes);
        assert_eq!(body.bytes(1 << 20).expect("again"), bytes);
        assert!(body.bytes(10).is_err());
        // FIPS 180-2, appendix B.1.
        let abc = Body::of(b"abc").expect("room");
        assert!(abc.digest().starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }
}
