//! The gateway from its boundary: in process on a free port, before scripted backends, asked by real clients.

#![allow(clippy::disallowed_methods, reason = "a test ends, and its tasks with it")]

mod check;
mod clients;
mod control;
mod http;
mod matrix;
mod observe;
mod plugins;
mod reload;
mod schema;
mod support;
mod tidy;
mod traffic;
mod workbench;
