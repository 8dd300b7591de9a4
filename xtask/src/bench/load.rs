//! Load from the generators that people use: wrk for HTTP/1.1, h2load for HTTP/2.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::policies;
use super::process::terminate;
use crate::toolchain::on_path;
use crate::workspace::output_of;

const CONNECTIONS: &str = "64";
const H2_CONNECTIONS: &str = "8";
const H2_STREAMS: &str = "8";

/// What is asked for, again and again, by 64 at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// HTTP/1.1 on connections that are kept.
    Http1,
    /// HTTP/1.1 on a new connection for every request.
    Http1Close,
    /// HTTP/1.1 on connections that are kept, every request with the token of the case `policies`.
    Http1Bearer,
    /// Cleartext HTTP/2 by prior knowledge, eight streams on each of eight connections.
    Http2,
}

/// What came of it.
pub struct Served {
    pub requests: u64,
    pub per_second: f64,
    /// The time that 99 of 100 requests stayed below.
    pub p99: Duration,
}

impl Load {
    /// Why this load cannot be made here, if it cannot.
    pub fn missing_generator(self) -> Option<String> {
        let (program, package) = match self {
            Self::Http1 | Self::Http1Close | Self::Http1Bearer => ("wrk", "wrk"),
            Self::Http2 => ("h2load", "nghttp2-client"),
        };
        on_path(program).is_none().then(|| format!("needs {program} (Debian: {package})"))
    }

    /// Load whose outcome does not matter, to fill pools and caches.
    pub fn warm_up(self, url: &str, duration: Duration, dir: &Path) -> Result<()> {
        let mut command = self.command(url, duration + Duration::from_secs(1), dir);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        thread::sleep(duration);
        terminate(&child);
        child.wait()?;
        Ok(())
    }

    /// Load over whole seconds. A response that is no success, or a connection that breaks, is an error.
    pub fn run(self, url: &str, duration: Duration, dir: &Path) -> Result<Served> {
        let said = output_of(&mut self.command(url, duration, dir))?;
        match self {
            Self::Http1 | Self::Http1Close | Self::Http1Bearer => served_by_wrk(&said),
            Self::Http2 => served_by_h2load(&said, &fs::read_to_string(h2load_log(dir))?),
        }
        .with_context(|| format!("the load on {url} did not go well; the generator said:\n{said}"))
    }

    fn command(self, url: &str, duration: Duration, dir: &Path) -> Command {
        let seconds = duration.as_secs().max(1);
        match self {
            Self::Http1 => wrk(url, seconds),
            Self::Http1Close => {
                let mut command = wrk(url, seconds);
                command.args(["-H", "Connection: close"]);
                command
            }
            Self::Http1Bearer => {
                let mut command = wrk(url, seconds);
                command.args(["-H", &format!("Authorization: Bearer {}", policies::TOKEN.trim())]);
                command
            }
            Self::Http2 => h2load(url, seconds, dir),
        }
    }
}

fn wrk(url: &str, seconds: u64) -> Command {
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), "--latency", url]);
    command
}

fn h2load(url: &str, seconds: u64, dir: &Path) -> Command {
    // It appends to a log that it finds.
    let _ = fs::remove_file(h2load_log(dir));
    let mut command = Command::new("h2load");
    command.args(["-t", "1", "-c", H2_CONNECTIONS, "-m", H2_STREAMS, "-D", &seconds.to_string()]);
    command.arg("--log-file").arg(h2load_log(dir)).arg(url);
    command
}

fn h2load_log(dir: &Path) -> std::path::PathBuf {
    dir.join("h2load.tsv")
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
