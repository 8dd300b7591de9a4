//! Random numbers fit for cryptography. Permission: `random`.

pub use crate::bindings::cloudcup::filter::random::{bytes, number};
