//! The PROXY protocol (HAProxy's `doc/proxy-protocol.txt` of 2020/03/05, sections 2.1 and 2.2 for versions 1
//! and 2): how a proxy before the gateway says who its client is, and how the gateway says it to a backend.
//! Only bytes are known here. Which connections begin with a header, who is trusted to send one and how long
//! to wait for it is configuration, since the protocol forbids guessing.

use std::net::{IpAddr, SocketAddr};
use thiserror::Error;

const LINE_START: &[u8] = b"PROXY ";
/// The most that a line of version 1 may have, CRLF included.
const LINE_LIMIT: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The most that may be announced behind the fixed part of version 2; real headers have a few hundred bytes.
const BLOCK_LIMIT: usize = 4096;
/// Version 2 in the high bits, the command in the low ones.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// The address family in the high bits, the transport (none, stream or datagram) in the low ones.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const TYPE_CRC32C: u8 = 3;

/// Whose connection it is. None where the header does not say (`LOCAL`, `UNKNOWN`, a Unix socket, unspecified
/// family or transport): then the connection's own addresses count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The client.
    pub source: Option<SocketAddr>,
    /// What the client connected to.
    pub destination: Option<SocketAddr>,
}

/// How far decoding came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Read exactly so many more bytes and append them; never 0.
    Needs(usize),
    /// At most this many more bytes may be appended, up to and including the first line feed; never 0.
    NeedsLine(usize),
    /// The header is complete, and nothing behind it was asked for.
    Done(Header),
}

/// Why a connection does not begin with a header of the PROXY protocol. Each ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProxyProtocolError {
    /// The first bytes are of neither version.
    #[error("the connection does not begin with a PROXY protocol header")]
    NotProxyProtocol,
    /// Version 1: the first line feed has no carriage return before it, or there is none in 107 bytes.
    #[error("no CRLF ends the line within 107 bytes")]
    LineEnd,
    /// Version 1: another protocol, bad spacing, or an address or port that is not written as it must be.
    #[error("expected `TCP4` or `TCP6` with two addresses of that family and two ports, or `UNKNOWN`")]
    Line,
    /// The binary signature is followed by another version, or by neither `LOCAL` nor `PROXY`.
    #[error("expected version and command `0x20` or `0x21`, found `{0:#04x}`")]
    Command(u8),
    /// Version 2: an address family or a transport that is not assigned.
    #[error("expected an address family up to 3 and a transport up to 2, found `{0:#04x}`")]
    Family(u8),
    /// Version 2: the announced length is over the limit.
    #[error("expected at most 4096 bytes behind the fixed part, found `{0}` announced")]
    TooLarge(usize),
    /// Version 2: the announced length cannot hold the family's addresses, or a TLV reaches over it.
    #[error("the announced length cuts off an address or a TLV")]
    CutOff,
    /// Version 2: the header was changed on its way, or has two checksums.
    #[error("the CRC32C checksum does not match")]
    Checksum,
    /// The caller read more than [`Progress`] asked for.
    #[error("bytes behind the header were read with it")]
    Excess,
}

/// Decodes what was read so far of the header that a connection begins with, at first nothing. The caller
/// appends what [`Progress`] asks for, or less, and calls again. What begins no header is refused at once.
pub fn decode(read: &[u8]) -> Result<Progress, ProxyProtocolError> {
    let agrees = |start: &[u8]| read.iter().zip(start).all(|(byte, expected)| byte == expected);
    let (is_line, is_binary) = (agrees(LINE_START), agrees(SIGNATURE));
    match SIGNATURE.len().saturating_sub(read.len()) {
        missing @ 1.. if is_line || is_binary => Ok(Progress::Needs(missing)),
        _ if is_line => decode_line(read),
        _ if is_binary => decode_binary(read),
        _ => Err(ProxyProtocolError::NotProxyProtocol),
    }
}

