//! What the engine remembers. Each file states its bound and what it does when full.

pub(crate) mod clean_agents;
pub(crate) mod clean_names;
pub(crate) mod clock;
pub(crate) mod folds;
pub(crate) mod lru;
pub(crate) mod reported;
pub(crate) mod window;
