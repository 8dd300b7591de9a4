//! A range of IP addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The addresses that begin with the first `prefix` bits of `address`; every other bit of `address` is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

/// Why text is no [`IpNetwork`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpNetworkError {
    /// It is neither an address nor one with a prefix.
    #[error("expected an IP address or a network such as `10.0.0.0/8`")]
    NotNetwork,
    /// Most likely one address was meant, or another prefix.
    #[error("expected a network without bits behind its prefix")]
    HostBits(IpNetwork),
}

impl IpNetwork {
    /// The network of this size around an address; none when the prefix is longer than the address.
    pub fn around(address: IpAddr, prefix: u8) -> Option<Self> {
        let unused = width(address).checked_sub(prefix)?;
        let address = match address {
            IpAddr::V4(ip) => Ipv4Addr::from_bits(clear_low_bits(ip.to_bits().into(), unused) as u32).into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(clear_low_bits(ip.to_bits(), unused)).into(),
        };
        Some(Self { address, prefix })
    }

    /// Whether the address lies in the network. IPv4 inside IPv6 (`::ffff:10.0.0.1`) counts as IPv4, since a socket
    /// that listens for both reports its peers that way.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::around(address.to_canonical(), self.prefix)
            .is_some_and(|network| network.address == self.address)
    }
}

impl FromStr for IpNetwork {
    type Err = IpNetworkError;

    fn from_str(text: &str) -> Result<Self, IpNetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| IpNetworkError::NotNetwork)?;
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
            Some(_) => None,
            None => Some(width(address)),
        };
        let network =
            prefix.and_then(|prefix| Self::around(address, prefix)).ok_or(IpNetworkError::NotNetwork)?;
        if network.address == address { Ok(network) } else { Err(IpNetworkError::HostBits(network)) }
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn clear_low_bits(bits: u128, count: u8) -> u128 {
    let mask = u128::MAX.checked_shl(count.into()).unwrap_or(0);
    bits & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_networks() {
        let check = |text: &str, expected: Result<&str, IpNetworkError>| {
            let read = text.parse::<IpNetwork>().map(|network| network.to_string());
            assert_eq!(read, expected.map(str::to_owned), "{text}");
        };
        let host_bits = |network: &str| Err(IpNetworkError::HostBits(network.parse().unwrap()));
        check("10.0.0.0/8", Ok("10.0.0.0/8"));
        check("0.0.0.0/0", Ok("0.0.0.0/0"));
        check("::/0", Ok("::/0"));
        check("127.0.0.1", Ok("127.0.0.1/32"));
        check("2001:db8::/32", Ok("2001:db8::/32"));
        check("::1", Ok("::1/128"));
        check("10.0.0.1/8", host_bits("10.0.0.0/8"));
        for refused in
            ["", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "::/129", "10.0.0/8", "localhost", "10.0.0.0/8/8"]
        {
            check(refused, Err(IpNetworkError::NotNetwork));
        }
    }

    #[test]
    fn contains_its_addresses() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: IpNetwork = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), expected, "{network} {address}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/8", "::ffff:10.0.0.1", true);
        check("10.0.0.0/8", "::1", false);
        check("0.0.0.0/0", "1.2.3.4", true);
        check("0.0.0.0/0", "::1", false);
        check("::/0", "::1", true);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("2001:db8::/32", "2001:db8:1::1", true);
    }
}
