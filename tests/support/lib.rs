//! What the tests of the whole product are made of: packets and captures, the two programs as child
//! processes, an HTTP client, a browser.
//!
//! Nothing here knows how the programs work inside: they are started as a user starts them and
//! judged by what they write and answer.

pub mod events;
pub mod house;
pub mod http;
pub mod mix;
pub mod network;
pub mod packet;
pub mod payload;
pub mod pcap;
pub mod programs;
pub mod report;
pub mod sample;
pub mod static_files;
pub mod webdriver;
