//! What holds for the whole gateway, beside where it listens.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::actions::{self, Around, Files};
use super::written::{self, Document, DurationText, SizeText};
use super::{Environment, amounts, names};
use crate::base::network::{IpNetwork, IpNetworkError};
use crate::base::units::ByteSize;
use crate::config::checked::{AccessLog, Dns, HttpSettings, KeptIn, Limits, NamedSecrets, Timeouts, Token};
use crate::config::path::Path;
use crate::config::report::Report;

pub(super) const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);
const DNS_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
const DNS_PORT: u16 = 53;
const HEAD_SIZE: RangeInclusive<ByteSize> = ByteSize::kib(1)..=ByteSize::mib(1);
const WINDOW: RangeInclusive<ByteSize> = ByteSize::kib(64)..=ByteSize::mib(1024);
const FRAME_SIZE: RangeInclusive<ByteSize> = ByteSize::kib(16)..=ByteSize::mib(1);
/// As many as nobody guesses.
const SHORTEST_TOKEN: usize = 16;
const ANY_SIZE: RangeInclusive<ByteSize> = ByteSize::bytes(0)..=ByteSize::bytes(u64::MAX);

pub(super) fn workers(document: &Document) -> Option<NonZeroUsize> {
    usize::try_from(document.workers?).ok().and_then(NonZeroUsize::new)
}

pub(super) fn http(document: &Document, files: &mut Files<'_>, report: &mut Report) -> HttpSettings {
    let error_pages = document.http.as_ref().and_then(|http| http.error_pages.as_ref());
    let at_http = Path::ROOT.field("http");
    HttpSettings {
        timeouts: document
            .timeouts
            .as_ref()
            .map_or_else(Timeouts::default, |written| timeouts(written, report)),
        limits: document.limits.as_ref().map_or_else(Limits::default, |written| limits(written, report)),
        trusted_proxies: trusted_proxies(document, report),
        via: document.via.unwrap_or(false),
        error_pages: error_pages.map(|written| {
            let around = Around::new(None);
            actions::error_pages(&at_http.field("error_pages"), written, &around, files, report)
        }),
    }
}

fn timeouts(written: &written::Timeouts, report: &mut Report) -> Timeouts {
    let at = Path::ROOT.field("timeouts");
    let default = Timeouts::default();
    let mut optional = |field, written: &Option<DurationText>| {
        amounts::duration(&at.field(field), written.as_ref(), TIMEOUT, report)
    };
    let (request, tunnel) = (optional("request", &written.request), optional("tunnel", &written.tunnel));
    let mut read =
        |field, written: &Option<DurationText>, default| optional(field, written).unwrap_or(default);
    Timeouts {
        client_head: read("client_head", &written.client_head, default.client_head),
        client_idle: read("client_idle", &written.client_idle, default.client_idle),
        keep_alive: read("keep_alive", &written.keep_alive, default.keep_alive),
        connect: read("connect", &written.connect, default.connect),
        tls: read("tls", &written.tls, default.tls),
        queue: read("queue", &written.queue, default.queue),
        backend_idle: read("backend_idle", &written.backend_idle, default.backend_idle),
        backend_keep_alive: read(
            "backend_keep_alive",
            &written.backend_keep_alive,
            default.backend_keep_alive,
        ),
        tunnel_idle: read("tunnel_idle", &written.tunnel_idle, default.tunnel_idle),
        drain: read("drain", &written.drain, default.drain),
        request,
        tunnel,
    }
}

fn limits(written: &written::Limits, report: &mut Report) -> Limits {
    let at = Path::ROOT.field("limits");
    let default = Limits::default();
    let mut size = |field, written: &Option<SizeText>, range| {
        amounts::size(&at.field(field), written.as_ref(), range, report)
    };
    Limits {
        head_size: size("head_size", &written.head_size, HEAD_SIZE).unwrap_or(default.head_size),
        header_count: written.header_count.unwrap_or(default.header_count),
        pool_idle: written.pool_idle.unwrap_or(default.pool_idle),
        request_body: size("request_body", &written.request_body, ANY_SIZE),
        connections: written.connections.unwrap_or(default.connections),
        h2_streams: written.h2_streams.unwrap_or(default.h2_streams),
        h2_stream_window: size("h2_stream_window", &written.h2_stream_window, WINDOW)
            .unwrap_or(default.h2_stream_window),
        h2_connection_window: size("h2_connection_window", &written.h2_connection_window, WINDOW)
            .unwrap_or(default.h2_connection_window),
        h2_frame_size: size("h2_frame_size", &written.h2_frame_size, FRAME_SIZE)
            .unwrap_or(default.h2_frame_size),
    }
}

