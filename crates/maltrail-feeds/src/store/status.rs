//! How a feed stands: one row of `status.json`. Unknown and missing fields are taken as they come, so that
//! older and newer versions read each other's record.

use serde::{Deserialize, Serialize};

/// How a feed stands. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FeedStatus {
    /// Its name.
    pub name: String,
    /// The address that gave its last good answer; its first one before that.
    pub url: String,
    /// When it last answered well, be it with nothing new.
    pub last_success: Option<u64>,
    /// When it was last asked.
    pub last_attempt: u64,
    /// When its entries last changed.
    pub last_changed: Option<u64>,
    /// Status of its last answer, 304 among them; none when there was no answer.
    pub http_status: Option<u16>,
    /// Entries of its last good answer.
    pub entries: usize,
    /// Entries of that answer beyond those of the one before.
    pub change: i64,
    /// Entries of that answer that were refused.
    pub refused: usize,
    /// Whether its last answer was what is at hand already.
    pub unchanged: bool,
    /// What was wrong with its last answer.
    pub error: Option<String>,
    /// An answer that waits for the next one to confirm it.
    pub pending: Option<Pending>,
    /// `ETag` of its last good answer.
    pub etag: Option<String>,
    /// `Last-Modified` of its last good answer.
    pub last_modified: Option<String>,
    /// Age of the copy, when the last update used it because of an error.
    pub copy_age_secs: Option<u64>,
    /// SHA-256 of the copy.
    pub digest: Option<String>,
    /// SHA-256 of what its last good answer was parsed from.
    pub raw_digest: Option<String>,
    /// SHA-256 of how it was parsed: another way of reading makes the copy old.
    pub recipe: Option<String>,
    /// SHA-256 of the whitelist and ranges in its last good archive.
    pub lists_digest: Option<String>,
}

impl FeedStatus {
    /// The same, with only the attempt of `other`.
    pub(super) fn with_attempt_of(self, other: &Self) -> Self {
        Self {
            name: other.name.clone(),
            url: if self.url.is_empty() {
                other.url.clone()
            } else {
                self.url
            },
            last_attempt: other.last_attempt,
            http_status: other.http_status,
            error: other.error.clone(),
            ..self
        }
    }
}

/// An answer that differs much from the one before: the next one confirms it or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pending {
    /// SHA-256 of the answer, or of the lists of the archive that changed.
    pub digest: String,
    /// Its entries.
    pub entries: usize,
    /// When it came.
    pub since: u64,
}
