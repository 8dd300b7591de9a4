//! Groups of backends: those with a name, and those that a rule has for itself.

use std::collections::{HashMap, HashSet};
use std::net::Ipv6Addr;

use super::written::{Backend as Written, Document};
use super::{Environment, balancing, dial, names};
use crate::base::address::{Address, HostPort, HostPortError, SERVICE};
use crate::config::checked::{Backend, Balancing, Dial, Strategy, Upstream};
use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::wording::quote;

const MAX_FAILURE: u32 = 5;
const WEIGHT: u32 = 1;

pub(super) struct Upstreams {
    checked: Vec<Upstream>,
    /// Indexes in `checked`. None is an upstream that was reported.
    named: HashMap<String, Option<usize>>,
    /// The field `upstreams` was not removed by the check.
    is_complete: bool,
    default_strategy: Strategy,
    zone: Option<String>,
}

impl Upstreams {
    /// Those of the field `upstreams`.
    pub(super) fn named(document: &Document, environment: &Environment<'_>, report: &mut Report) -> Self {
        let default_strategy = document.http.as_ref().and_then(|http| http.strategy).unwrap_or_default();
        let is_complete = document.upstreams.is_some() || !report.has_lost(&Path::ROOT, "upstreams");
        let mut upstreams = Self {
            checked: Vec::new(),
            named: HashMap::new(),
            is_complete,
            default_strategy,
            zone: document.zone.clone(),
        };
        let at = Path::ROOT.field("upstreams");
        for (name, written) in document.upstreams.iter().flatten() {
            let at = at.field(name);
            names::check(&at, name, report);
            let index = written.as_ref().and_then(|written| {
                let dial = dial::check(&at, written, environment, report);
                let backends = written.backends.as_ref()?;
                let strategy = written.strategy.unwrap_or(default_strategy);
                let balancing = balancing::check(&at, written, strategy, document.zone.as_ref(), report);
                let has_judge = written.outlier_detection.is_some();
                let endpoints = self::backends(&at.field("backends"), backends, has_judge, report);
                upstreams.checked.push(Upstream { name: name.clone(), balancing, dial, endpoints });
                Some(upstreams.checked.len() - 1)
            });
            upstreams.named.insert(name.clone(), index);
        }
        upstreams
    }

    /// Takes in the upstream of a rule. `at` is the object that has its `backends`.
    pub(super) fn add(
        &mut self,
        at: &Path<'_>,
        name: String,
        written: &[Option<Written>],
        strategy: Option<Strategy>,
        report: &mut Report,
    ) -> usize {
        let endpoints = backends(&at.field("backends"), written, false, report);
        let strategy = strategy.unwrap_or(self.default_strategy);
        let balancing = Balancing { strategy, zone: self.zone.clone(), ..Balancing::default() };
        self.checked.push(Upstream { name, balancing, dial: Dial::default(), endpoints });
        self.checked.len() - 1
    }

    /// The index of a named upstream.
    pub(super) fn find(&self, at: &Path<'_>, name: &str, report: &mut Report) -> Option<usize> {
        if let Some(known) = self.named.get(name) {
            return *known;
        }
        if self.is_complete {
            report.unknown(at, "upstream", name, self.named.keys().map(String::as_str));
        }
        None
    }

    pub(super) fn into_checked(self) -> Vec<Upstream> {
        self.checked
    }
}

/// `has_judge` where it is not `max_failure` that takes them out.
fn backends(
    at: &Path<'_>,
    written: &[Option<Written>],
    has_judge: bool,
    report: &mut Report,
) -> Vec<Backend> {
    let mut addresses = HashSet::new();
    let mut backends = Vec::new();
    for (index, written) in written.iter().enumerate() {
        let at = at.item(index);
        let Some(backend) = written.as_ref().and_then(|written| backend(&at, written, has_judge, report))
        else {
            continue;
        };
        if addresses.insert(backend.address.clone()) {
            backends.push(backend);
        } else {
            let problem = Problem::error(at.field("host").pointer(), "this backend is in the list already");
            report.add(problem.hint("give it a `weight` for a larger share of the requests"));
        }
    }
    backends
}

fn backend(at: &Path<'_>, written: &Written, has_judge: bool, report: &mut Report) -> Option<Backend> {
    if has_judge && written.max_failure.is_some() {
        let problem =
            Problem::error(at.field("max_failure").pointer(), "`max_failure` beside `outlier_detection`");
        report.add(problem.part(Part::Name).hint("`consecutive_gateway_failures` of that takes its place"));
    }
    let text = written.host.as_ref()?;
    let at = at.field("host");
    Some(Backend {
        host: report.as_written(at, text).to_owned(),
        address: address(&at, text, report)?,
        max_failure: (!has_judge).then(|| written.max_failure.unwrap_or(MAX_FAILURE)),
        weight: written.weight.unwrap_or(WEIGHT),
        priority: written.priority.unwrap_or_default(),
        zone: written.zone.clone(),
    })
}

fn address(at: &Path<'_>, text: &str, report: &mut Report) -> Option<Address> {
    let error = match text.parse() {
        Ok(address) => return Some(address),
        Err(error) => error,
    };
    report.unexpected_with(
        at,
        "expected a host and a port such as `127.0.0.1:8081`",
        text,
        hint(text, error),
    );
    None
}

/// What to write instead.
fn hint(text: &str, error: HostPortError) -> Option<String> {
    if text.starts_with("https://") {
        return Some("write host and port, and give `tls` to an upstream with this backend".to_owned());
    }
    if let Some((authority, _)) =
        text.strip_prefix("http://").map(|rest| rest.split_once('/').unwrap_or((rest, "")))
    {
        let with_port = format!("{authority}:80");
        let written = [authority, &with_port].into_iter().find(|text| text.parse::<HostPort>().is_ok());
        return written.map(|text| format!("a backend has neither scheme nor path: write {}", quote(text)));
    }
    if text.starts_with(SERVICE) {
        return Some(format!("a service is a name: `{SERVICE}_http._tcp.game.internal`"));
    }
    match error {
        HostPortError::NoPort | HostPortError::BadPort | HostPortError::BadHost if text.contains('/') => {
            Some("a backend has no path: requests keep theirs".to_owned())
        }
        _ if text.parse::<Ipv6Addr>().is_ok() => {
            Some(format!("an IPv6 address stands in brackets: `[{text}]:80`"))
        }
        HostPortError::NoPort => Some(format!("add a port: {}", quote(&format!("{text}:80")))),
        HostPortError::BadPort => Some("a port is a number from 1 to 65535".to_owned()),
        HostPortError::BadPath => Some("the path of a socket is absolute: `unix:/run/app.sock`".to_owned()),
        HostPortError::BadHost => {
            Some("a host is an IP address or a name of letters, digits, `-` and `.`".to_owned())
        }
    }
}
