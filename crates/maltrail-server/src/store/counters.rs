//! What the health page says about intake and index. Plain atomics, monotone since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The value now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the value, for what is measured elsewhere (kernel drops).
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Serialize for Counter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

/// The UDP intake. `received = stored + heartbeats + rejected + duplicates + refused + forged` once the
/// queue is empty.
#[derive(Debug, Default, Serialize)]
pub(crate) struct IntakeCounters {
    /// Datagrams taken from the socket.
    pub(crate) received: Counter,
    /// Bytes of them.
    pub(crate) bytes: Counter,
    /// Lines that are in the day file.
    pub(crate) stored: Counter,
    /// Heartbeats of sensors.
    pub(crate) heartbeats: Counter,
    /// From a source outside `UDP_ALLOWLIST`.
    pub(crate) refused: Counter,
    /// Without the MAC of `UDP_KEY`.
    pub(crate) forged: Counter,
    /// Events that were stored already.
    pub(crate) duplicates: Counter,
    /// Not events, all reasons together.
    pub(crate) rejected: Counter,
    /// Of those: not UTF-8.
    pub rejected_utf8: Counter,
    /// Of those: not an event line.
    pub(crate) rejected_line: Counter,
    /// Of those: time too old, too far ahead, or line and epoch second disagree.
    pub(crate) rejected_time: Counter,
    /// Times that the receive loop had to wait for the writer.
    pub(crate) queue_waits: Counter,
    /// Failed writes to a day file; each was tried again.
    pub(crate) write_errors: Counter,
    /// Datagrams that the kernel dropped because the socket's buffer was full.
    pub(crate) kernel_drops: Counter,
}

/// The index.
#[derive(Debug, Default, Serialize)]
pub(crate) struct IndexCounters {
    /// Events read from day files.
    pub(crate) events: Counter,
    /// Lines that are not events.
    pub(crate) bad_lines: Counter,
    /// Lines that repeat an event.
    pub(crate) duplicates: Counter,
    /// Events beyond the bound of a day's table.
    pub(crate) overflow: Counter,
    /// Batches committed.
    pub(crate) commits: Counter,
    /// Failed reads or commits; each was tried again.
    pub(crate) errors: Counter,
    /// Index files that were rebuilt.
    pub(crate) rebuilds: Counter,
    /// Days that were dropped from memory.
    pub(crate) evictions: Counter,
    /// Days in memory now.
    pub(crate) hot_days: Counter,
    /// Their memory in bytes.
    pub(crate) hot_bytes: Counter,
    /// Day files that are not read to the end yet.
    pub(crate) backlog_days: Counter,
    /// Days that were not in the index when they were found, and how many of them are by now.
    pub(crate) import_days: Counter,
    pub(crate) import_done: Counter,
    /// Index files that were removed to keep `INDEX_MAX_SIZE`.
    pub(crate) index_evictions: Counter,
    /// Days that were deleted as `RETENTION_DAYS` says.
    pub(crate) deleted_days: Counter,
    /// Files that were packed as `COMPRESS_AFTER_DAYS` says.
    pub(crate) packed_files: Counter,
}
