//! What the engine remembers. Each file states its bound and what it does when full.

pub(crate) mod clean_agents;
pub(crate) mod clean_names;
pub(crate) mod clock;
pub(crate) mod distinct;
pub(crate) mod folds;
pub(crate) mod heavy;
pub(crate) mod lru;
pub(crate) mod marks;
pub(crate) mod rates;
pub(crate) mod reported;
pub(crate) mod window;
