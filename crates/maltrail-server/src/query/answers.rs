//! What questions over several steps share: places for exports.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// The shared parts.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Exports at the same time.
    pub(crate) exports: Arc<Semaphore>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            exports: Arc::new(Semaphore::new(crate::export::EXPORTS)),
        }
    }
}
