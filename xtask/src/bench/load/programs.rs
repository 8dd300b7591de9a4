//! Load from the generators that people use: wrk for HTTP/1.1, h2load for HTTP/2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::{Load, Served};
use crate::bench::{grpc, policies};
use crate::process::terminate;
use crate::toolchain::on_path;
use crate::workspace::output_of;

const CONNECTIONS: &str = "64";
const H2_CONNECTIONS: &str = "8";
const H2_STREAMS: &str = "8";
const H2_MANY_STREAMS: &str = "100";
/// What both generators are told to offer, beside X25519 which they offer first: all proxies do the same cryptography.
const CIPHER_SUITE: &str = "TLS_AES_128_GCM_SHA256";

/// One of the programs, and what it asks for.
pub struct Program {
    load: Load,
    port: u16,
    path: String,
    /// For what it reads and writes.
    dir: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Wrk,
    H2load,
}

/// Which program makes a load, if one does.
fn kind(load: Load) -> Option<Kind> {
    match load {
        Load::Http1 | Load::Http1Close | Load::Http1Bearer | Load::Tls => Some(Kind::Wrk),
        Load::Http2 | Load::Http2Tls | Load::Grpc => Some(Kind::H2load),
        Load::Own(_) => None,
    }
}

/// Why the program for a load cannot be run here, if there is one and it cannot.
pub fn missing(load: Load) -> Option<String> {
    let (program, package) = match kind(load)? {
        Kind::Wrk => ("wrk", "wrk"),
        Kind::H2load => ("h2load", "nghttp2-client"),
    };
    on_path(program).is_none().then(|| format!("needs {program} (Debian: {package})"))
}

impl Program {
    pub fn new(load: Load, port: u16, path: &str, dir: &Path) -> Result<Self> {
        let program = Self { load, port, path: path.to_owned(), dir: dir.to_owned() };
        fs::write(program.message(), grpc::MESSAGE)?;
        fs::write(program.openssl(), openssl_configuration())?;
        Ok(program)
    }

    /// Load whose outcome does not matter, to fill pools and caches.
    pub fn warm_up(&self, duration: Duration) -> Result<()> {
        let mut command = self.command(duration + Duration::from_secs(1));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        thread::sleep(duration);
        terminate(&child);
        child.wait()?;
        Ok(())
    }

    /// Load over whole seconds. A response that is no success, or a connection that breaks, is an error.
    pub fn run(&self, duration: Duration) -> Result<Served> {
        let said = output_of(&mut self.command(duration))?;
        match kind(self.load) {
            Some(Kind::H2load) => served_by_h2load(&said, &fs::read_to_string(self.log())?),
            _ => served_by_wrk(&said),
        }
        .with_context(|| format!("the load on {} did not go well; the generator said:\n{said}", self.url()))
    }

    fn url(&self) -> String {
        let scheme = match self.load {
            Load::Tls | Load::Http2Tls => "https",
            _ => "http",
        };
        format!("{scheme}://127.0.0.1:{}{}", self.port, self.path)
    }

    fn command(&self, duration: Duration) -> Command {
        let seconds = duration.as_secs().max(1);
        match self.load {
            Load::Http1Close => self.wrk(seconds, Some("Connection: close")),
            Load::Http1Bearer => {
                self.wrk(seconds, Some(&format!("Authorization: Bearer {}", policies::TOKEN.trim())))
            }
            Load::Http2 => self.h2load(seconds, H2_STREAMS),
            Load::Http2Tls => self.h2load(seconds, H2_MANY_STREAMS),
            Load::Grpc => {
                let mut command = self.h2load(seconds, H2_STREAMS);
                command.arg("-d").arg(self.message());
                command.args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
                command
            }
            _ => self.wrk(seconds, None),
        }
    }

