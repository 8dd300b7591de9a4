//! The case `idle`: what a connection costs that does nothing.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::client::Client;
use super::gateway::Variant;
use super::machine::ensure_open_files;
use super::peers::{Peer, Protocol};
use super::report::{Table, mebibytes};
use super::setup::{Server, Setup};

/// What a proxy does behind the last response is done after this.
const SETTLE: Duration = Duration::from_secs(1);

pub fn run(setup: &Setup) -> Result<Table> {
    ensure_open_files(setup.extent.connections)?;
    let mut table = Table::new(&["proxy", "connections", "memory before", "with them", "bytes each"]);
    // One after another, as each needs the open files of a whole machine.
    table.row(measure(setup, setup.start_gateway("cloud-cup", Variant::Plain)?)?);
    let peers = setup.peers.iter().filter(|installed| matches!(installed.peer, Peer::Nginx | Peer::Haproxy));
    for peer in peers {
        table.row(measure(setup, setup.start_peer(peer, Protocol::Http1)?)?);
    }
    Ok(table)
}

fn measure(setup: &Setup, server: Server) -> Result<Vec<String>> {
    eprintln!("  {}", server.name);
    let count = setup.extent.connections;
    // What the first request brings with it is not a connection's.
    connect(&server, 1)?;
    let before = server.process.resident_bytes()?;
    let mut clients = connect(&server, count)?;
    thread::sleep(SETTLE);
    let after = server.process.resident_bytes()?;
    ensure_open(&server, &mut clients)?;
    let each = (after.saturating_sub(before)) / u64::from(count);
    Ok(vec![
        server.name,
        count.to_string(),
        mebibytes(before as f64),
        mebibytes(after as f64),
        each.to_string(),
    ])
}

/// Opens connections, each with one request.
fn connect(server: &Server, count: u32) -> Result<Vec<Client>> {
    let one = |_| {
        let mut client = Client::connect(server.ports.listener)?;
        let response = client.get("/")?;
        ensure!(response.status == 200, "the answer was {}", response.status);
        Ok(client)
    };
    let clients: Result<_> = (0..count).map(one).collect();
    clients.with_context(|| format!("{} did not serve every connection", server.name))
}

/// A figure for connections that were closed in the meantime would be a fine one. Asks on some of them again.
fn ensure_open(server: &Server, clients: &mut [Client]) -> Result<()> {
    for client in clients.iter_mut().step_by(100) {
        client.get("/").with_context(|| format!("{} closed an idle connection", server.name))?;
    }
    Ok(())
}
