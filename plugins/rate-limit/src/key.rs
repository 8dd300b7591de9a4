//! The name of a request's account.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Deref,
};

use crate::config::Prefixes;

/// The values of a request, each behind its length: whatever they hold, other values never make the same key.
#[derive(Debug, Default)]
pub struct Key(String);

impl Key {
    pub fn push(&mut self, value: &str) {
        push_number(&mut self.0, value.len());
        self.0.push(':');
        self.0.push_str(value);
    }
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// `write!` takes several times as long.
fn push_number(text: &mut String, number: usize) {
    if number >= 10 {
        push_number(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

/// A field value as text. What is no UTF-8 is escaped.
pub fn text(value: Vec<u8>) -> String {
    String::from_utf8(value).unwrap_or_else(|error| error.as_bytes().escape_ascii().to_string())
}

/// The part of an address that counts. An IPv4 address in IPv6's clothes is one of IPv4.
pub fn network(address: String, prefixes: Prefixes) -> String {
    let is_whole_ipv4 = prefixes.ipv4 == 32 && !address.contains(':');
    if is_whole_ipv4 {
        return address;
    }
    match address.parse().map(|address: IpAddr| address.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefixes.ipv4)).unwrap_or(0);
            Ipv4Addr::from_bits(ip.to_bits() & mask).to_string()
        }
        Ok(IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefixes.ipv6)).unwrap_or(0);
            Ipv6Addr::from_bits(ip.to_bits() & mask).to_string()
        }
        // The gateway gives no other.
        Err(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_values_make_another_key() {
        fn key(values: &[&str]) -> String {
            let mut key = Key::default();
            values.iter().for_each(|value| key.push(value));
            key.to_string()
        }
        assert_eq!(key(&["/api/*", "192.0.2.1"]), "6:/api/*9:192.0.2.1");
        assert_eq!(key(&[]), "");
        assert_eq!(key(&[&"x".repeat(120)])[..4], *"120:");
        assert_ne!(key(&["a", ""]), key(&["", "a"]));
        assert_ne!(key(&["a1:b"]), key(&["a", "b"]));
        assert_ne!(key(&["", ""]), key(&[""]));
    }

    #[test]
    fn value_that_is_no_text_is_escaped() {
        assert_eq!(text("é".into()), "é");
        assert_eq!(text(vec![b'a', 0xff]), r"a\xff");
    }

    #[test]
    fn address_is_cut_to_its_prefix() {
        fn check(address: &str, ipv4: u8, ipv6: u8, expected: &str) {
            assert_eq!(network(address.to_owned(), Prefixes { ipv4, ipv6 }), expected);
        }
        check("192.0.2.77", 32, 64, "192.0.2.77");
        check("192.0.2.77", 24, 64, "192.0.2.0");
        check("192.0.2.77", 0, 64, "0.0.0.0");
        check("::ffff:192.0.2.77", 32, 64, "192.0.2.77");
        check("2001:db8:1:2:3:4:5:6", 32, 64, "2001:db8:1:2::");
        check("2001:db8:1:2:3:4:5:6", 32, 48, "2001:db8:1::");
        check("2001:db8:1:2:3:4:5:6", 32, 128, "2001:db8:1:2:3:4:5:6");
        check("2001:db8:1:2:3:4:5:6", 32, 0, "::");
        check("unix:", 32, 64, "unix:");
    }
}
