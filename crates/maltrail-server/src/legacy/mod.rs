//! What only the old endpoints need: block lists and the search through whole days.

pub(crate) mod blocklist;
pub(crate) mod cleared;
pub(crate) mod hunt;
pub(crate) mod reference;
pub(crate) mod ripe;
pub(crate) mod rules;
