//! What `$env:` and `$file:` stood for, so that texts that others write can be cleared of it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

/// The texts that references stood for, with the references.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    /// The longest secret first.
    entries: Vec<(String, String)>,
}

impl Secrets {
    /// Pairs of a secret and its reference.
    pub(in crate::config) fn new(mut entries: Vec<(String, String)>) -> Self {
        // Messages quote values, and quoting changes some characters.
        let quoted: Vec<_> = entries
            .iter()
            .flat_map(|(secret, reference)| {
                let json = serde_json::Value::from(secret.as_str()).to_string();
                let json = json[1..json.len() - 1].to_owned();
                [json, secret.escape_debug().to_string()].map(|quoted| (quoted, reference.clone()))
            })
            .collect();
        entries.extend(quoted);
        entries.retain(|(secret, _)| !secret.is_empty());
        entries.sort_by(|(one, _), (other, _)| (Reverse(one.len()), one).cmp(&(Reverse(other.len()), other)));
        entries.dedup_by(|(one, _), (other, _)| one == other);
        Self { entries }
    }

    /// Puts the references back into a text: a plugin's own words, for instance.
    pub fn redact(&self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let length = match self.entries.iter().find(|(secret, _)| rest.starts_with(secret.as_str())) {
                Some((secret, reference)) => {
                    redacted.push_str(reference);
                    secret.len()
                }
                None => {
                    redacted.push(character);
                    character.len_utf8()
                }
            };
            rest = &rest[length..];
        }
        redacted
    }
}

/// Shows the references alone.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|(_, reference)| reference)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_references_back() {
        let entry = |secret: &str, reference: &str| (secret.to_owned(), reference.to_owned());
        let entries =
            [entry("key", "$env:A"), entry("key-2", "$env:B"), entry("", "$env:C"), entry("$", "$env:D")];
        let secrets = Secrets::new(entries.to_vec());
        assert_eq!(secrets.redact("the keys key-2 und ä$"), "the $env:As $env:B und ä$env:D");
        assert_eq!(format!("{secrets:?}"), r#"["$env:B", "$env:A", "$env:D"]"#);
    }
}

/// A secret of which only the SHA-256 is kept: what an operator shows to be let in, or a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// Of its text.
    pub fn new(text: &str) -> Self {
        Self(Self::digest(text.as_bytes()))
    }

    /// Whether somebody shows this one. Takes as long for one that is nearly right.
    pub fn is(&self, shown: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &Self::digest(shown)).is_ok()
    }

    /// What is kept of it.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn digest(text: &[u8]) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text).as_ref());
        digest
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The secrets of the document, by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NamedSecrets(pub BTreeMap<String, String>);

impl fmt::Debug for NamedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
