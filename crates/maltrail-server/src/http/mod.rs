//! HTTP: the route table, what every request passes through, the one error type.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod error;
pub(crate) mod listener;
#[cfg(test)]
mod matrix;
pub(crate) mod middleware;
pub(crate) mod params;
pub(crate) mod redirect;
pub(crate) mod router;
pub(crate) mod tls;
pub(crate) mod wire;