    fn wrk(&self, seconds: u64, header: Option<&str>) -> Command {
        let mut command = Command::new("wrk");
        command.env("OPENSSL_CONF", self.openssl());
        command.args(["-t", "1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), "--latency"]);
        if let Some(header) = header {
            command.args(["-H", header]);
        }
        command.arg(self.url());
        command
    }

    fn h2load(&self, seconds: u64, streams: &str) -> Command {
        // It appends to a log that it finds.
        let _ = fs::remove_file(self.log());
        let mut command = Command::new("h2load");
        command.args(["-t", "1", "-c", H2_CONNECTIONS, "-m", streams, "-D", &seconds.to_string()]);
        command.args(["--tls13-ciphers", CIPHER_SUITE]);
        command.arg("--log-file").arg(self.log()).arg(self.url());
        command
    }

    fn log(&self) -> PathBuf {
        self.dir.join("h2load.tsv")
    }

    fn message(&self) -> PathBuf {
        self.dir.join("message.grpc")
    }

    fn openssl(&self) -> PathBuf {
        self.dir.join("openssl.cnf")
    }
}

/// wrk has no option for it, the library that it uses has.
fn openssl_configuration() -> String {
    format!(
        "openssl_conf = bench\n[bench]\nssl_conf = ssl\n[ssl]\nsystem_default = offer\n\
         [offer]\nCiphersuites = {CIPHER_SUITE}\n"
    )
}

fn served_by_wrk(said: &str) -> Result<Served> {
    for trouble in ["Socket errors:", "Non-2xx or 3xx responses:"] {
        ensure!(!said.contains(trouble), "there were errors");
    }
    let requests = word_before(said, " requests in ").context("no number of requests")?.parse()?;
    let per_second = word_after(said, "Requests/sec:").context("no requests per second")?.parse()?;
    let p99 = said.lines().find_map(|line| line.trim_start().strip_prefix("99%"));
    let p99 = p99.and_then(|time| duration_of(time.trim())).context("no 99th percentile")?;
    ensure!(requests > 0, "no request was answered");
    Ok(Served { requests, per_second, p99 })
}

/// The log has a line for each response: when it began, its status, and the microseconds that it took.
fn served_by_h2load(said: &str, log: &str) -> Result<Served> {
    let count = |name: &str| -> Result<u64> { Ok(word_before(said, name).context("no counts")?.parse()?) };
    for trouble in [" failed", " errored", " timeout", " 3xx", " 4xx", " 5xx"] {
        ensure!(count(trouble)? == 0, "there were errors");
    }
    let requests = count(" succeeded")?;
    let per_second = word_before(said, " req/s").context("no requests per second")?.parse()?;
    let mut times: Vec<u64> = log.lines().filter_map(|line| line.split('\t').nth(2)?.parse().ok()).collect();
    times.sort_unstable();
    let Some(&p99) = times.get(times.len() * 99 / 100) else { bail!("no request was answered") };
    Ok(Served { requests, per_second, p99: Duration::from_micros(p99) })
}

fn word_before<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    text.split_once(marker)?.0.split_whitespace().next_back()
}

fn word_after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    text.split_once(marker)?.1.split_whitespace().next()
}

/// Reads wrk's notation: `812.00us`, `1.05ms`, `2.10s`.
fn duration_of(text: &str) -> Option<Duration> {
    let number = text.trim_end_matches(|letter: char| letter.is_alphabetic());
    let seconds = match &text[number.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(number.parse::<f64>().ok()? * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRK: &str = "\
        Running 1s test @ http://127.0.0.1:8080/\n  1 threads and 64 connections\n\
        Latency   777.34us  146.55us   2.75ms   76.99%\n  Latency Distribution\n     50%    1.00ms\n     99%  812.50us\n\
        52345 requests in 1.00s, 10.00MB read\n{}Requests/sec:  52300.25\nTransfer/sec:     10.00MB\n";

    #[test]
    fn reads_what_wrk_says() {
        let served = served_by_wrk(&WRK.replace("{}", "")).unwrap();
        assert_eq!((served.requests, served.p99), (52345, Duration::from_nanos(812_500)));
        assert!((served.per_second - 52300.25).abs() < 0.01);
    }

    #[test]
    fn takes_no_figures_from_a_load_with_errors() {
        for trouble in
            ["Socket errors: connect 0, read 1, write 0, timeout 0\n", "Non-2xx or 3xx responses: 1\n"]
        {
            assert!(served_by_wrk(&WRK.replace("{}", trouble)).is_err());
        }
    }

    const H2LOAD: &str = "finished in 1.00s, 3.00 req/s, 10.00KB/s\n\
        requests: 3 total, 3 started, 3 done, 3 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 3 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn reads_what_h2load_says() {
        let served = served_by_h2load(H2LOAD, "1\t200\t30\n2\t200\t10\n3\t200\t20\n").unwrap();
        assert_eq!((served.requests, served.p99), (3, Duration::from_micros(30)));
        assert!(served_by_h2load(&H2LOAD.replace("0 4xx", "1 4xx"), "1\t200\t30\n").is_err());
    }
}
