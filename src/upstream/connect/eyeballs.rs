//! Connecting to whichever address of a host answers first (Happy Eyeballs, RFC 8305).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long an address has to itself before the next one is tried too (section 5).
const DELAY: Duration = Duration::from_millis(250);

/// Tries the addresses in turn, IPv6 and IPv4 by turns, without waiting long for any of them.
pub(super) async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    if let [only] = addresses[..] {
        return TcpStream::connect(only).await;
    }
    let mut waiting = interlaced(addresses).into_iter();
    let mut trying = FuturesUnordered::new();
    let mut last = None;
    loop {
        match waiting.next() {
            Some(address) => trying.push(TcpStream::connect(address)),
            None if trying.is_empty() => {
                let nothing = || io::Error::new(io::ErrorKind::NotFound, "no address for the name");
                return Err(last.unwrap_or_else(nothing));
            }
            None => {}
        }
        tokio::select! {
            Some(tried) = trying.next() => match tried {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            },
            () = sleep(DELAY), if waiting.len() > 0 => {}
        }
    }
}

/// Section 4: families by turns, that of the first address first.
fn interlaced(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let begins_with_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == begins_with_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn families_take_turns() {
        let [a, b, c, d] = ["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"].map(|text| text.parse().unwrap());
        assert_eq!(interlaced(vec![a, b, c, d]), [a, d, b, c]);
        assert_eq!(interlaced(vec![d, a, b]), [d, a, b]);
        assert_eq!(interlaced(vec![]), []);
    }

    #[tokio::test]
    async fn one_that_refuses_costs_no_time_and_one_that_is_silent_a_moment() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let begun = Instant::now();
        assert_eq!(connect(vec![refusing, good]).await.unwrap().peer_addr().unwrap(), good);
        assert!(begun.elapsed() < DELAY, "{:?}", begun.elapsed());
        // A network for documentation, where nobody answers; some machines refuse to go there at once.
        let silent = "192.0.2.1:9".parse().unwrap();
        assert_eq!(connect(vec![silent, good]).await.unwrap().peer_addr().unwrap(), good);
        assert!(connect(vec![refusing, refusing]).await.is_err());
        assert!(connect(vec![]).await.is_err());
    }
}
