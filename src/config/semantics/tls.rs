//! The certificate of the original's `ssl`. It is checked as far as a mistyped path goes; no listener serves it yet.

use std::path::Path as FilePath;

use super::Environment;
use super::written::Document;
use crate::config::diagnostic::Problem;
use crate::config::file;
use crate::config::path::Path;
use crate::config::report::Report;

pub(super) fn check(document: &Document, environment: &Environment<'_>, report: &mut Report) {
    let Some(ssl) = &document.ssl else { return };
    let at = Path::ROOT.field("ssl");
    let mut pem = |field, name: &Option<String>, content| {
        if let Some(name) = name {
            check_pem(&at.field(field), name, content, environment.directory, report);
        }
    };
    pem("ssl_certificate", &ssl.ssl_certificate, "CERTIFICATE");
    pem("ssl_certificate_key", &ssl.ssl_certificate_key, "PRIVATE KEY");
    report.add(Problem::warning("/ssl", "TLS is not served by this version: `root` speaks cleartext HTTP"));
}

/// Looks for a block in a PEM file (RFC 7468). `content` is the end of its label: a key may be an `RSA PRIVATE KEY`.
fn check_pem(at: &Path<'_>, name: &str, content: &str, directory: &FilePath, report: &mut Report) {
    let path = directory.join(name);
    let shown = report.quote(at, &path.display().to_string());
    match file::read(&path) {
        Err(error) => report.error(at, format!("cannot read {shown}: {error}")),
        Ok(text) if !has_block(&text, content) => {
            report.error(at, format!("expected a PEM file with a `{content}`, found none in {shown}"));
        }
        Ok(_) => {}
    }
}

fn has_block(text: &str, content: &str) -> bool {
    let is_edge = |line: &str, edge: &str| {
        line.starts_with(edge) && line.trim_end().ends_with(&format!("{content}-----"))
    };
    let mut lines = text.lines();
    lines.any(|line| is_edge(line, "-----BEGIN ")) && lines.any(|line| is_edge(line, "-----END "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_blocks() {
        let check = |text: &str, content: &str, expected: bool| {
            assert_eq!(has_block(text, content), expected, "{text}")
        };
        let certificate = "# mine\n-----BEGIN CERTIFICATE-----\r\nMIIB\r\n-----END CERTIFICATE-----\r\n";
        check(certificate, "CERTIFICATE", true);
        check(certificate, "PRIVATE KEY", false);
        check("-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----", "PRIVATE KEY", true);
        check("-----BEGIN CERTIFICATE-----\nMIIB\n", "CERTIFICATE", false);
        check("", "CERTIFICATE", false);
    }
}