/// The header of version 2 for a TCP connection relayed for `source`. Both addresses become IPv6 where only
/// one is (`::ffff:10.0.0.1`), since a header has one family. Scope and flow of an IPv6 address are left out.
pub fn encode_v2(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
    let (family, addresses) = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (TCP4, [from.octets(), to.octets()].concat()),
        (IpAddr::V6(from), IpAddr::V6(to)) => (TCP6, [from.octets(), to.octets()].concat()),
        (IpAddr::V4(from), IpAddr::V6(to)) => (TCP6, [from.to_ipv6_mapped().octets(), to.octets()].concat()),
        (IpAddr::V6(from), IpAddr::V4(to)) => (TCP6, [from.octets(), to.to_ipv6_mapped().octets()].concat()),
    };
    encode([PROXY, family], &[addresses, ports].concat())
}

/// The header of version 2 for a connection of the gateway's own, such as a health check (command `LOCAL`).
pub fn encode_v2_local() -> Vec<u8> {
    encode([LOCAL, 0], &[])
}

fn decode_line(read: &[u8]) -> Result<Progress, ProxyProtocolError> {
    let Some(line_feed) = read.iter().take(LINE_LIMIT).position(|&byte| byte == b'\n') else {
        let left = LINE_LIMIT.saturating_sub(read.len());
        return if left > 0 { Ok(Progress::NeedsLine(left)) } else { Err(ProxyProtocolError::LineEnd) };
    };
    let (line, behind) = read.split_at(line_feed + 1);
    let line = line.strip_suffix(b"\r\n").ok_or(ProxyProtocolError::LineEnd)?;
    let header = parse_line(line).ok_or(ProxyProtocolError::Line)?;
    if behind.is_empty() { Ok(Progress::Done(header)) } else { Err(ProxyProtocolError::Excess) }
}

fn parse_line(line: &[u8]) -> Option<Header> {
    if line == b"PROXY UNKNOWN" || line.starts_with(b"PROXY UNKNOWN ") {
        return Some(Header::default());
    }
    let words: Vec<&str> = str::from_utf8(line).ok()?.split(' ').collect();
    let ["PROXY", family, from, to, from_port, to_port] = words[..] else { return None };
    let is_of_family = |end: &SocketAddr| family == if end.is_ipv4() { "TCP4" } else { "TCP6" };
    let source = parse_address(from, from_port).filter(is_of_family)?;
    let destination = parse_address(to, to_port).filter(is_of_family)?;
    Some(Header { source: Some(source), destination: Some(destination) })
}

fn parse_address(address: &str, port: &str) -> Option<SocketAddr> {
    // `parse` takes `+80` and `080` too; the protocol knows one form of each number.
    let port = port.parse().ok().filter(|number: &u16| number.to_string() == port)?;
    Some(SocketAddr::new(address.parse().ok()?, port))
}

