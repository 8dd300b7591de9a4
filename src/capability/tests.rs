//! What the tests of several capabilities need.

pub mod scripted;
