//! The search language, and what is asked of a day: one page, totals, facets, histogram.
//!
//! ```text
//! text ─ parse ─► ast ─ resolve (days, person) ─ compile (per table) ─► filter ─ one pass ─► page, totals, facets, histogram
//! ```

pub(crate) mod answers;
pub(crate) mod ast;
pub(crate) mod cursor;
pub(crate) mod filter;
pub(crate) mod novelty;
pub(crate) mod outline;
pub(crate) mod page;
pub(crate) mod parse;
mod period;
mod resolve;
pub(crate) mod row;
pub(crate) mod span;