fn decode_binary(read: &[u8]) -> Result<Progress, ProxyProtocolError> {
    let Some((&[.., command, family, high, low], block)) = read.split_first_chunk::<16>() else {
        return Ok(Progress::Needs(16 - read.len()));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    match command {
        PROXY if family >> 4 > 3 || family & 0x0f > 2 => return Err(ProxyProtocolError::Family(family)),
        PROXY | LOCAL => {}
        _ => return Err(ProxyProtocolError::Command(command)),
    }
    match length.checked_sub(block.len()) {
        _ if length > BLOCK_LIMIT => Err(ProxyProtocolError::TooLarge(length)),
        None => Err(ProxyProtocolError::Excess),
        Some(missing @ 1..) => Ok(Progress::Needs(missing)),
        // Whatever else such a header has, its family included, is to be ignored.
        Some(0) if command == LOCAL => Ok(Progress::Done(Header::default())),
        Some(0) => decode_block(read, block, family).map(Progress::Done),
    }
}

fn decode_block(read: &[u8], block: &[u8], family: u8) -> Result<Header, ProxyProtocolError> {
    let parts = match family >> 4 {
        1 => take_addresses::<4>(block),
        2 => take_addresses::<16>(block),
        // Two paths of Unix sockets, 108 bytes each.
        3 => block.get(216..).map(|tlvs| (Header::default(), tlvs)),
        // Unspecified: addresses of any length may come first, so nobody can tell where TLVs would begin.
        _ => return Ok(Header::default()),
    };
    let (header, tlvs) = parts.ok_or(ProxyProtocolError::CutOff)?;
    check_tlvs(read, tlvs)?;
    Ok(if family & 0x0f == 0 { Header::default() } else { header })
}

fn take_addresses<const LENGTH: usize>(block: &[u8]) -> Option<(Header, &[u8])>
where
    IpAddr: From<[u8; LENGTH]>,
{
    let (source, rest) = block.split_first_chunk::<LENGTH>()?;
    let (destination, rest) = rest.split_first_chunk::<LENGTH>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, rest) = rest.split_first_chunk()?;
    let source = SocketAddr::new((*source).into(), u16::from_be_bytes(*source_port));
    let destination = SocketAddr::new((*destination).into(), u16::from_be_bytes(*destination_port));
    Some((Header { source: Some(source), destination: Some(destination) }, rest))
}

/// Skips the TLVs that a header ends with; one of them may be the header's checksum (section 2.2.3).
fn check_tlvs(read: &[u8], mut tlvs: &[u8]) -> Result<(), ProxyProtocolError> {
    let mut checksum = None;
    while !tlvs.is_empty() {
        let (kind, value, behind) = take_tlv(tlvs).ok_or(ProxyProtocolError::CutOff)?;
        if kind == TYPE_CRC32C && checksum.replace((value, behind.len())).is_some() {
            // With two of them, what each was computed over would be anybody's guess.
            return Err(ProxyProtocolError::Checksum);
        }
        tlvs = behind;
    }
    let is_right = checksum.is_none_or(|(value, behind)| value == crc32c(read, behind).to_be_bytes());
    if is_right { Ok(()) } else { Err(ProxyProtocolError::Checksum) }
}

fn take_tlv(tlvs: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, high, low], rest) = tlvs.split_first_chunk()?;
    let (value, behind) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
    Some((kind, value, behind))
}

/// CRC32C (RFC 4960, appendix B), with zeros for the 4 bytes that have `behind` bytes behind them. Bit by
/// bit, since it runs once for a connection and mostly over a hundred bytes.
fn crc32c(read: &[u8], behind: usize) -> u32 {
    let shift = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
    !read.iter().rev().enumerate().rev().fold(u32::MAX, |sum, (bytes_behind, &byte)| {
        let byte = if (behind..behind + 4).contains(&bytes_behind) { 0 } else { byte };
        (0..8).fold(sum ^ u32::from(byte), shift)
    })
}

/// The command and the family come first; `block` has 36 bytes at most.
fn encode(kind: [u8; 2], block: &[u8]) -> Vec<u8> {
    [SIGNATURE, &kind, &(block.len() as u16).to_be_bytes(), block].concat()
}

#[cfg(test)]
mod tests {
    use super::{ProxyProtocolError as Error, *};
    use proptest::prelude::*;

    const IPV4: &[u8] = b"\xc0\xa8\0\x01\xc0\xa8\0\x0b\xdc\x04\x01\xbb";
    const IPV6: &[u8] =
        b"\0\0\0\0\0\0\0\0\0\0\xff\xff\n\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x02";
    const SUM: &[u8] = b"\x03\0\x04\x17\xdc\x2b\x6e";

    /// Reads a header off a stream as a connection would; also how much it read. None: the stream ended.
    fn drive(stream: &[u8], step: usize) -> Result<Option<(Header, usize)>, Error> {
        let mut read = 0;
        loop {
            let rest = &stream[read..];
            let more = match decode(&stream[..read])? {
                Progress::Done(header) => return Ok(Some((header, read))),
                _ if rest.is_empty() => return Ok(None),
                Progress::Needs(more) => more,
                Progress::NeedsLine(most) => most.min(1 + rest.iter().take_while(|b| **b != b'\n').count()),
            };
            read += more.min(step).min(rest.len());
        }
    }

