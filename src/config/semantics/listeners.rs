//! Where to listen: `root`, `listeners` and `admin.listen`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::written::{Document, Listener as Written, Protocol};
use super::{Environment, names, settings, tls};
use crate::base::address::{INHERITED, ListenAddress, UNIX};
use crate::config::checked::{Listener, Protocols, Tls};
use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;

/// The name of the listener that the field `root` makes.
const ROOT: &str = "root";

/// What is spoken where nothing is said of it.
const UNSAID: Protocols = Protocols { h1: true, h2: true, h3: false };

/// The listeners, and the address for admin.
pub(super) fn check(
    document: &Document,
    environment: &Environment<'_>,
    report: &mut Report,
) -> (Vec<Listener>, Option<SocketAddr>) {
    report_absence(document, report);
    report_second_root(document, report);
    report_ssl_for_nobody(document, report);
    let mut sockets = Sockets { taken: Vec::new(), environment, report };
    let mut listeners = Vec::new();
    if let Some(text) = &document.root {
        let ssl = document.ssl.as_ref().and_then(|ssl| tls::ssl(ssl, environment));
        listeners.extend(sockets.root(text, ssl));
    }
    let at = Path::ROOT.field("listeners");
    for (name, written) in document.listeners.iter().flatten() {
        listeners.extend(sockets.listener(&at.field(name), name, written.as_ref()));
    }
    let admin = document.admin.as_ref().and_then(|admin| admin.listen.as_ref());
    let at = Path::ROOT.field("admin");
    let admin = admin.and_then(|text| sockets.claim(&at.field("listen"), "`admin`", text));
    if admin.as_ref().is_some_and(|address| address.tcp().is_none()) {
        report.add(
            Problem::error(at.field("listen").pointer(), "expected an address with a port")
                .hint("the path of a socket is given as `admin.socket`"),
        );
    }
    (listeners, admin.and_then(|address| address.tcp()))
}

fn report_absence(document: &Document, report: &mut Report) {
    let has_listeners = document.listeners.as_ref().is_some_and(|listeners| !listeners.is_empty());
    let has_lost = ["root", "listeners"].iter().any(|field| report.has_lost(&Path::ROOT, field));
    if document.root.is_none() && !has_listeners && !has_lost {
        let problem = Problem::error("", "expected `root` or `listeners`, found neither");
        report.add(problem.hint("say where to listen: `\"root\": \"127.0.0.1:8080\"`"));
    }
}

fn report_second_root(document: &Document, report: &mut Report) {
    let has_root = document.listeners.as_ref().is_some_and(|listeners| listeners.contains_key(ROOT));
    if document.root.is_some() && has_root {
        let message = "`root` is the name of the listener that the field `root` makes";
        report.add(Problem::error("/listeners/root", message).part(Part::Name));
    }
}

fn report_ssl_for_nobody(document: &Document, report: &mut Report) {
    if document.ssl.is_some() && document.root.is_none() && !report.has_lost(&Path::ROOT, "root") {
        let problem = Problem::error("/ssl", "`ssl` is the certificate of `root`, and there is no `root`");
        report.add(problem.hint("a listener has its certificates in `tls`"));
    }
}

/// The sockets that are spoken for.
struct Sockets<'r> {
    /// By whom, in the words of a message, and where.
    taken: Vec<(String, ListenAddress)>,
    environment: &'r Environment<'r>,
    report: &'r mut Report,
}

