//! How listeners speak TLS. The files are read when the document is built.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::written::{self, ClientMode};
use super::{Environment, amounts};
use crate::config::checked::{Certificate, ClientCertificates, HttpsRedirect, Tls, TlsProfile};
use crate::config::path::Path;
use crate::config::report::Report;

const HOUR: u64 = 60 * 60;
const MAX_AGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(87_600 * HOUR);
const YEAR: Duration = Duration::from_secs(8760 * HOUR);

/// The certificate of the original's `ssl`. None where a part of it is missing, which was reported.
pub(super) fn ssl(ssl: &written::Ssl, environment: &Environment<'_>) -> Option<Tls> {
    let at = Path::ROOT.field("ssl");
    let file = |field, name: &Option<String>| file(&at, field, name.as_ref(), environment);
    let certificate = Certificate {
        chain: file("ssl_certificate", &ssl.ssl_certificate)?,
        key: file("ssl_certificate_key", &ssl.ssl_certificate_key)?,
        ocsp: None,
    };
    Some(Tls { certificates: vec![certificate], profile: TlsProfile::default(), clients: None, hsts: None })
}

/// The field `tls` of a listener.
pub(super) fn tls(
    at: &Path<'_>,
    tls: &written::Tls,
    environment: &Environment<'_>,
    report: &mut Report,
) -> Tls {
    let list = at.field("certificates");
    let written = tls.certificates.iter().flatten().enumerate();
    let certificates = written.filter_map(|(index, written)| {
        let (at, written) = (list.item(index), written.as_ref()?);
        Some(Certificate {
            chain: file(&at, "certificate", written.certificate.as_ref(), environment)?,
            key: file(&at, "key", written.key.as_ref(), environment)?,
            ocsp: file(&at, "ocsp", written.ocsp.as_ref(), environment),
        })
    });
    Tls {
        certificates: certificates.collect(),
        profile: tls.profile.unwrap_or_default(),
        clients: tls.client_certificates.as_ref().and_then(|clients| {
            Some(ClientCertificates {
                ca: file(&at.field("client_certificates"), "ca", clients.ca.as_ref(), environment)?,
                is_required: clients.mode.is_none_or(|mode| mode == ClientMode::Required),
                forward: clients.forward.unwrap_or(false),
            })
        }),
        hsts: tls.hsts.as_ref().and_then(|hsts| hsts_value(&at.field("hsts"), hsts, report)),
    }
}

/// The field `https_redirect` of a listener. Its values were held to the schema.
pub(super) fn https_redirect(written: &written::HttpsRedirect) -> HttpsRedirect {
    let status = written.status.and_then(|status| StatusCode::from_u16(status).ok());
    HttpsRedirect {
        port: written.port.unwrap_or(443),
        status: status.unwrap_or(StatusCode::PERMANENT_REDIRECT),
    }
}

fn file(
    at: &Path<'_>,
    field: &str,
    name: Option<&String>,
    environment: &Environment<'_>,
) -> Option<(PathBuf, String)> {
    Some((environment.directory.join(name?), at.field(field).pointer()))
}

fn hsts_value(at: &Path<'_>, written: &written::Hsts, report: &mut Report) -> Option<HeaderValue> {
    let max_age = amounts::duration(&at.field("max_age"), written.max_age.as_ref(), MAX_AGE, report);
    let mut value = format!("max-age={}", max_age.unwrap_or(YEAR).as_secs());
    if written.include_subdomains.unwrap_or(false) {
        value.push_str("; includeSubDomains");
    }
    if written.preload.unwrap_or(false) {
        value.push_str("; preload");
    }
    HeaderValue::from_str(&value).ok()
}
