//! What a trail image was made from. An image of another `trails.csv`, whitelist or switch is stale.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use super::Whitelist;

/// Size of its form in an image.
const BYTES: usize = 64;

/// The state of everything that decides what is in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Size of `trails.csv` in bytes.
    bytes: u64,
    /// When it was last modified, as seconds and nanoseconds since 1970.
    modified: (i64, i64),
    /// Whether cut expressions are repaired.
    repair: bool,
    /// [`Whitelist::digest`].
    whitelist: [u8; 32],
}

impl Origin {
    /// Of a `trails.csv` with this metadata.
    pub fn of(meta: &Metadata, whitelist: &Whitelist, repair: bool) -> Self {
        Self {
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            repair,
            whitelist: whitelist.digest(),
        }
    }

    pub(super) fn to_bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.modified.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.modified.1.to_le_bytes());
        bytes[24] = u8::from(self.repair);
        bytes[32..].copy_from_slice(&self.whitelist);
        bytes
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            bytes: u64::from_le_bytes(*bytes.first_chunk()?),
            modified: (
                i64::from_le_bytes(*bytes.get(8..)?.first_chunk()?),
                i64::from_le_bytes(*bytes.get(16..)?.first_chunk()?),
            ),
            repair: *bytes.get(24)? == 1,
            whitelist: *bytes.get(32..)?.first_chunk()?,
        })
    }
}
