//! Which responses are compressed: a rule says what is different from what `http` says.

use std::ops::RangeInclusive;

use http::HeaderName;

use super::amounts;
use super::written::{self, Document, Level};
use crate::base::units::ByteSize;
use crate::config::checked::{Coding, Compress, Levels};
use crate::config::path::Path;
use crate::config::report::Report;

const MINIMUM_SIZE: RangeInclusive<ByteSize> = ByteSize::bytes(0)..=ByteSize::mib(1024);

/// What text is made of, and formats without a compression of their own: nginx's and Caddy's lists agree on most of it.
const TYPES: [&str; 18] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/x-ndjson",
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/*+xml",
    "application/wasm",
    "application/yaml",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/svg+xml",
    "image/bmp",
    "image/x-icon",
    "image/vnd.microsoft.icon",
    "model/gltf+json",
];

/// What rules begin with.
pub(super) struct Everywhere {
    settings: Compress,
    is_enabled: bool,
}

impl Everywhere {
    pub(super) fn check(document: &Document, report: &mut Report) -> Self {
        let default = Compress {
            codings: vec![Coding::Zstd, Coding::Br, Coding::Gzip],
            types: TYPES.map(str::to_owned).to_vec(),
            minimum_size: ByteSize::kib(1),
            levels: levels(Level::Default),
        };
        match document.http.as_ref().and_then(|http| http.compress.as_ref()) {
            None => Self { settings: default, is_enabled: false },
            Some(written) => {
                let at = Path::ROOT.field("http");
                let settings = changed(&default, &at.field("compress"), written, report);
                Self { settings, is_enabled: written.enabled.unwrap_or(true) }
            }
        }
    }

    /// What holds for a rule; `at` is that of its own settings.
    pub(super) fn of_rule(
        &self,
        at: &Path<'_>,
        written: Option<&written::Compress>,
        report: &mut Report,
    ) -> Option<Compress> {
        match written {
            None => self.is_enabled.then(|| self.settings.clone()),
            Some(written) => {
                let settings = changed(&self.settings, at, written, report);
                written.enabled.unwrap_or(true).then_some(settings)
            }
        }
    }
}

fn changed(from: &Compress, at: &Path<'_>, written: &written::Compress, report: &mut Report) -> Compress {
    let codings = written.codings.as_ref().map(|codings| codings.iter().flatten().copied().collect());
    let types = written.types.as_ref().map(|written| types(&at.field("types"), written, report));
    let minimum_size =
        amounts::size(&at.field("minimum_size"), written.minimum_size.as_ref(), MINIMUM_SIZE, report);
    let begun = written.level.map_or(from.levels, levels);
    let one = |level: fn(&written::Levels) -> Option<u32>| written.levels.as_ref().and_then(level);
    Compress {
        codings: codings.unwrap_or_else(|| from.codings.clone()),
        types: types.unwrap_or_else(|| from.types.clone()),
        minimum_size: minimum_size.unwrap_or(from.minimum_size),
        levels: Levels {
            br: one(|levels| levels.br).unwrap_or(begun.br),
            zstd: one(|levels| levels.zstd).unwrap_or(begun.zstd),
            gzip: one(|levels| levels.gzip).unwrap_or(begun.gzip),
        },
    }
}

fn types(at: &Path<'_>, written: &[Option<String>], report: &mut Report) -> Vec<String> {
    let mut types = Vec::new();
    for (index, text) in written.iter().enumerate() {
        let Some(text) = text else { continue };
        if is_type(text) {
            types.push(text.to_ascii_lowercase());
        } else {
            let expected = "expected a media type such as `text/html`, `text/*` or `application/*+json`";
            report.unexpected(at.item(index), expected, text);
        }
    }
    types
}

/// Two tokens, as names of fields are, of which the second may have one `*`.
fn is_type(text: &str) -> bool {
    let is_token = |text: &str| HeaderName::from_bytes(text.as_bytes()).is_ok();
    let Some((kind, subtype)) = text.split_once('/') else { return false };
    is_token(kind) && !kind.contains('*') && is_token(subtype) && subtype.matches('*').count() <= 1
}

fn levels(level: Level) -> Levels {
    match level {
        Level::Fast => Levels { br: 1, zstd: 1, gzip: 1 },
        Level::Default => Levels { br: 4, zstd: 3, gzip: 6 },
        Level::Best => Levels { br: 6, zstd: 7, gzip: 9 },
    }
}
