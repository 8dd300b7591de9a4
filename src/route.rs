//! Routing: which pattern of the document a request matches. Pure: no I/O, no await, nothing of the document but its
//! patterns.
//!
//! In the order of a request: [`path::normalise`] gives the path its one spelling, or refuses it; [`Table::find`]
//! takes the most specific [`Pattern`] that matches.
//!
//! # Precedence
//!
//! A pattern matches a request when its host, its path and its methods do. Of those that match, the most specific gets
//! the request, decided by the first of these that tells them apart:
//!
//! 1. the host: exact, then the longest `*.` suffix, then none;
//! 2. the path, segment by segment from the left: literal, then parameter, then `/*`;
//! 3. the method: with methods, then without.
//!
//! So the longest `/*` wins, a pattern that ends where the path ends wins over one that goes on with `/*`, and `*`,
//! which is `/*` without host and methods, comes last. The order in the document does not count. A more specific
//! pattern whose methods do not match leaves the request to a less specific one; when only methods are in the way, the
//! answer is 405 and not 404. Patterns that nothing tells apart conflict, and a document that has them is refused; see
//! [`Pattern::conflict_keys`].

pub mod path;

mod condition;
mod host;
mod pattern;
mod regex;
mod table;
mod trie;
mod value;

pub use condition::{Condition, Subject, cookies};
pub use host::{HostError, HostPattern};
pub use path::PathError;
pub use pattern::{ConflictKey, Pattern, PatternError, Segment};
pub use regex::{Regex, RegexError};
pub use table::{Lookup, Table};
pub use value::ValueMatch;
