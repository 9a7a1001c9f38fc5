//! What a trail image was made from. An image of another `trails.csv`, whitelist or switch is stale.

use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::Whitelist;

/// Size of its form in an image.
const BYTES: usize = 56;

/// The state of everything that decides what is in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Size of `trails.csv` in bytes.
    bytes: u64,
    /// When it was last modified, as seconds and nanoseconds since 1970.
    modified: (i64, u32),
    /// Whether cut expressions are repaired.
    repair: bool,
    /// [`Whitelist::digest`].
    whitelist: [u8; 32],
}

impl Origin {
    /// Of this `trails.csv` as it is now.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn of(csv: &Path, whitelist: &Whitelist, repair: bool) -> io::Result<Self> {
        let meta = std::fs::metadata(csv)?;
        let modified = meta.modified()?;
        let since = match modified.duration_since(UNIX_EPOCH) {
            Ok(since) => (
                i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                since.subsec_nanos(),
            ),
            // Before 1970; the nanoseconds tell such times apart well enough.
            Err(error) => (-1, error.duration().subsec_nanos()),
        };
        Ok(Self {
            bytes: meta.len(),
            modified: since,
            repair,
            whitelist: whitelist.digest(),
        })
    }

    pub(super) fn to_bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.modified.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.modified.1.to_le_bytes());
        bytes[20] = u8::from(self.repair);
        bytes[24..].copy_from_slice(&self.whitelist);
        bytes
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            bytes: u64::from_le_bytes(*bytes.first_chunk()?),
            modified: (
                i64::from_le_bytes(*bytes.get(8..)?.first_chunk()?),
                u32::from_le_bytes(*bytes.get(16..)?.first_chunk()?),
            ),
            repair: *bytes.get(20)? == 1,
            whitelist: *bytes.get(24..)?.first_chunk()?,
        })
    }
}
