//! Where trails come from: the lists that ship with the product, an archive or folder in the layout
//! of the public static list, and the user's own files; and how they become `trails.csv`.
//!
//! ```text
//! embedded │ archive │ folder ─ collection ─► files ─ assemble ─► rows ─ update ─► trails.csv + data lists
//! ```
//!
//! Everything up to the rows is a pure function of the files' bytes; [`update`] alone touches the
//! file system, and it replaces files whole: a build that fails leaves the old set as it was.

pub mod assemble;
pub mod canary;
pub mod catalog;
pub mod clock;
pub mod collection;
pub mod diff;
pub mod embedded;
pub mod explain;
pub mod export;
pub mod fetch;
pub mod formats;
pub mod gather;
pub mod lint;
pub mod load;
mod place;
pub mod registry;
pub mod report;
pub mod store;
pub mod update;

pub use assemble::{AssembleOptions, Sources, assemble, assemble_listed};
pub use catalog::Catalog;
pub use clock::{Clock, Job};
pub use collection::{Collection, CollectionError};
pub use fetch::{Answer, Fetch, FetchError, Fresh, HttpFetch, Limits, Request};
pub use report::Report;
pub use store::{FeedRows, FeedStatus, Store};
pub use update::{Outcome, Phase, Update, UpdateError};
