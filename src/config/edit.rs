//! Edits of a document at a place that a JSON pointer (RFC 6901) names, in the manner of Caddy's config API.
//!
//! They know nothing of what a document means: whoever edits checks the result. An edit that fails has changed nothing,
//! and one that succeeds leaves the order of all other fields as it was.

use serde_json::{Map, Value};
use thiserror::Error;

use super::path::{join, tokens};
use super::wording::{nearest, quote};

#[cfg(test)]
mod tests;

/// Parts of the longest pointer: a value that is nested deeper could not be read again from its text.
const MOST_TOKENS: usize = 127;

/// Why an edit is not possible. Its pointers are those of the RFC, its messages show no value of the document.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EditError {
    /// There is no such member or item.
    #[error(
        "nothing is at {}: the document goes as far as {}{}",
        quote(pointer),
        place(exists),
        hint(suggestion.as_deref())
    )]
    NotFound {
        /// What was asked for.
        pointer: String,
        /// The longest prefix of it that exists, empty for the whole document.
        exists: String,
        /// A member of what exists with a similar name, as a pointer.
        suggestion: Option<String>,
    },
    /// The pointer goes on behind a value that is neither an object nor an array.
    #[error("{} is {found}, and nothing can be inside of it: name it as a whole", place(pointer))]
    NotAContainer {
        /// Where this value is.
        pointer: String,
        /// What it is: `a string`.
        found: &'static str,
    },
    /// The text is no JSON pointer, or too long for a document.
    #[error("{} is no JSON pointer for a document: {problem}", quote(pointer))]
    BadPointer {
        /// The text.
        pointer: String,
        /// What is wrong with it and how it is written.
        problem: &'static str,
    },
    /// An item of an array is not named by its index, or one is to be put behind a gap.
    #[error(
        "{} is no index for the array at {}: its length is {length}, items count from 0, and putting to `-` appends one",
        quote(index),
        place(pointer)
    )]
    BadIndex {
        /// Where the array is.
        pointer: String,
        /// What stands for the index in the pointer.
        index: String,
        /// How many items the array has.
        length: usize,
    },
    /// The whole document was to be deleted.
    #[error("the whole document cannot be deleted: put another in its place")]
    WholeDocument,
}

/// What is at the place.
pub fn get<'d>(document: &'d Value, pointer: &str) -> Result<&'d Value, EditError> {
    check(pointer)?;
    let mut value = document;
    for (depth, token) in tokens(pointer).enumerate() {
        let step = Step { pointer, depth };
        value = match value {
            Value::Object(fields) => fields.get(&token).ok_or_else(|| step.no_member(fields, &token))?,
            Value::Array(items) => {
                items.get(step.index(&token, items)?).ok_or_else(|| step.not_found(None))?
            }
            scalar => return Err(step.not_a_container(scalar)),
        };
    }
    Ok(value)
}

/// Puts a value at the place, over what is there.
///
/// Where members on the way or the last one are missing, objects and the member are made. An index into an array is
/// that of an item, or the array's length or `-`, which append one.
pub fn put(document: &mut Value, pointer: &str, value: Value) -> Result<(), EditError> {
    *make(document, pointer)? = value;
    Ok(())
}

/// Changes what is at the place by a JSON Merge Patch (RFC 7396). What is not there is made as [`put`] does and counts
/// as null. A patch that is no object replaces the value; so does null, which removes only members.
pub fn patch(document: &mut Value, pointer: &str, patch: &Value) -> Result<(), EditError> {
    merge(make(document, pointer)?, patch);
    Ok(())
}

/// Removes the member or the item from the object or the array around it, and returns it.
pub fn delete(document: &mut Value, pointer: &str) -> Result<Value, EditError> {
    get(document, pointer)?;
    let (around, _) = pointer.rsplit_once('/').ok_or(EditError::WholeDocument)?;
    let depth = tokens(around).count();
    let step = Step { pointer, depth };
    let token = tokens(pointer).last().unwrap_or_default();
    let removed = match make(document, around)? {
        Value::Object(fields) => fields.shift_remove(&token),
        Value::Array(items) => Some(items.remove(step.index(&token, items)?)),
        scalar => return Err(step.not_a_container(scalar)),
    };
    removed.ok_or_else(|| step.not_found(None))
}

