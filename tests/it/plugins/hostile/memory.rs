//! How much memory this process has, which is the gateway's, and that of every test that runs at the same time.

use std::fs;

/// By how many bytes it may be more after a guest than before: what two workers' warm instances of all guests hold, and
/// what other tests take.
pub const BOUND: u64 = 256 << 20;

/// Bytes.
pub fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() << 10
}