fn trusted_proxies(document: &Document, report: &mut Report) -> Vec<IpNetwork> {
    let at = Path::ROOT.field("trusted_proxies");
    let written = document.trusted_proxies.iter().flatten().enumerate();
    written.filter_map(|(index, text)| network(&at.item(index), text.as_ref()?, report)).collect()
}

pub(super) fn network(at: &Path<'_>, text: &str, report: &mut Report) -> Option<IpNetwork> {
    let error = match text.parse() {
        Ok(network) => return Some(network),
        Err(error) => error,
    };
    let hint = match error {
        IpNetworkError::HostBits(network) => Some(format!("did you mean `{network}`?")),
        IpNetworkError::NotNetwork => None,
    };
    report.unexpected_with(at, error, text, hint);
    None
}

pub(super) fn dns(document: &Document, report: &mut Report) -> Dns {
    let default = Dns::default();
    let Some(written) = &document.dns else { return default };
    let at = Path::ROOT.field("dns");
    let timeout = amounts::duration(&at.field("timeout"), written.timeout.as_ref(), DNS_TIMEOUT, report);
    let mut servers = Vec::new();
    for (index, text) in written.servers.iter().flatten().enumerate() {
        let Some(text) = text else { continue };
        let alone = || text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, DNS_PORT));
        match text.parse().ok().or_else(alone) {
            Some(server) => servers.push(server),
            None => {
                let expected =
                    "expected an IP address such as `10.0.0.53`, perhaps with a port: `10.0.0.53:5353`";
                report.unexpected(at.field("servers").item(index), expected, text);
            }
        }
    }
    Dns { servers, timeout: timeout.unwrap_or(default.timeout) }
}

pub(super) fn access_log(document: &Document, environment: &Environment<'_>) -> AccessLog {
    match document.access_log.as_deref() {
        None => AccessLog::default(),
        Some("stdout") => AccessLog::Stdout,
        Some("off") => AccessLog::Off,
        Some(path) => AccessLog::File(environment.directory.join(path)),
    }
}

pub(super) fn kept_in(written: Option<&str>, environment: &Environment<'_>) -> KeptIn {
    match written {
        None => KeptIn::Default,
        Some("off") => KeptIn::Off,
        Some(path) => KeptIn::Folder(environment.directory.join(path)),
    }
}

/// What is wrong with it is said without showing it.
pub(super) fn admin_tls(
    document: &Document,
    environment: &Environment<'_>,
    report: &mut Report,
) -> Option<crate::config::Tls> {
    let admin = document.admin.as_ref()?;
    let at = Path::ROOT.field("admin");
    let at = at.field("tls");
    let tls = admin.tls.as_ref().map(|written| super::tls::tls(&at, written, environment, report));
    if tls.is_some() && admin.listen.is_none() {
        report.error(at, "TLS is spoken at `listen`, and there is none");
    }
    tls
}

pub(super) fn admin_token(document: &Document, report: &mut Report) -> Option<Token> {
    let text = document.admin.as_ref()?.token.as_ref()?;
    let admin = Path::ROOT.field("admin");
    let at = admin.field("token");
    let found = match text.len() {
        _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => "others".to_owned(),
        length if length < SHORTEST_TOKEN => length.to_string(),
        _ => return Some(Token::new(text)),
    };
    let expected = format!("expected at least {SHORTEST_TOKEN} characters of ASCII without spaces");
    report.error(at, format!("{expected}, found {found}"));
    None
}

pub(super) fn named_secrets(document: &Document, report: &mut Report) -> NamedSecrets {
    let at = Path::ROOT.field("secrets");
    let mut secrets = NamedSecrets::default();
    for (name, value) in document.secrets.iter().flatten() {
        names::check(&at.field(name), name, report);
        secrets.0.extend(value.iter().map(|value| (name.clone(), value.clone())));
    }
    secrets
}