/// The value at the place, where need be a new empty object.
fn make<'d>(document: &'d mut Value, pointer: &str) -> Result<&'d mut Value, EditError> {
    check(pointer)?;
    let mut value = document;
    // What is made here is an object, in which every token names a member: after the first change nothing fails.
    for (depth, token) in tokens(pointer).enumerate() {
        let step = Step { pointer, depth };
        value = match value {
            Value::Object(fields) => fields.entry(token).or_insert_with(empty),
            Value::Array(items) => {
                let index = step.index(&token, items)?;
                if index > items.len() {
                    return Err(step.bad_index(token, items));
                }
                if index == items.len() {
                    items.push(empty());
                }
                &mut items[index]
            }
            scalar => return Err(step.not_a_container(scalar)),
        };
    }
    Ok(value)
}

fn empty() -> Value {
    Value::Object(Map::new())
}

/// `MergePatch` of RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = empty();
    }
    let Value::Object(fields) = target else { return };
    fields.retain(|name, _| !patch.get(name).is_some_and(Value::is_null));
    for (name, value) in patch.iter().filter(|(_, value)| !value.is_null()) {
        merge(fields.entry(name.as_str()).or_insert(Value::Null), value);
    }
}

fn check(pointer: &str) -> Result<(), EditError> {
    let problem = if !pointer.is_empty() && !pointer.starts_with('/') {
        "it begins with `/`, or is empty for the whole document"
    } else if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        "`~` in a name is written `~0`, and `/` in a name `~1`"
    } else if pointer.matches('/').nth(MOST_TOKENS).is_some() {
        "it has at most 127 parts"
    } else {
        return Ok(());
    };
    Err(EditError::BadPointer { pointer: pointer.to_owned(), problem })
}

/// A step into a value, by the token of the pointer that has so many before it.
#[derive(Clone, Copy)]
struct Step<'p> {
    pointer: &'p str,
    depth: usize,
}

impl Step<'_> {
    /// The index that the token stands for, which may be that of no item; `-` is the one behind the last.
    fn index(self, token: &str, items: &[Value]) -> Result<usize, EditError> {
        let is_number = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
        match token {
            "-" => Ok(items.len()),
            _ if !is_number || (token.starts_with('0') && token != "0") => {
                Err(self.bad_index(token.to_owned(), items))
            }
            // Only a number that is larger than any index is not read.
            _ => Ok(token.parse().unwrap_or(usize::MAX)),
        }
    }

    /// The pointer of the value that the step begins at.
    fn from(self) -> String {
        let end = self.pointer.match_indices('/').nth(self.depth).map(|(end, _)| end);
        self.pointer[..end.unwrap_or(self.pointer.len())].to_owned()
    }

    fn no_member(self, fields: &Map<String, Value>, token: &str) -> EditError {
        let similar = nearest(token, fields.keys().map(String::as_str));
        self.not_found(similar.map(|name| join(&self.from(), name)))
    }

    fn not_found(self, suggestion: Option<String>) -> EditError {
        EditError::NotFound { pointer: self.pointer.to_owned(), exists: self.from(), suggestion }
    }

    fn not_a_container(self, value: &Value) -> EditError {
        EditError::NotAContainer { pointer: self.from(), found: kind(value) }
    }

    fn bad_index(self, index: String, items: &[Value]) -> EditError {
        EditError::BadIndex { pointer: self.from(), index, length: items.len() }
    }
}

/// The kind of a value, without what may be a secret.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn place(pointer: &str) -> String {
    if pointer.is_empty() { "the top level".to_owned() } else { quote(pointer) }
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|pointer| format!("; did you mean {}?", quote(pointer))).unwrap_or_default()
}