impl Sockets<'_> {
    fn root(&mut self, text: &str, tls: Option<Tls>) -> Option<Listener> {
        let address = self.claim(&Path::ROOT.field("root"), "`root`", text)?;
        let (protocols, name) = (UNSAID, ROOT.to_owned());
        Some(Listener { name, address, protocols, tls, https_redirect: None, proxies: None })
    }

    fn listener(&mut self, at: &Path<'_>, name: &str, written: Option<&Written>) -> Option<Listener> {
        names::check(at, name, self.report);
        let written = written?;
        let address =
            self.claim(&at.field("address"), &format!("listener `{name}`"), written.address.as_ref()?)?;
        let tls = written
            .tls
            .as_ref()
            .map(|written| tls::tls(&at.field("tls"), written, self.environment, self.report));
        if tls.is_some() && written.https_redirect.is_some() {
            self.report.error(at.field("https_redirect"), "a listener with `tls` serves https already");
        }
        let protocols = protocols(at, written, self.report);
        self.refuse_without_network(at, &address, tls.is_some(), protocols);
        let proxies = written.proxy_protocol.as_ref().map(|written| {
            let at = at.field("proxy_protocol");
            let at = at.field("trusted");
            let networks = written.trusted.iter().flatten().enumerate();
            let network = |(index, text): (usize, &Option<String>)| {
                settings::network(&at.item(index), text.as_ref()?, self.report)
            };
            networks.filter_map(network).collect()
        });
        let https_redirect = written.https_redirect.as_ref().map(tls::https_redirect);
        Some(Listener { name: name.to_owned(), address, protocols, tls, https_redirect, proxies })
    }

    /// What needs a port.
    fn refuse_without_network(
        &mut self,
        at: &Path<'_>,
        address: &ListenAddress,
        has_tls: bool,
        protocols: Protocols,
    ) {
        if matches!(address, ListenAddress::Unix(_)) && has_tls {
            self.report.error(at.field("tls"), "TLS is not spoken over a socket of this machine");
        } else if address.tcp().is_none() && protocols.h3 {
            self.report.error(at.field("protocols"), "HTTP/3 needs an address with a port");
        }
    }

    /// Reads an address and takes it, unless another has it.
    fn claim(&mut self, at: &Path<'_>, who: &str, text: &str) -> Option<ListenAddress> {
        let Some(address) = parse_listen_address(text, self.environment) else {
            let expected = "expected an address and a port such as `127.0.0.1:8080`, `[::1]:8080` or `:8080`";
            self.report.unexpected_with(at, expected, text, hint(text));
            return None;
        };
        let is_taken = |taken: &ListenAddress| match (taken.tcp(), address.tcp()) {
            (Some(one), Some(other)) => overlap(one, other),
            _ => *taken == address,
        };
        if let Some((other, _)) = self.taken.iter().find(|(_, taken)| is_taken(taken)) {
            self.report.error(at, format!("address overlaps with that of {other}"));
            return None;
        }
        self.taken.push((who.to_owned(), address.clone()));
        Some(address)
    }
}

/// A path is relative to the folder of the document.
fn parse_listen_address(text: &str, environment: &Environment<'_>) -> Option<ListenAddress> {
    let is_given = |text: &&str| !text.is_empty() && !text.contains('\0');
    if let Some(path) = text.strip_prefix(UNIX) {
        return Some(ListenAddress::Unix(environment.directory.join(Some(path).filter(is_given)?)));
    }
    if let Some(name) = text.strip_prefix(INHERITED) {
        return Some(ListenAddress::Inherited(Some(name).filter(is_given)?.to_owned()));
    }
    parse_address(text).map(ListenAddress::Tcp)
}

/// HTTP/2 has one name with TLS and another without, as the two begin differently.
fn protocols(at: &Path<'_>, written: &Written, report: &mut Report) -> Protocols {
    let (h2, other, hint) = match &written.tls {
        Some(_) => (Protocol::H2, Protocol::H2c, "over TLS HTTP/2 is `h2`"),
        None => (Protocol::H2c, Protocol::H2, "without `tls` HTTP/2 is `h2c`"),
    };
    let Some(protocols) = &written.protocols else { return UNSAID };
    if written.tls.is_none() && report.has_lost(at, "tls") {
        return UNSAID;
    }
    let list = at.field("protocols");
    for (index, protocol) in protocols.iter().enumerate() {
        let hint = match protocol {
            Some(protocol) if *protocol == other => hint,
            Some(Protocol::H3) if written.tls.is_none() => {
                "HTTP/3 is always over TLS: give the listener `tls`"
            }
            _ => continue,
        };
        let message = "this protocol is not spoken here";
        report.add(Problem::error(list.item(index).pointer(), message).hint(hint));
    }
    let allows = |protocol| protocols.contains(&Some(protocol));
    report_streams_alone(&list, allows(Protocol::H3), allows(Protocol::H1) || allows(h2), report);
    Protocols { h1: allows(Protocol::H1), h2: allows(h2), h3: allows(Protocol::H3) }
}