    /// Decodes what is given at once, and as the start of a stream byte by byte and in the steps asked for.
    fn check(input: impl AsRef<[u8]>, expected: Result<Header, Error>) {
        let input = input.as_ref();
        assert_eq!(decode(input), expected.map(Progress::Done), "{}", input.escape_ascii());
        let stream = [input, b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert!(expected.is_err() || decode(&stream) == Err(Error::Excess), "{}", input.escape_ascii());
        let expected = expected.map(|header| Some((header, input.len())));
        for step in [1, usize::MAX] {
            assert_eq!(drive(&stream, step), expected, "{} by {step}", input.escape_ascii());
        }
    }

    fn header(source: &str, destination: &str) -> Header {
        Header { source: source.parse().ok(), destination: destination.parse().ok() }
    }

    #[test]
    fn decodes_lines() {
        let check = |line: &str, expected| check(format!("PROXY {line}\r\n"), Ok(expected));
        check("TCP4 192.168.0.1 192.168.0.11 56324 443", header("192.168.0.1:56324", "192.168.0.11:443"));
        check("TCP4 255.255.255.255 0.0.0.0 65535 0", header("255.255.255.255:65535", "0.0.0.0:0"));
        check("TCP6 2001:DB8::1 ::ffff:1.2.3.4 1 2", header("[2001:db8::1]:1", "[::ffff:1.2.3.4]:2"));
        let ones = ["ffff"; 8].join(":");
        for ignored in ["", " ", "  a\rb\0 \u{fc}", &format!(" {ones} {ones} 65535 65535")] {
            check(&format!("UNKNOWN{ignored}"), Header::default());
        }
    }

    #[test]
    fn refuses_every_other_line() {
        let check = |inputs: &str, error| inputs.split('|').for_each(|input| check(input, Err(error)));
        let lines = "TCP4|TCP4 |UNKNOWNS| UNKNOWN|TCP5 1.1.1.1 1.1.1.1 1 1|tcp6 ::1 ::1 1 1|TCP6\t::1 ::1 1 1\
            |TCP6  ::1 ::1 1 1|TCP6 ::1 ::1 1  1|TCP6 ::1 ::1 1 1 |TCP6 ::1 ::1 1|TCP6 ::1 ::1 1 1 1\
            |TCP4 1.1.1.1 ::1 1 1|TCP6 1.1.1.1 ::1 1 1|TCP4 01.1.1.1 1.1.1.1 1 1|TCP4 1.1.1 1.1.1.1 1 1\
            |TCP6 ::1%1 ::1 1 1|TCP6 [::1] ::1 1 1|TCP6 ::00001 ::1 1 1|TCP6 \u{fc} ::1 1 1|TCP6 ::1 ::1 -1 1\
            |TCP6 ::1 ::1 1 01|TCP6 ::1 ::1 00 1|TCP6 ::1 ::1 +1 1|TCP6 ::1 ::1 65536 1|TCP6 ::1 ::1 1 1\r";
        check(&format!("PROXY {}\r\n", lines.replace('|', "\r\n|PROXY ")), Error::Line);
        check(&format!("PROXY UNKNOWN\n|PROXY UNKNOWN\rGET\n|PROXY UNKNOWN{:93}\r\n", ""), Error::LineEnd);
        check("GET / HTTP/1.1|proxy |PROXY\r\n|\r\n\r\nGET|\u{16}\u{3}\u{1}", Error::NotProxyProtocol);
    }

    #[test]
    fn decodes_and_refuses_binary_headers() {
        let check = |kind, block: &[&[u8]], expected| check(encode(kind, &block.concat()), expected);
        let (ipv4, none) = (Ok(header("192.168.0.1:56324", "192.168.0.11:443")), Ok(Header::default()));
        for (family, expected) in [(0x11, ipv4), (0x12, ipv4), (0x10, none)] {
            check([PROXY, family], &[IPV4], expected);
            check([PROXY, family], &[IPV4, b"\x04\0\0\x01\0\x02h2"], expected);
        }
        check([PROXY, TCP6], &[IPV6], Ok(header("[::ffff:10.0.0.1]:1", "[::1]:2")));
        check([PROXY, 0x31], &[&[b'/'; 216]], none);
        for block in [&[][..], IPV4, &[0xff; BLOCK_LIMIT]] {
            check([PROXY, 0x01], &[block], none);
            check([LOCAL, 0xff], &[block], none);
        }
        check([0x11, TCP4], &[IPV4], Err(Error::Command(0x11)));
        check([0x22, TCP4], &[IPV4], Err(Error::Command(0x22)));
        check([PROXY, 0x41], &[IPV4], Err(Error::Family(0x41)));
        check([PROXY, 0x13], &[IPV4], Err(Error::Family(0x13)));
        check([LOCAL, 0], &[&[0; BLOCK_LIMIT + 1]], Err(Error::TooLarge(4097)));
        for (family, length) in [(0x11, 0), (0x11, 11), (0x21, 35), (0x31, 215)] {
            check([PROXY, family], &[&vec![0; length]], Err(Error::CutOff));
        }
        for tlv in [b"\x04", &b"\x04\0"[..], b"\x04\0\x01", b"\x04\0\0\x04", b"\x04\0\x02h"] {
            check([PROXY, TCP4], &[IPV4, tlv], Err(Error::CutOff));
        }
        check([PROXY, TCP4], &[IPV4, SUM, b"\x04\0\x01\0"], ipv4);
        for tlvs in [[SUM, b"\x04\0\x01\x01"], [SUM, SUM], [b"", b"\x03\0\0"], [b"", b"\x03\0\x01a"]] {
            check([PROXY, TCP4], &[IPV4, tlvs[0], tlvs[1]], Err(Error::Checksum));
        }
    }

    #[test]
    fn asks_for_exactly_what_is_missing() {
        assert_eq!(decode(b""), Ok(Progress::Needs(12)));
        assert_eq!(decode(SIGNATURE), Ok(Progress::Needs(4)));
        assert_eq!(decode(b"PROXY TCP4 1"), Ok(Progress::NeedsLine(95)));
    }

    #[test]
    fn encodes_headers() {
        let encoded = |ends: Header| encode_v2(ends.source.unwrap(), ends.destination.unwrap());
        let ipv4 = encoded(header("192.168.0.1:56324", "192.168.0.11:443"));
        assert_eq!(ipv4, [SIGNATURE, b"\x21\x11\0\x0c", IPV4].concat());
        assert_eq!(encoded(header("10.0.0.1:1", "[::1]:2")), [SIGNATURE, b"\x21\x21\0\x24", IPV6].concat());
        assert_eq!(encode_v2_local(), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }

    proptest! {
        #[test]
        fn decodes_what_it_encodes(source: SocketAddr, destination: SocketAddr) {
            let plain = |end: SocketAddr| (end.ip().to_canonical(), end.port());
            let (decoded, _) = drive(&encode_v2(source, destination), 1).unwrap().unwrap();
            prop_assert_eq!(decoded.source.map(plain), Some(plain(source)));
            prop_assert_eq!(decoded.destination.map(plain), Some(plain(destination)));
        }

        #[test]
        fn no_bytes_panic(start in 0..4usize, rest: Vec<u8>) {
            let starts = [b"", &b"PROXY TCP4 "[..], SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20"];
            let bytes = [starts[start], &rest].concat();
            let _ = decode(&bytes);
            prop_assert_eq!(drive(&bytes, 1), drive(&bytes, usize::MAX));
        }
    }
}
