//! Takes the secrets out of documents and differences before they are shown.
//!
//! A secret is known by its place: `secrets`, the `token` of `admin`, the `secret` of a key set, an
//! `affinity` or a `sticky`, the private parts of a `jwks`, fields of `headers` that are named like secrets, members of
//! a plugin's `config` that are named like secrets, and private keys in PEM wherever they stand. References to
//! secrets that stand outside of the document, `$env:NAME` and `$file:PATH`, are shown.

use serde_json::Value;

use super::super::path::tokens;
use super::{Change, Difference, Differences};

/// What stands in the place of a secret.
pub(super) const REDACTED: &str = "***";

/// A member of a plugin's `config` or of `headers` with one of these in its name, in either case, holds secrets: its text, or all texts
/// inside of it. `users` has the hashes of passwords.
const SECRET_WORDS: [&str; 11] = [
    "secret",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "key",
    "credential",
    "authorization",
    "users",
    "hash",
];

/// Members of a plugin's `config` that hold none all the same: names of the document's `key_sets`.
const PUBLIC_NAMES: [&str; 1] = ["key_sets"];

/// A member of a plugin's `config` that as a list says what a key is made of (`rate-limit`), and as a text may be one.
const NAME_OF_PARTS: &str = "key";

/// The private members of a JSON Web Key (RFC 7518, section 6), of a symmetric one all of it.
const PRIVATE_PARTS: [&str; 8] = ["k", "d", "p", "q", "dp", "dq", "qi", "oth"];

/// In every private key in PEM.
const PRIVATE_PEM: &str = "PRIVATE KEY-----";

/// Puts `***` in the place of every secret that is written into a document.
///
/// Two documents that differ in a secret alone are the same afterwards: compare first, then redact the differences.
pub fn redact(document: &mut Value) {
    Zone::Document.redact(document);
}

impl Differences {
    /// The same without the secrets. A secret that has changed is still a difference, from `***` to the same.
    pub fn redacted(mut self) -> Self {
        self.differences = self.differences.into_iter().map(Difference::redacted).collect();
        self
    }
}

impl Difference {
    /// The same without the secrets, which are known by its pointer.
    pub fn redacted(mut self) -> Self {
        let zone = tokens(&self.pointer).fold(Zone::Document, |zone, token| zone.member(&token));
        match &mut self.change {
            Change::Added { new: value } | Change::Removed { old: value } => zone.redact(value),
            Change::Changed { old, new } => [old, new].into_iter().for_each(|value| zone.redact(value)),
        }
        self
    }
}

/// What a value is for, as far as secrets go.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Zone {
    /// The whole document.
    Document,
    /// Any other value outside of a plugin's `config`.
    Open,
    /// The `config` of a plugin or of an attachment, which nothing else has, or a value inside.
    Config,
    /// Its member `key`.
    Parts,
    /// Its member that is named like a secret: the texts in it are.
    SecretTexts,
    /// `admin`.
    Admin,
    /// `key_sets`.
    KeySets,
    /// One of them.
    KeySet,
    /// The `affinity` of an upstream, or the `sticky` of a rule.
    Affinity,
    /// `headers` outside of a plugin's `config`, or a value inside.
    Headers,
    /// A JSON Web Key Set, or a value inside.
    WebKeys,
    /// All in it is secret.
    Secrets,
}

impl Zone {
    /// That of a member of an object, or of an item where only its pointer is known.
    fn member(self, name: &str) -> Self {
        match (self, name) {
            (Self::Document, "key_sets") => Self::KeySets,
            (Self::Document, "admin") => Self::Admin,
            (Self::Document, "secrets") | (Self::Admin, "token") => Self::Secrets,
            (Self::KeySet | Self::Affinity, "secret") => Self::Secrets,
            (Self::Open, "config") => Self::Config,
            (Self::Open, "affinity" | "sticky") => Self::Affinity,
            (Self::Open, "headers") => Self::Headers,
            (Self::Headers, name) if is_named_like_a_secret(name) => Self::SecretTexts,
            (Self::Config, NAME_OF_PARTS) => Self::Parts,
            (Self::Config, name) if is_named_like_a_secret(name) => Self::SecretTexts,
            (Self::KeySet, "jwks") => Self::WebKeys,
            (Self::WebKeys, name) if PRIVATE_PARTS.contains(&name) => Self::Secrets,
            (Self::Document | Self::Admin | Self::Open | Self::KeySet | Self::Affinity, _) => Self::Open,
            (Self::KeySets, _) => Self::KeySet,
            (Self::Parts, _) => Self::SecretTexts,
            (Self::Config | Self::Headers | Self::SecretTexts | Self::WebKeys | Self::Secrets, _) => self,
        }
    }

    /// That of an item of an array.
    fn item(self) -> Self {
        match self {
            Self::Parts => Self::Config,
            zone => zone.member(""),
        }
    }

    fn redact(self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.iter_mut().for_each(|(name, value)| self.member(name).redact(value));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.item().redact(item)),
            scalar if self.is_secret(scalar) => *scalar = REDACTED.into(),
            _ => {}
        }
    }

    fn is_secret(self, scalar: &Value) -> bool {
        match scalar {
            Value::String(text) if is_reference(text) => false,
            Value::String(text) => {
                matches!(self, Self::Parts | Self::SecretTexts | Self::Secrets) || text.contains(PRIVATE_PEM)
            }
            Value::Null => false,
            _ => self == Self::Secrets,
        }
    }
}

fn is_reference(text: &str) -> bool {
    text.starts_with("$env:") || text.starts_with("$file:")
}

fn is_named_like_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word)) && !PUBLIC_NAMES.contains(&name.as_str())
}
