//! What a process and its children have used, by the kernel's own account.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Processor time of a process, its threads, its children and theirs.
///
/// From the scheduler's account in nanoseconds; the times in `/proc/PID/stat` step by hundredths of a second. A thread
/// that ends takes its share along, so this is for what lives as long as the measurement.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for pid in family(pid) {
        for task in tasks(pid) {
            // A thread may end between the listing and this.
            let Ok(account) = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")) else {
                continue;
            };
            let time = account.split(' ').next().and_then(|time| time.parse::<u64>().ok());
            nanoseconds += time.context("cannot understand the kernel's schedstat")?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Resident memory of a process and its children, in bytes. What they share is counted for each.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    family(pid).into_iter().map(resident_of_one).sum()
}

fn resident_of_one(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().context("cannot understand VmRSS")?;
    Ok(kibibytes * 1024)
}

/// A process, its children, and theirs.
fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        family.extend(children(member));
        next += 1;
    }
    family
}

fn children(pid: u32) -> Vec<u32> {
    let lists = tasks(pid)
        .into_iter()
        .filter_map(|task| fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn tasks(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
