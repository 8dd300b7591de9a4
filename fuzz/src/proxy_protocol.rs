//! The header of the PROXY protocol that a connection may begin with.

use std::net::{IpAddr, SocketAddr};

use cloud_cup::message::proxy_protocol::{Header, Progress, ProxyProtocolError, decode, encode_v2};

/// The longest of both versions: 16 bytes and the block that they may announce.
const LONGEST: usize = 16 + 4096;

/// Takes the input for the first bytes of a connection.
///
/// However few bytes come at a time, the same header is read, or the same error found, and no byte behind the header is
/// asked for. What a header says can be written, and is read again.
pub fn check(input: &[u8]) {
    let whole = read(input, usize::MAX);
    assert_eq!(read(input, 1), whole, "byte by byte");
    assert_eq!(read(input, 1 + input.len() % 13), whole, "by {} bytes", 1 + input.len() % 13);
    let Ok(Some((header, length))) = whole else { return };
    assert!(length <= LONGEST);
    assert_eq!(decode(&input[..length]), Ok(Progress::Done(header)));
    if length < input.len() {
        assert_eq!(decode(&input[..=length]), Err(ProxyProtocolError::Excess));
    }
    match header {
        Header { source: Some(source), destination: Some(destination) } => {
            check_written(source, destination);
            check_written(source, SocketAddr::new([192, 0, 2, 1].into(), destination.port()));
        }
        Header { source, destination } => assert_eq!((source, destination), (None, None)),
    }
}

/// Reads a header as a connection does that gets at most `step` bytes at a time, with how many it took. None where the
/// connection ends before the header does.
fn read(input: &[u8], step: usize) -> Result<Option<(Header, usize)>, ProxyProtocolError> {
    let mut taken = 0;
    loop {
        let rest = &input[taken..];
        let wanted = match decode(&input[..taken])? {
            Progress::Done(header) => return Ok(Some((header, taken))),
            Progress::Needs(wanted) => wanted,
            Progress::NeedsLine(most) => {
                let line = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
                assert_ne!(most, 0);
                most.min(line.max(1))
            }
        };
        assert_ne!(wanted, 0, "nothing is asked for, and nothing was found");
        if rest.is_empty() {
            return Ok(None);
        }
        taken += wanted.min(step).min(rest.len());
    }
}

fn check_written(source: SocketAddr, destination: SocketAddr) {
    let written = encode_v2(source, destination);
    let Ok(Some((header, length))) = read(&written, usize::MAX) else {
        panic!("{written:02x?} is no header")
    };
    assert_eq!(length, written.len());
    let same_family = source.is_ipv4() == destination.is_ipv4();
    // Where the families differ, both ends are written in the one that has room for both.
    let expected = |end: SocketAddr| match end.ip() {
        IpAddr::V4(address) if !same_family => SocketAddr::new(address.to_ipv6_mapped().into(), end.port()),
        address => SocketAddr::new(address, end.port()),
    };
    let expected = Header { source: Some(expected(source)), destination: Some(expected(destination)) };
    assert_eq!(header, expected);
}
