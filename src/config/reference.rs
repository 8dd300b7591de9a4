//! `$env:NAME` and `$file:PATH`: values that stand outside of the document.

use serde_json::Value;
use std::env::VarError;

use super::checked::Secrets;
use super::path::Path;
use super::report::Report;
use super::wording::quote;
use super::{Environment, file};

/// Puts in the place of every reference what it stands for. One that stands for nothing is reported and set to null.
pub(super) fn resolve(value: &mut Value, environment: &Environment<'_>, report: &mut Report) -> Secrets {
    let mut resolver = Resolver { environment, report, resolved: Vec::new() };
    resolver.visit(value, &Path::ROOT);
    Secrets::new(resolver.resolved)
}

struct Resolver<'a> {
    environment: &'a Environment<'a>,
    report: &'a mut Report,
    /// What references stand for, and the references.
    resolved: Vec<(String, String)>,
}

impl Resolver<'_> {
    fn visit(&mut self, value: &mut Value, path: &Path<'_>) {
        match value {
            Value::String(text) => {
                if let Some(resolved) = self.text(text, path) {
                    *value = resolved;
                }
            }
            Value::Array(items) => {
                items.iter_mut().enumerate().for_each(|(index, item)| self.visit(item, &path.item(index)));
            }
            Value::Object(fields) => {
                fields.iter_mut().for_each(|(name, field)| self.visit(field, &path.field(name)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// What the text stands for, unless it is only a text.
    fn text(&mut self, text: &str, path: &Path<'_>) -> Option<Value> {
        let resolved = match Text::of(text) {
            Text::Plain => return None,
            Text::Escaped(plain) => return Some(plain.into()),
            Text::Variable(name) => self.variable(name),
            Text::File(file) => self.file(file),
        };
        Some(match resolved {
            Ok(secret) => {
                self.report.add_reference(path, text.to_owned());
                self.resolved.push((secret.clone(), text.to_owned()));
                secret.into()
            }
            Err(message) => {
                self.report.error(path, message);
                self.report.add_pruned(path.pointer());
                Value::Null
            }
        })
    }

    fn variable(&self, name: &str) -> Result<String, String> {
        if name.is_empty() {
            return Err("expected the name of a variable behind `$env:`".to_owned());
        }
        (self.environment.variable)(name).map_err(|error| match error {
            VarError::NotPresent => format!("environment variable {} is not set", quote(name)),
            VarError::NotUnicode(_) => format!("environment variable {} is not UTF-8 text", quote(name)),
        })
    }

    fn file(&self, name: &str) -> Result<String, String> {
        let path = self.environment.directory.join(name);
        let mut content =
            file::read(&path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let line = content.strip_suffix('\n').unwrap_or(&content);
        content.truncate(line.strip_suffix('\r').unwrap_or(line).len());
        Ok(content)
    }
}

/// What a string of the document is.
#[derive(Debug, PartialEq)]
enum Text<'t> {
    Plain,
    /// `$$env:...` stands for the text `$env:...`, and so on for every further `$`.
    Escaped(&'t str),
    Variable(&'t str),
    File(&'t str),
}

impl<'t> Text<'t> {
    fn of(text: &'t str) -> Self {
        let Some(rest) = text.strip_prefix('$') else { return Self::Plain };
        if let Some(name) = rest.strip_prefix("env:") {
            return Self::Variable(name);
        }
        if let Some(file) = rest.strip_prefix("file:") {
            return Self::File(file);
        }
        let kind = rest.trim_start_matches('$');
        let is_escaped = rest.starts_with('$') && (kind.starts_with("env:") || kind.starts_with("file:"));
        if is_escaped { Self::Escaped(rest) } else { Self::Plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_references_from_texts() {
        let check = |text: &str, expected: Text<'_>| assert_eq!(Text::of(text), expected, "{text}");
        check("$env:TOKEN", Text::Variable("TOKEN"));
        check("$file:keys/a", Text::File("keys/a"));
        check("$$env:TOKEN", Text::Escaped("$env:TOKEN"));
        check("$$$file:a", Text::Escaped("$$file:a"));
        for plain in ["", "$", "$$", "env:TOKEN", "$TOKEN", "$$TOKEN", "x$env:TOKEN", "$ENV:TOKEN"] {
            check(plain, Text::Plain);
        }
    }
}
