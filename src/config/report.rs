//! What the stages of a check have found so far, and what later stages must know of it so that one mistake is reported
//! once.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;

use serde_json::Value;

use super::diagnostic::{Diagnostic, Problem, Severity};
use super::locate::locate;
use super::path::Path;
use super::wording;

/// More of them help nobody.
const MOST_SHOWN: usize = 100;

#[derive(Default)]
pub(super) struct Report {
    problems: Vec<Problem>,
    /// For values that came through a reference, by pointer: the reference.
    references: HashMap<String, String>,
    /// Pointers of values that were reported and set to null, or removed as they had a mistyped name.
    pruned: HashSet<String>,
    /// Pointers of objects with a field that was reported and removed, and nobody knows which was meant.
    misnamed: HashSet<String>,
}

impl Report {
    pub(super) fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// An error in the value at a place.
    pub(super) fn error(&mut self, at: impl Display, message: impl Into<String>) {
        self.add(Problem::error(at.to_string(), message));
    }

    /// An error in the text at a place: `expected ..., found ...`.
    pub(super) fn unexpected(&mut self, at: impl Display, expected: impl Display, found: &str) {
        self.unexpected_with(at, expected, found, None);
    }

    /// The same with a hint, which may tell of the text what only its author may know.
    pub(super) fn unexpected_with(
        &mut self,
        at: impl Display,
        expected: impl Display,
        found: &str,
        hint: Option<String>,
    ) {
        let pointer = at.to_string();
        let message = format!("{expected}, found {}", self.quote(&pointer, found));
        let hint = hint.filter(|_| !self.references.contains_key(&pointer));
        self.add(Problem::error(pointer, message).maybe_hint(hint));
    }

    /// An error in the text at a place, which names none of the things of its kind.
    pub(super) fn unknown<'c>(
        &mut self,
        at: impl Display,
        kind: &str,
        name: &str,
        known: impl Iterator<Item = &'c str>,
    ) {
        let pointer = at.to_string();
        let message = format!("unknown {kind} {}", self.quote(&pointer, name));
        // The search takes long where there are many names, and behind the last error shown it is of no use.
        let is_explained = !self.references.contains_key(&pointer) && self.problems.len() < MOST_SHOWN;
        let hint = is_explained.then(|| wording::did_you_mean(name, known)).flatten();
        self.add(Problem::error(pointer, message).maybe_hint(hint));
    }

    /// The text at a place, as messages may show it: what came through a reference shows as the reference.
    pub(super) fn quote(&self, at: impl Display, text: &str) -> String {
        wording::quote(self.as_written(at, text))
    }

    /// The text at a place, or the reference that it came through.
    pub(super) fn as_written<'t>(&'t self, at: impl Display, text: &'t str) -> &'t str {
        self.references.get(&at.to_string()).map_or(text, String::as_str)
    }

    /// Whether the text at a place came through a reference.
    pub(super) fn is_reference(&self, at: impl Display) -> bool {
        self.references.contains_key(&at.to_string())
    }

    /// The value at a place, as messages may show it.
    pub(super) fn describe(&self, at: impl Display, value: &Value) -> String {
        match self.references.get(&at.to_string()) {
            Some(reference) => format!("the string {}", wording::quote(reference)),
            None => wording::describe(value),
        }
    }

    /// The text at a place came through this reference.
    pub(super) fn add_reference(&mut self, at: impl Display, reference: String) {
        self.references.insert(at.to_string(), reference);
    }

    /// The value at this pointer was reported and set to null, or removed as it has a mistyped name.
    pub(super) fn add_pruned(&mut self, pointer: String) {
        self.pruned.insert(pointer);
    }

    /// A field of the object at this pointer was reported and removed, and nobody knows which was meant.
    pub(super) fn add_misnamed(&mut self, pointer: String) {
        self.misnamed.insert(pointer);
    }

    pub(super) fn is_pruned(&self, pointer: &str) -> bool {
        self.pruned.contains(pointer)
    }

    /// Whether a field that is absent may stand in the document, so that its absence is no error of its own.
    pub(super) fn has_lost(&self, at: &Path<'_>, field: &str) -> bool {
        let object = at.pointer();
        let is_pruned = self.pruned.contains(&object) || self.pruned.contains(&at.field(field).pointer());
        is_pruned || self.misnamed.contains(&object)
    }

    /// The errors, or if there are none the warnings, in the order of the text.
    pub(super) fn finish(self, text: &str) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        let (errors, warnings): (Vec<_>, Vec<_>) = self.problems.into_iter().partition(is_error);
        if errors.is_empty() { Ok(show(text, warnings)) } else { Err(show(text, errors)) }
    }
}

fn show(text: &str, problems: Vec<Problem>) -> Vec<Diagnostic> {
    let mut shown = locate(text, problems);
    shown.dedup();
    let more = shown.len().saturating_sub(MOST_SHOWN);
    shown.truncate(MOST_SHOWN + 1);
    if let Some(last) = shown.get_mut(MOST_SHOWN) {
        last.message = format!("and {more} more");
        last.hint = None;
    }
    shown
}
