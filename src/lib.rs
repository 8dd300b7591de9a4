//! Cloud Cup, an HTTP gateway that is extended by WebAssembly filters.
//!
//! # Life of a request
//!
//! [`listener`] accepts a connection, in one of the [`worker`]s; [`protocol`] makes a [`message::Request`] of its bytes.
//! [`proxy`] does the rest: it takes the worker's [`View`](proxy::View) of the running [`Snapshot`](proxy::Snapshot),
//! normalises the head, finds the rule by [`route`], runs the rule's filters by [`plugin`], picks an endpoint of an
//! [`upstream`] and forwards. The filters see the response in reverse order, `protocol` makes bytes of it, and when the
//! last of them has left, [`observe`] is told. The request stays on its worker, and holds its view, to the end.
//!
//! # Life of a change
//!
//! [`reload`] notices that the document or a component has changed, or [`admin`] asks it to look. [`config`] makes a
//! [`Checked`](config::Checked) document of the text or says all that is wrong with it; [`snapshot`] builds the live
//! form beside the running one. What can fail has failed by then: `reload` publishes the snapshot to every worker, opens
//! new listeners, and drains those that are gone.
//!
//! [`app`] builds all of this in order and stops it in reverse; [`base`] knows none of it. ARCHITECTURE.md, in the root
//! of the repository, has the map, the invariants and the reasons.

pub mod action;
pub mod admin;
pub mod app;
pub mod base;
pub mod capability;
pub mod commands;
pub mod config;
pub mod demo;
pub mod listener;
pub mod message;
pub mod observe;
pub mod plugin;
pub mod protocol;
pub mod proxy;
pub mod reload;
pub mod revision;
pub mod route;
pub mod snapshot;
pub mod upstream;
pub mod workbench;
pub mod worker;
