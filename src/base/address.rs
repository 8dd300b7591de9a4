//! Where somebody listens: `host:port`, where the host may be a name, `unix:/path`, or `srv:name`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// What the path of a socket is written behind.
pub const UNIX: &str = "unix:";
/// What the name of a service is written behind.
pub const SERVICE: &str = "srv:";
/// What the name of a socket is written behind that was opened by whoever started the gateway.
pub const INHERITED: &str = "systemd:";

/// Where a backend listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// On the network.
    Tcp(HostPort),
    /// On a socket of this machine.
    Unix(PathBuf),
    /// Where the records of a service say (SRV, RFC 2782).
    Service(String),
}

impl Address {
    /// The name that DNS is asked for, where it is. `localhost` is nobody's to say but this machine's (RFC 6761, section
    /// 6.3).
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Tcp(HostPort { host: Host::Name(name), .. }) if name != "localhost" => Some(name),
            Self::Service(name) => Some(name),
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }
}

impl FromStr for Address {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        if let Some(name) = text.strip_prefix(SERVICE) {
            return match parse_host(name) {
                Some(Host::Name(name)) => Ok(Self::Service(name)),
                Some(Host::Ip(_)) | None => Err(HostPortError::BadHost),
            };
        }
        match text.strip_prefix(UNIX) {
            Some(path) if path.starts_with('/') && !path.contains('\0') => Ok(Self::Unix(path.into())),
            Some(_) => Err(HostPortError::BadPath),
            None => text.parse().map(Self::Tcp),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "{UNIX}{}", path.display()),
            Self::Service(name) => write!(formatter, "{SERVICE}{name}"),
        }
    }
}

/// Where the gateway itself listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// On the network.
    Tcp(SocketAddr),
    /// On a socket of this machine.
    Unix(PathBuf),
    /// On a socket of this name, which whoever started the gateway has opened (`sd_listen_fds(3)`).
    Inherited(String),
}

impl ListenAddress {
    /// The address on the network.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) | Self::Inherited(_) => None,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix(path) => write!(formatter, "{UNIX}{}", path.display()),
            Self::Inherited(name) => write!(formatter, "{INHERITED}{name}"),
        }
    }
}

/// A port of a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// An IP address or a name.
    pub host: Host,
    /// Never 0.
    pub port: u16,
}

/// The left part of [`HostPort`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address that needs no lookup.
    Ip(IpAddr),
    /// A name.
    Name(String),
}

/// Why a text is no [`HostPort`], or no [`Address`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HostPortError {
    /// There is no `:port`.
    #[error("has no port")]
    NoPort,
    /// The port is not a number from 1 to 65535.
    #[error("has a bad port")]
    BadPort,
    /// The host is neither an IP address nor a name.
    #[error("has a bad host")]
    BadHost,
    /// The path of a socket is not absolute.
    #[error("has a bad path")]
    BadPath,
}

impl HostPort {
    /// The socket address, where no lookup is needed for it.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError::NoPort)?;
        if host.starts_with('[') != host.ends_with(']') {
            return Err(HostPortError::NoPort);
        }
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port: u16 = port.parse().map_err(|_| HostPortError::BadPort)?;
        if !digits || port == 0 {
            return Err(HostPortError::BadPort);
        }
        let host = parse_host(host).ok_or(HostPortError::BadHost)?;
        Ok(Self { host, port })
    }
}

fn parse_host(text: &str) -> Option<Host> {
    if let Some(address) = text.strip_prefix('[') {
        return Some(Host::Ip(IpAddr::V6(address.strip_suffix(']')?.parse().ok()?)));
    }
    if let Ok(address) = text.parse() {
        return Some(Host::Ip(IpAddr::V4(address)));
    }
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let plain = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        !bytes.is_empty() && bytes.len() <= 63 && plain
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    // A name whose last label is a number is a mistyped IPv4 address (RFC 1123, section 2.1).
    let is_numeric =
        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (name.len() <= 253 && name.split('.').all(is_label) && !is_numeric).then(|| Host::Name(text.to_owned()))
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(formatter),
            Host::Name(name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, HostPortError>) {
        let parsed = text.parse::<HostPort>().map(|address| address.to_string());
        assert_eq!(parsed.as_deref(), expected.as_ref().map(|text| *text), "{text}");
    }

    #[test]
    fn parses_addresses_and_names() {
        check("127.0.0.1:80", Ok("127.0.0.1:80"));
        check("[::1]:80", Ok("[::1]:80"));
        check("api.internal:8080", Ok("api.internal:8080"));
        check("localhost:1", Ok("localhost:1"));
        check("localhost", Err(HostPortError::NoPort));
        check("[::1]", Err(HostPortError::NoPort));
        check("localhost:", Err(HostPortError::BadPort));
        check("localhost:0", Err(HostPortError::BadPort));
        check("localhost:+1", Err(HostPortError::BadPort));
        check("localhost:70000", Err(HostPortError::BadPort));
        check("256.0.0.1:80", Err(HostPortError::BadHost));
        check("a b:80", Err(HostPortError::BadHost));
        check(":80", Err(HostPortError::BadHost));
        check("http://a:80", Err(HostPortError::BadHost));
    }

    #[test]
    fn parses_sockets() {
        let socket = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(socket("unix:/run/a.sock").as_deref(), Ok("unix:/run/a.sock"));
        assert_eq!(socket("[::1]:80").as_deref(), Ok("[::1]:80"));
        assert_eq!(socket("srv:_http._tcp.a.internal").as_deref(), Ok("srv:_http._tcp.a.internal"));
        for refused in ["srv:", "srv:10.0.0.1", "srv:a b"] {
            assert_eq!(socket(refused), Err(HostPortError::BadHost), "{refused}");
        }
        for refused in ["unix:", "unix:a.sock", "unix:/a\0b"] {
            assert_eq!(socket(refused), Err(HostPortError::BadPath), "{refused}");
        }
    }
}
