//! What is wrong with a document: a [`Problem`] knows where by JSON pointer, a [`Diagnostic`] by line and column too.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether a document with this can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is used; its author may have meant something else.
    Warning,
}

/// Something wrong with a document, before its place in the text is known. Every stage from the check to the loading of
/// plugins makes these; [`locate`](fn@super::locate) turns them into [`Diagnostic`]s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(super) severity: Severity,
    pub(super) pointer: String,
    pub(super) part: Part,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// What of the value at a pointer is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Value,
    /// The name that the value has in the object around it.
    Name,
    /// The name of a field of the object.
    FieldName(String),
    /// The second field of this name in the object.
    RepeatedFieldName(String),
}

impl Problem {
    /// An error in the value at a JSON pointer. The message begins in lower case, has no full stop and shows no secret.
    pub fn error(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, pointer.into(), message.into())
    }

    /// A warning about the value at a JSON pointer. The message is written like that of an error.
    pub fn warning(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, pointer.into(), message.into())
    }

    /// With a sentence that says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, where there may be nothing to say.
    pub(super) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    pub(super) fn part(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    fn new(severity: Severity, pointer: String, message: String) -> Self {
        Self { severity, pointer, part: Part::Value, message, hint: None }
    }
}

/// A [`Problem`] and its place in the text.
///
/// Displays as one line, and a second one for the hint:
///
/// ```text
/// error at /routes/~1game~1*/backends/0, line 12, column 7: unknown field `hots`
///   hint: did you mean `host`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Whether the document is refused for it.
    pub severity: Severity,
    /// The JSON pointer (RFC 6901) of the value, empty for the whole document. A field that does not belong or that is
    /// repeated is shown at the object that has it.
    pub pointer: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What was expected and what was found; lower case, without a full stop, without secrets.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let separator = if self.pointer.is_empty() { "" } else { ", " };
        let Self { pointer, line, column, message, .. } = self;
        write!(f, "{severity} at {pointer}{separator}line {line}, column {column}: {message}")?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}