/// Clients find HTTP/3 by being told over another version.
fn report_streams_alone(list: &Path<'_>, has_h3: bool, has_others: bool, report: &mut Report) {
    if has_h3 && !has_others {
        let problem = Problem::error(list.pointer(), "`h3` alone: no client would find it");
        report.add(problem.hint("add `h1` or `h2`, over which clients are told of it"));
    }
}

/// `:8080` is every address of the machine, IPv4 and IPv6: `[::]:8080`.
fn parse_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix(':') {
        Some(port) if port.starts_with(|first: char| first.is_ascii_digit()) => {
            Some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port.parse().ok()?))
        }
        _ => text.parse().ok(),
    }
}

fn hint(text: &str) -> Option<String> {
    let is_port = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(format!("add a port: `{}`", SocketAddr::new(ip, 8080))),
        Err(_) if is_port => Some(format!("a port on every address is `:{text}`")),
        Err(_) if text.contains("localhost") => Some("the address of `localhost` is `127.0.0.1`".to_owned()),
        Err(_) => None,
    }
}

/// Whether no two sockets can listen on both: one address, or one and every address. `[::]` takes IPv4 too, `0.0.0.0`
/// only that. Port 0 takes a free one and is never in the way.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |one: IpAddr, other: IpAddr| match one {
        IpAddr::V4(ip) => ip.is_unspecified() && other.is_ipv4(),
        IpAddr::V6(ip) => ip.is_unspecified(),
    };
    let (one_ip, other_ip) = (one.ip(), other.ip());
    let is_same_place = one_ip == other_ip || covers(one_ip, other_ip) || covers(other_ip, one_ip);
    one.port() != 0 && one.port() == other.port() && is_same_place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse_address(text).map(|address| address.to_string()).as_deref(), expected, "{text}");
        };
        check("127.0.0.1:8080", Some("127.0.0.1:8080"));
        check("[::1]:8080", Some("[::1]:8080"));
        check(":8080", Some("[::]:8080"));
        check("127.0.0.1:0", Some("127.0.0.1:0"));
        for refused in
            ["", ":", ":+80", ":99999", "8080", "127.0.0.1", "localhost:80", "::1:80", "http://127.0.0.1:80"]
        {
            check(refused, None);
        }
    }

    #[test]
    fn finds_overlaps() {
        let check = |one: &str, other: &str, expected: bool| {
            let [one_address, other_address] = [one, other].map(|text| parse_address(text).unwrap());
            assert_eq!(overlap(one_address, other_address), expected, "{one} {other}");
            assert_eq!(overlap(other_address, one_address), expected, "{other} {one}");
        };
        check("127.0.0.1:80", "127.0.0.1:80", true);
        check("127.0.0.1:80", "127.0.0.1:81", false);
        check("127.0.0.1:80", "127.0.0.2:80", false);
        check("127.0.0.1:80", "[::1]:80", false);
        check("0.0.0.0:80", "127.0.0.1:80", true);
        check("0.0.0.0:80", "[::1]:80", false);
        check(":80", "127.0.0.1:80", true);
        check(":80", "0.0.0.0:80", true);
        check(":80", "[::1]:80", true);
        check(":0", ":0", false);
    }
}
