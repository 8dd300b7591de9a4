//! Sockets that whoever started the gateway has opened for it (`sd_listen_fds(3)`): `LISTEN_FDS` says how many,
//! `LISTEN_FDNAMES` what they are called.

use std::collections::HashMap;
use std::io;

use listenfd::ListenFd;

use super::socket::Listening;

/// By name. One without a name has that of its place: `0`, `1` and so on.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: HashMap<String, Listening>,
    /// Whether a gateway that this one replaces still listens on the same addresses.
    pub takes_over: bool,
}

impl Inherited {
    /// Takes what the environment tells of. Those that are no listening sockets are left alone.
    pub fn take(takes_over: bool) -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<_> = names.split(':').collect();
        let mut sockets = ListenFd::from_env();
        let mut inherited = HashMap::new();
        for index in 0..sockets.len() {
            let named = names.get(index).filter(|name| !name.is_empty() && **name != "unknown");
            let name = named.map_or_else(|| index.to_string(), |name| (*name).to_owned());
            if let Ok(Some(socket)) = sockets.take_tcp_listener(index) {
                inherited.insert(name, Listening::Tcp(socket));
            } else if let Ok(Some(socket)) = sockets.take_unix_listener(index) {
                inherited.insert(name, Listening::Unix(socket));
            }
        }
        Self { sockets: inherited, takes_over }
    }

    /// The socket of that name, once more.
    pub(super) fn open(&self, name: &str) -> io::Result<Listening> {
        match self.sockets.get(name) {
            Some(socket) => socket.try_clone(),
            None => Err(io::Error::new(io::ErrorKind::NotFound, self.absence())),
        }
    }

    fn absence(&self) -> String {
        let mut names: Vec<_> = self.sockets.keys().map(|name| format!("`{name}`")).collect();
        names.sort();
        match names.is_empty() {
            true => "no sockets were passed to this process (LISTEN_FDS)".to_owned(),
            false => format!("the sockets that were passed to this process are {}", names.join(", ")),
        }
    }
}
