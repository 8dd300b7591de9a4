//! Addresses of backends by DNS, for as long as they are good.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{Resolver as Hickory, TokioResolver};
use tokio::sync::{Notify, OnceCell};
use tokio::time::sleep;
use tracing::{info, warn};

use super::Cluster;
use super::roster::Answer;
use crate::base::address::{Address, Host, HostPort};
use crate::base::backoff::Backoff;

/// Answers are good for no less: some say that theirs are good for nothing.
const SHORTEST: Duration = Duration::from_secs(1);
/// And looked at again after so long, whatever they say.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// How long to wait after a failure.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSpec {
    /// In this order. None are those of the system (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
    /// How long one may take for an answer.
    pub timeout: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Resolver {
    spec: DnsSpec,
    /// Made by its first question, for it needs a runtime.
    inner: OnceCell<TokioResolver>,
}

impl PartialEq for Resolver {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

/// Answers, and until when they are good.
type Found = (Vec<Answer>, Instant);

impl Resolver {
    /// One that has not asked anybody yet.
    pub fn new(spec: DnsSpec) -> Self {
        Self { spec, inner: OnceCell::new() }
    }

    async fn hickory(&self) -> Result<&TokioResolver, NetError> {
        self.inner.get_or_try_init(|| async { self.build() }).await
    }

    fn build(&self) -> Result<TokioResolver, NetError> {
        let mut builder = match &self.spec.servers[..] {
            [] => Hickory::builder_tokio()?,
            servers => {
                let servers = servers.iter().map(|server| {
                    let mut config = NameServerConfig::udp_and_tcp(server.ip());
                    config.connections.iter_mut().for_each(|connection| connection.port = server.port());
                    config
                });
                let config = ResolverConfig::from_name_servers(servers.collect());
                Hickory::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options: &mut ResolverOpts = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = self.spec.timeout;
        builder.build()
    }

    async fn resolve(&self, address: &Address) -> Result<Found, NetError> {
        let hickory = self.hickory().await?;
        match address {
            Address::Tcp(HostPort { host: Host::Name(name), port }) => {
                addresses(hickory, name, *port, (0, 0)).await
            }
            Address::Service(name) => services(hickory, name).await,
            Address::Tcp(_) | Address::Unix(_) => Ok((Vec::new(), Instant::now() + LONGEST)),
        }
    }
}

/// All addresses of a name, for a port of its.
async fn addresses(
    hickory: &TokioResolver,
    name: &str,
    port: u16,
    (priority, weight): (u16, u16),
) -> Result<Found, NetError> {
    let found = hickory.lookup_ip(name).await?;
    let answers = found.iter().map(|ip| Answer { priority, weight, name: name.to_owned(), port, ip });
    Ok((answers.collect(), found.valid_until()))
}

/// All addresses of all servers of a service. One whose name has none is left out, as long as others have.
async fn services(hickory: &TokioResolver, name: &str) -> Result<Found, NetError> {
    let found = hickory.srv_lookup(name).await?;
    let (mut answers, mut until, mut last) = (Vec::new(), found.valid_until(), None);
    for record in found.answers() {
        let RData::SRV(server) = &record.data else { continue };
        let target = server.target.to_ascii();
        let target = target.strip_suffix('.').unwrap_or(&target);
        // "." says that there is no such service here.
        if target.is_empty() || server.port == 0 {
            continue;
        }
        match addresses(hickory, target, server.port, (server.priority, server.weight)).await {
            Ok((more, good_until)) => {
                answers.extend(more);
                until = until.min(good_until);
            }
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) if answers.is_empty() => Err(error),
        _ => Ok((answers, until)),
    }
}

/// Resolves the name of a cluster's member again and again, for as long as there is the cluster. What fails leaves things
/// as they are: an old address may be good still, and none is certainly not.
pub(super) async fn keep_resolving(
    cluster: Weak<Cluster>,
    resolver: Arc<Resolver>,
    host: String,
    address: Address,
    changed: Arc<Notify>,
) {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut is_failing = false;
    loop {
        let resolved = resolver.resolve(&address).await;
        let Some(cluster) = cluster.upgrade() else { return };
        let upstream = cluster.name();
        let wait = match resolved {
            Ok((answers, until)) if !answers.is_empty() => {
                let count = answers.len();
                if cluster.answer(&host, answers) || is_failing {
                    info!(upstream, backend = host, addresses = count, "backend resolved");
                    changed.notify_one();
                }
                is_failing = false;
                backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
                until.saturating_duration_since(Instant::now()).clamp(SHORTEST, LONGEST)
            }
            failed => {
                if !std::mem::replace(&mut is_failing, true) {
                    let cause =
                        failed.err().map_or_else(|| "no addresses".to_owned(), |error| error.to_string());
                    warn!(upstream, backend = host, cause, "backend does not resolve: what was known stays");
                }
                backoff.advance()
            }
        };
        drop(cluster);
        sleep(wait).await;
    }
}
