//! How the backends of an upstream are spoken to.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use http::uri::Authority;

use super::written::{Upstream, UpstreamTls as WrittenTls};
use super::{Environment, amounts};
use crate::base::address::UNIX;
use crate::config::checked::{Dial, SentHost, Trust, UpstreamProtocol, UpstreamTls};
use crate::config::diagnostic::Problem;
use crate::config::path::Path;
use crate::config::report::Report;

const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);

/// `at` is the upstream.
pub(super) fn check(
    at: &Path<'_>,
    written: &Upstream,
    environment: &Environment<'_>,
    report: &mut Report,
) -> Dial {
    let default = Dial::default();
    let written_tls = written.tls.as_ref();
    let tls = written_tls.map(|written| tls(&at.field("tls"), written, environment, report));
    if tls.is_some() {
        refuse_sockets(at, written, report);
    }
    let mut interval =
        |field, written: &Option<_>| amounts::duration(&at.field(field), written.as_ref(), INTERVAL, report);
    let (ping, connection_age) =
        (interval("ping", &written.ping), interval("connection_age", &written.connection_age));
    Dial {
        protocol: protocol(at, written, report),
        tls,
        host: written.host.as_ref().map_or_else(SentHost::default, |text| host(at, text, report)),
        sends_proxy_header: written.proxy_protocol.is_some(),
        streams: written.streams.unwrap_or(default.streams),
        ping,
        connection_age,
        grpc_probe: written.grpc_probe.clone(),
    }
}

fn protocol(at: &Path<'_>, written: &Upstream, report: &mut Report) -> UpstreamProtocol {
    let protocol = written.protocol.unwrap_or_default();
    let field = at.field("protocol");
    let is_secure = written.tls.is_some() || report.has_lost(at, "tls");
    match protocol {
        UpstreamProtocol::H2 if !is_secure => {
            let problem = Problem::error(field.pointer(), "`h2` is HTTP/2 over TLS, and there is no `tls`");
            report.add(
                problem.hint("without TLS HTTP/2 is `h2c`; `\"tls\": {}` verifies by this machine's roots"),
            );
        }
        UpstreamProtocol::H2c if is_secure => {
            let problem = Problem::error(field.pointer(), "`h2c` is HTTP/2 without TLS, and there is `tls`");
            report.add(problem.hint("over TLS HTTP/2 is `h2`"));
        }
        UpstreamProtocol::H3 if !is_secure => {
            let problem = Problem::error(field.pointer(), "HTTP/3 is always over TLS, and there is no `tls`");
            report.add(problem.hint("`\"tls\": {}` verifies by this machine's roots"));
        }
        UpstreamProtocol::H2 | UpstreamProtocol::H2c | UpstreamProtocol::H3
            if written.proxy_protocol.is_some() =>
        {
            report.error(field, "`proxy_protocol` needs connections of one client each: `h1`");
        }
        UpstreamProtocol::Auto | UpstreamProtocol::H1 | UpstreamProtocol::H3
            if written.grpc_probe.is_some() && !(is_secure && protocol == UpstreamProtocol::Auto) =>
        {
            let problem = Problem::error(at.field("grpc_probe").pointer(), "gRPC is spoken over HTTP/2");
            report.add(problem.hint("say that the backends speak it: `\"protocol\": \"h2c\"`"));
        }
        _ => {}
    }
    // Many clients would share a connection that names one.
    if written.proxy_protocol.is_some() { UpstreamProtocol::H1 } else { protocol }
}

fn host(at: &Path<'_>, text: &str, report: &mut Report) -> SentHost {
    match text {
        "client" => return SentHost::Client,
        "backend" => return SentHost::Backend,
        _ => {}
    }
    let is_host = text.parse::<Authority>().is_ok() && !text.contains('@');
    match HeaderValue::from_str(text) {
        Ok(value) if is_host => SentHost::Fixed(value),
        _ => {
            let expected = "expected `client`, `backend`, or a host such as `api.internal`";
            report.unexpected(at.field("host"), expected, text);
            SentHost::default()
        }
    }
}

fn refuse_sockets(at: &Path<'_>, written: &Upstream, report: &mut Report) {
    for (index, backend) in written.backends.iter().flatten().enumerate() {
        let host = backend.as_ref().and_then(|backend| backend.host.as_ref());
        if host.is_some_and(|host| host.starts_with(UNIX)) {
            let place = at.field("backends");
            report.error(place.item(index).field("host"), "TLS is not spoken over a socket of this machine");
        }
    }
}

fn tls(
    at: &Path<'_>,
    written: &WrittenTls,
    environment: &Environment<'_>,
    report: &mut Report,
) -> UpstreamTls {
    let file = |field, name: &Option<String>| -> Option<(PathBuf, String)> {
        Some((environment.directory.join(name.as_ref()?), at.field(field).pointer()))
    };
    let (chain, key) = (file("certificate", &written.certificate), file("key", &written.key));
    let lonely = match (&chain, &key) {
        (Some(_), None) => Some(("certificate", "key")),
        (None, Some(_)) => Some(("key", "certificate")),
        _ => None,
    };
    if let Some((here, missing)) = lonely.filter(|(_, missing)| !report.has_lost(at, missing)) {
        report.error(at.field(here), format!("`{here}` without `{missing}`"));
    }
    UpstreamTls {
        server_name: written.server_name.clone(),
        trust: trust(at, written, file("ca", &written.ca), report),
        identity: chain.zip(key),
    }
}

fn trust(at: &Path<'_>, written: &WrittenTls, ca: Option<(PathBuf, String)>, report: &mut Report) -> Trust {
    match (written.verify.unwrap_or(true), ca) {
        (true, None) => Trust::System,
        (true, Some(file)) => Trust::Authorities(file),
        (false, ca) => {
            if ca.is_some() {
                report.error(at.field("ca"), "`ca` beside `\"verify\": false`, with which nobody is asked");
            }
            let message = "the certificates of these backends are not verified";
            let hint = "give the authorities that vouch for them as `ca`";
            report.add(Problem::warning(at.field("verify").pointer(), message).hint(hint));
            Trust::Anybody
        }
    }
}
