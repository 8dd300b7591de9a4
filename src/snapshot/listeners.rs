//! Listeners, from checked to live: their certificates are read here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use super::files;
use crate::base::files::FileContent;
use crate::config::{self, Checked, Problem, Secrets};
use crate::listener::ListenerSpec;
use crate::listener::tls::{CertificateFiles, ClientAuthority, Fault, Part, Profile, Tls, TlsSpec};
use crate::message::Entrance;
use crate::message::client::HttpsRedirect;
use crate::message::exchange::field_value;
use crate::protocol::Protocols;
use crate::proxy::Certificate;

/// The listeners of a document. What `previous` has and the document did not change is taken over as it is.
pub(super) fn live(
    checked: &Checked,
    previous: &[ListenerSpec],
    problems: &mut Vec<Problem>,
) -> Vec<ListenerSpec> {
    let now = now();
    let mut rules = checked.routes.iter().flat_map(|route| &route.rules);
    let takes_early_data = rules.any(|rule| rule.takes_early_data);
    let live = checked.listeners.iter().filter_map(|listener| {
        let tls = match &listener.tls {
            None => None,
            Some(tls) => {
                let running = previous.iter().find(|spec| *spec.entrance.listener == *listener.name);
                let builder = Builder { checked: tls, secrets: &checked.secrets, takes_early_data, problems };
                let running = running.and_then(|spec| spec.tls.as_ref());
                Some(builder.build(protocols(listener), running, now)?)
            }
        };
        Some(ListenerSpec {
            address: listener.address.clone(),
            protocols: protocols(listener),
            entrance: Arc::new(entrance(listener)),
            tls,
            proxies: listener.proxies.as_ref().map(|proxies| proxies.as_slice().into()),
        })
    });
    live.collect()
}

/// The TLS of the admin address; what did not change is `running` itself.
pub(super) fn admin(
    checked: &Checked,
    running: Option<&Arc<Tls>>,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Tls>> {
    let tls = checked.admin.tls.as_ref()?;
    let builder = Builder { checked: tls, secrets: &checked.secrets, takes_early_data: false, problems };
    builder.build(Protocols { h1: true, h2: false, h3: false }, running, now())
}

/// The wall clock, by which certificates are valid, in seconds since the epoch.
fn now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "certificates are valid by the wall clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// The certificates that they show.
pub(super) fn certificates(listeners: &[ListenerSpec]) -> Vec<Certificate> {
    let shown = listeners.iter().flat_map(|listener| {
        let certificates = listener.tls.iter().flat_map(|tls| tls.certificates());
        certificates.map(|shown| Certificate {
            listener: Arc::clone(listener.name()),
            names: Arc::clone(&shown.names),
            not_after: shown.not_after,
        })
    });
    shown.collect()
}

fn protocols(listener: &config::Listener) -> Protocols {
    Protocols { h1: listener.protocols.h1, h2: listener.protocols.h2, h3: listener.protocols.h3 }
}

/// Where HTTP/3 is spoken (RFC 7838). A port that is not known yet cannot be told.
fn alternative(listener: &config::Listener) -> Option<HeaderValue> {
    let address = listener.address.tcp().filter(|address| listener.protocols.h3 && address.port() != 0)?;
    Some(field_value(format!("h3=\":{}\"; ma=86400", address.port())))
}

fn entrance(listener: &config::Listener) -> Entrance {
    let redirect =
        |redirect: config::HttpsRedirect| HttpsRedirect { port: redirect.port, status: redirect.status };
    let tls = listener.tls.as_ref();
    let clients = tls.and_then(|tls| tls.clients.as_ref());
    Entrance {
        listener: listener.name.as_str().into(),
        https_redirect: listener.https_redirect.map(redirect),
        alt_svc: alternative(listener),
        hsts: tls.and_then(|tls| tls.hsts.clone()),
        forwards_client_certificate: clients.is_some_and(|clients| clients.forward),
    }
}

struct Builder<'a> {
    checked: &'a config::Tls,
    secrets: &'a Secrets,
    /// Whether a rule wants it.
    takes_early_data: bool,
    problems: &'a mut Vec<Problem>,
}

impl Builder<'_> {
    /// None where something is one of the problems.
    fn build(mut self, protocols: Protocols, running: Option<&Arc<Tls>>, now: i64) -> Option<Arc<Tls>> {
        let known = self.problems.len();
        let certificates = self.checked.certificates.iter();
        let certificates: Vec<_> = certificates.filter_map(|files| self.certificate(files)).collect();
        let clients = self.checked.clients.as_ref().and_then(|clients| {
            let bundle = self.read(&clients.ca)?;
            Some(ClientAuthority { bundle, is_required: clients.is_required })
        });
        if self.problems.len() > known {
            return None;
        }
        let profile = match self.checked.profile {
            config::TlsProfile::Modern => Profile::Modern,
            config::TlsProfile::Intermediate => Profile::Intermediate,
        };
        let spec =
            TlsSpec { certificates, profile, clients, protocols, takes_early_data: self.takes_early_data };
        let built = Tls::build(spec, running, now);
        built.map_err(|faults| faults.into_iter().for_each(|fault| self.report(fault))).ok()
    }

    fn certificate(&mut self, files: &config::Certificate) -> Option<CertificateFiles> {
        // All of them are read, so that all problems are told of.
        let (chain, key) = (self.read(&files.chain), self.read(&files.key));
        let ocsp = files.ocsp.as_ref().map(|file| self.read(file));
        Some(CertificateFiles { chain: chain?, key: key?, ocsp: ocsp.flatten() })
    }

    fn read(&mut self, file: &(PathBuf, String)) -> Option<FileContent> {
        files::read(file, self.secrets, self.problems)
    }

    fn report(&mut self, fault: Fault) {
        let certificate = fault.certificate.and_then(|index| self.checked.certificates.get(index));
        let clients = self.checked.clients.as_ref();
        let file = match fault.part {
            Part::Chain => certificate.map(|certificate| &certificate.chain),
            Part::Key => certificate.map(|certificate| &certificate.key),
            Part::ClientBundle => clients.map(|clients| &clients.ca),
        };
        let (path, pointer) = file.unwrap_or(&self.checked.certificates[0].chain);
        let message = format!("{}: {}", path.display(), fault.message);
        let problem = Problem::error(pointer, self.secrets.redact(&message));
        self.problems.push(match fault.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
    }
}
