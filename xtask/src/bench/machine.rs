//! The machine that is measured on: its cores, and what the report says about it.

use std::fs;
use std::process::{self, Command};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::workspace::output_of;

/// Enough for the idle case: a connection in and perhaps one out for each client.
const OPEN_FILES: u64 = 20_000;

pub struct Machine {
    /// Where the proxies run, one at a time.
    pub proxy_core: usize,
    /// Where the backend and the load generator run.
    pub load_core: usize,
}

impl Machine {
    /// Chooses from the cores that this process may use.
    pub fn of_this_process() -> Result<Self> {
        let status =
            fs::read_to_string("/proc/self/status").context("cannot read the cores of this process")?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("0");
        let allowed = cores_of(list);
        let proxy_core = *allowed.first().context("this process may use no core")?;
        let load_core = *allowed.get(1).unwrap_or(&proxy_core);
        if proxy_core == load_core {
            eprintln!("warning: there is one core: proxies, backend and load generator share it");
        }
        Ok(Self { proxy_core, load_core })
    }

    /// Moves this thread, and all that it starts from now on, to the load generator's core.
    pub fn move_to_load_core(&self) -> Result<()> {
        let mut taskset = Command::new("taskset");
        taskset.args(["-cp", &self.load_core.to_string(), &process::id().to_string()]);
        output_of(&mut taskset).map(drop).context("cannot pin to a core (Debian: util-linux)")
    }
}

/// One line for the report: what, how many, which kernel, when, and how busy it was with other things.
pub fn description() -> String {
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let count = processors.lines().filter(|line| line.starts_with("processor")).count();
    let (kernel, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    let busy = load.split(' ').next().unwrap_or("unknown");
    let date = httpdate::fmt_http_date(SystemTime::now());
    format!("{count} x {model}, Linux {}, {date}, load average before {busy}", kernel.trim())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Raises the limit on open files, for this process and those that it starts, as far as the system lets it.
pub fn allow_many_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: limit.maximum })
        .context("cannot raise the limit on open files")
}

/// Whether as many connections can be open at once; a proxy may need two files for each.
pub fn ensure_open_files(connections: u32) -> Result<()> {
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = 2 * u64::from(connections) + 500;
    ensure!(
        needed <= allowed,
        "{connections} connections need {needed} open files, and {allowed} are allowed: `ulimit -n`"
    );
    Ok(())
}

/// Reads the kernel's notation, `0-2,5`.
fn cores_of(list: &str) -> Vec<usize> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_list_of_cores() {
        assert_eq!(cores_of("\t0-1\n"), [0, 1]);
        assert_eq!(cores_of("3"), [3]);
        assert_eq!(cores_of("0-2,5,8-9"), [0, 1, 2, 5, 8, 9]);
        assert_eq!(cores_of(""), [0; 0]);
    }
}
