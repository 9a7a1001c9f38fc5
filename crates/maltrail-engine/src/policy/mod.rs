//! Whether a finding becomes an event. Detectors know nothing of it.

pub(crate) mod ignore;
pub(crate) mod whitelist;
