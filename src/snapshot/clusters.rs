//! Clusters, from checked to live: the files of their TLS are read here.

use std::sync::Arc;

use super::{balancing, files};
use crate::config::{self, Checked, Problem, Secrets};
use crate::proxy::Snapshot;
use crate::upstream::connect::tls::{Fault, Identity, Part, Tls, TlsSpec, Trust};
use crate::upstream::connect::{Dial, Protocol, SentHost};
use crate::upstream::{Cluster, ClusterSpec, DnsSpec, MemberSpec, Resolver};

/// What the clusters of a document are made of. Those with a problem are missing.
pub(super) fn live(
    checked: &Checked,
    previous: Option<&Snapshot>,
    problems: &mut Vec<Problem>,
) -> Vec<ClusterSpec> {
    let config::Dns { servers, timeout } = checked.dns.clone();
    let wanted = Resolver::new(DnsSpec { servers, timeout });
    let running = previous.into_iter().flat_map(|previous| &previous.clusters);
    let same = running.filter_map(|cluster| cluster.spec().resolver.as_ref()).find(|same| ***same == wanted);
    let resolver = same.map_or_else(|| Arc::new(wanted), Arc::clone);
    let specs = checked.upstreams.iter().filter_map(|upstream| {
        let running = previous.and_then(|previous| previous.cluster(&upstream.name));
        let running = running.and_then(|cluster| cluster.dial().tls.as_ref());
        let dial = dial(&upstream.dial, running, &checked.secrets, problems)?;
        Some(spec(upstream, dial, &resolver))
    });
    specs.collect()
}

/// Makes one. What `previous` has and the document did not change is taken over as it is.
pub(super) fn build(spec: ClusterSpec, previous: Option<&Snapshot>) -> Arc<Cluster> {
    let running = previous.and_then(|previous| previous.cluster(&spec.name));
    Cluster::build(spec, running)
}

fn spec(upstream: &config::Upstream, dial: Dial, resolver: &Arc<Resolver>) -> ClusterSpec {
    let balancing = &upstream.balancing;
    let members = upstream.endpoints.iter().map(|backend| MemberSpec {
        host: backend.host.clone(),
        address: backend.address.clone(),
        max_failure: backend.max_failure,
        weight: backend.weight,
        priority: backend.priority,
        zone: backend.zone.clone(),
    });
    let has_names = upstream.endpoints.iter().any(|backend| backend.address.name().is_some());
    ClusterSpec {
        name: upstream.name.clone(),
        balancing: balancing::live(balancing),
        hash_key: balancing::hash_key(&balancing.hash_key),
        probe: Arc::new(balancing::probe(upstream)),
        health_check: balancing.health_check.as_ref().map(balancing::health_check),
        outlier_detection: balancing.outlier_detection.as_ref().map(balancing::outlier_detection),
        limits: balancing::limits(balancing.limits),
        resolver: has_names.then(|| Arc::clone(resolver)),
        dial: Arc::new(dial),
        members: members.collect(),
    }
}

fn dial(
    dial: &config::Dial,
    running: Option<&Arc<Tls>>,
    secrets: &Secrets,
    problems: &mut Vec<Problem>,
) -> Option<Dial> {
    let protocol = match dial.protocol {
        config::UpstreamProtocol::Auto => Protocol::Auto,
        config::UpstreamProtocol::H1 => Protocol::H1,
        config::UpstreamProtocol::H2 => Protocol::H2,
        config::UpstreamProtocol::H2c => Protocol::H2c,
        config::UpstreamProtocol::H3 => Protocol::H3,
    };
    let tls = match &dial.tls {
        None => None,
        Some(checked) => {
            let spec = tls_spec(checked, protocol, secrets, problems)?;
            let built = Tls::build(spec, running);
            Some(built.map_err(|fault| problems.push(problem(checked, &fault, secrets))).ok()?)
        }
    };
    let host = match &dial.host {
        config::SentHost::Client => SentHost::Client,
        config::SentHost::Backend => SentHost::Backend,
        config::SentHost::Fixed(host) => SentHost::Fixed(host.clone()),
    };
    Some(Dial {
        protocol,
        tls,
        sends_proxy_header: dial.sends_proxy_header,
        host,
        streams: dial.streams as usize,
        ping: dial.ping,
        most_age: dial.connection_age,
    })
}

fn tls_spec(
    checked: &config::UpstreamTls,
    protocol: Protocol,
    secrets: &Secrets,
    problems: &mut Vec<Problem>,
) -> Option<TlsSpec> {
    let mut read = |file| files::read(file, secrets, problems);
    let trust = match &checked.trust {
        config::Trust::System => Some(Trust::System),
        config::Trust::Anybody => Some(Trust::Anybody),
        config::Trust::Authorities(file) => read(file).map(Trust::Authorities),
    };
    let identity = match &checked.identity {
        None => None,
        // Both are read, so that all problems are told of.
        Some((chain, key)) => {
            let (chain, key) = (read(chain), read(key));
            Some(Identity { chain: chain?, key: key? })
        }
    };
    Some(TlsSpec { server_name: checked.server_name.clone(), trust: trust?, identity, protocol })
}

fn problem(checked: &config::UpstreamTls, fault: &Fault, secrets: &Secrets) -> Problem {
    let authorities = match &checked.trust {
        config::Trust::Authorities(file) => Some(file),
        config::Trust::System | config::Trust::Anybody => None,
    };
    let file = match fault.part {
        Part::Authorities => authorities,
        Part::Chain => checked.identity.as_ref().map(|(chain, _)| chain),
        Part::Key => checked.identity.as_ref().map(|(_, key)| key),
    };
    match file {
        Some((path, pointer)) => {
            let message = format!("{}: {}", path.display(), fault.message);
            Problem::error(pointer, secrets.redact(&message))
        }
        None => Problem::error("/upstreams", format!("no TLS to backends: {}", fault.message)),
    }
}
