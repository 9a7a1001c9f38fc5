//! The server: takes events from any number of sensors, keeps them, and answers questions about them.
//!
//! `intake` appends datagrams to day files, `store` indexes day files and keeps days in memory,
//! `query` is the search language and its answers, `legacy` holds what only the old endpoints need,
//! `alerts` tells a webhook, `desk` is what people say about threats, `audit` who changed what, `distribution` hands the trail set on, `auth` says who may see what, `http` and `api` are
//! the web service, `app` puts them together.

mod alerts;
mod api;
pub mod app;
mod args;
mod assets;
mod audit;
mod auth;
pub mod cli;
mod commands;
mod desk;
mod distribution;
mod export;
mod fleet;
mod http;
mod intake;
mod legacy;
mod logo;
pub mod openapi;
mod query;
mod services;
mod state;
mod store;
mod tls;

pub use app::{App, AppOptions, Running};
