//! Which addresses are on the public Internet: the registries of RFC 6890, and IPv4 hidden inside IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public Internet. What is not known to be one counts as private.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let private = match address.octets() {
        // "This network", private, shared (CGNAT), loopback, link-local with the clouds' metadata.
        [0 | 10 | 127, ..] | [100, 64..=127, ..] | [169, 254, ..] | [172, 16..=31, ..] | [192, 168, ..] => {
            true
        }
        // Protocol assignments, documentation, 6to4 anycast, AS112, AMT, benchmarks.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            true
        }
        [192, 31, 196, _] | [192, 52, 193, _] | [192, 175, 48, _] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => false,
    };
    !private
}

/// Only 2000::/3 is assigned to the public Internet; NAT64 is the one way out of it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) end up at the IPv4 address that they carry.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(carried(high, low)),
        [0x2002, high, low, ..] => is_public_v4(carried(high, low)),
        // Protocol assignments with Teredo and ORCHID, documentation, segment routing.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // A global prefix in front of ISATAP's interface identifier carries an IPv4 address as well.
        [0x2000..=0x3fff, _, _, _, 0 | 0x200, 0x5efe, high, low] => is_public_v4(carried(high, low)),
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

fn carried(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_public_from_private() {
        let check = |expected: bool, addresses: &[&str]| {
            for address in addresses {
                assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
            }
        };
        check(true, &["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1"]);
        check(
            true,
            &["169.253.0.1", "192.167.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "11.0.0.1"],
        );
        check(true, &["2606:4700::1111", "2a00::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]);
        check(false, &["0.0.0.0", "0.1.2.3", "10.0.0.1", "127.0.0.1", "127.255.255.255", "100.64.0.1"]);
        check(false, &["169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.0.0.192"]);
        check(false, &["192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255"]);
        check(false, &["224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.88.99.1"]);
        check(false, &["::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1"]);
        check(
            false,
            &["::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1", "::8.8.8.8"],
        );
        check(
            false,
            &["::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8"],
        );
        check(false, &["2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::1", "2001::1", "2001:db8::1"]);
        check(
            false,
            &["3fff::1", "100::1", "5f00::1", "4000::1", "2a00::5efe:127.0.0.1", "2a00::200:5efe:a00:1"],
        );
        check(false, &["fe80::5efe:8.8.8.8"]);
    }
}
