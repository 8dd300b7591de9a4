//! The component that a command is about: a file, or one that is part of the binary.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Trouble, unreadable};
use crate::base::files::read_bounded;
use crate::plugin::shipped::{self, Shipped};
use crate::plugin::{LoadError, Permission};

/// Bytes of a .wasm file, as in a document.
const LARGEST_COMPONENT: u64 = 64 << 20;
const LONGEST_NAME: usize = 64;

/// See the module.
pub(super) struct Source {
    /// What the plugin is called.
    pub name: String,
    pub bytes: Cow<'static, [u8]>,
    /// None where it is shipped.
    pub path: Option<PathBuf>,
    shipped: Option<&'static Shipped>,
}

impl Source {
    /// Finds it. A shipped plugin goes by its bare name, so that a file of that name is written `./NAME`.
    pub fn find(file: &Path) -> Result<Self, Trouble> {
        if let Some(shipped) = file.to_str().and_then(shipped::find) {
            let (name, bytes) = (shipped.name.to_owned(), Cow::Borrowed(shipped.component));
            return Ok(Self { name, bytes, path: None, shipped: Some(shipped) });
        }
        let unreadable = |error| match unreadable("component", file, &error) {
            Trouble::Unusable(message)
                if file.parent() == Some(Path::new("")) && file.extension().is_none() =>
            {
                let names = shipped::names().join("`, `");
                Trouble::Unusable(format!("{message}\n  hint: these plugins are shipped: `{names}`"))
            }
            trouble => trouble,
        };
        let bytes = read_bounded(file, LARGEST_COMPONENT).map_err(unreadable)?;
        let path = fs::canonicalize(file).map_err(unreadable)?;
        Ok(Self { name: name_of(file), bytes: Cow::Owned(bytes), path: Some(path), shipped: None })
    }

    /// Whether the plugin has a permission without a document's saying so.
    pub fn has_by_default(&self, permission: Permission) -> bool {
        self.shipped.is_some_and(|shipped| shipped.permissions.contains(&permission.name()))
    }

    /// What a gateway would say of it.
    pub fn refused(&self, error: &LoadError) -> Trouble {
        Trouble::Plugin { message: format!("plugin `{}` {error}", self.name), hint: error.hint() }
    }
}

/// A name for a document, made of the file's.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    let name: String = stem.chars().map(|c| if is_plain(c) { c } else { '_' }).take(LONGEST_NAME).collect();
    if name.is_empty() { "plugin".to_owned() } else { name }
}
