//! What questions over several steps share: places for exports, days that are put together, trails of earlier days.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::novelty::Novelty;
use super::span::Ranges;

/// The shared parts.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Exports at the same time.
    pub(crate) exports: Arc<Semaphore>,
    pub(crate) ranges: Ranges,
    pub(crate) novelty: Novelty,
    /// One range is made at a time; the others wait without a thread.
    pub(crate) turn: Semaphore,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            exports: Arc::new(Semaphore::new(crate::export::EXPORTS)),
            ranges: Ranges::default(),
            novelty: Novelty::default(),
            turn: Semaphore::new(1),
        }
    }
}
