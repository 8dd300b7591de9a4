//! Components that are part of the binary, so that a route can name them with nothing installed.
//!
//! The list is made from plugins/dist/manifest.json when the gateway is built; nothing in the host knows them by name.

/// One of them.
#[derive(Debug)]
pub struct Shipped {
    /// What a route calls it.
    pub name: &'static str,
    /// What it is granted without the document's saying so.
    pub permissions: &'static [&'static str],
    /// The component.
    pub component: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The shipped component of that name.
pub fn find(name: &str) -> Option<&'static Shipped> {
    ALL.iter().find(|shipped| shipped.name == name)
}

/// All names.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|shipped| shipped.name).collect()
}
