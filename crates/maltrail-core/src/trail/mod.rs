//! Trails: indicators of what is known to be bad, each with a label (`info`) and its origin
//! (`reference`).
//!
//! ```text
//! one line of a list ─ line ─► key text ─ key ─► normal form ─ build ─► rows ─ csv ─► trails.csv
//!                                                                       rows ─ set ─► TrailSet (lookups)
//! ```
//!
//! A key's *text* is the interchange form and what events show; lookups go by number or by hash and
//! never format anything. [`TrailSet`] is immutable; a new one replaces the old one whole.

pub mod build;
pub mod csv;
mod image;
pub mod key;
mod layout;
pub mod line;
mod nets;
mod origin;
mod pattern;
mod set;
pub mod whitelist;

pub use image::ImageError;
pub use key::{Key, KeyError};
pub use layout::TrailSetBuilder;
pub use origin::Origin;
pub use pattern::PatternHit;
pub use set::{SetReport, TrailSet};
pub use whitelist::Whitelist;

/// One row of a trail set, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trail<'a> {
    /// The key's text.
    pub key: &'a str,
    /// What it is, such as `lumma (malware)`.
    pub info: &'a str,
    /// Where it comes from: `(static)`, `(custom)` or the name of a feed.
    pub reference: &'a str,
}
