//! What looks bad without being listed. One file a heuristic; each carries its name in
//! `DISABLED_HEURISTICS`.

use maltrail_core::config::DetectConfig;

pub(crate) mod generated;
pub(crate) mod long_domain;
pub(crate) mod parked;
pub(crate) mod sinkhole;

/// Reference text of what a heuristic found.
pub(crate) use maltrail_core::event::HEURISTIC as REFERENCE;

/// Which heuristics run, decided once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enabled {
    /// [`long_domain`].
    pub(crate) long_domain: bool,
}

impl Enabled {
    /// As configured: `USE_HEURISTICS` switches all of them.
    pub(crate) fn new(config: &DetectConfig) -> Self {
        Self {
            long_domain: config.runs(long_domain::NAME),
        }
    }
}
