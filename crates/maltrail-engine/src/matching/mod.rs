//! Observations against the trail set: what is listed.
//!
//! Every function here is pure. A lookup goes by number or borrowed text; text is made only once
//! something was found.

pub(crate) mod domain;
pub(crate) mod ip;
