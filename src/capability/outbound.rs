//! Requests to other servers: those of plugins, within what the document grants, and those for key sets.
//!
//! Callers are workers, whose threads must never block. A request therefore runs as a task of the control runtime,
//! where name resolution and TLS may take their time; the caller only waits for it. Nothing is taken from the
//! environment: no proxies, no cookies, and neither redirects nor retries. The addresses that a name resolves to are checked
//! where the connection is made, so that a name that changes its mind (DNS rebinding) gains nothing.

mod address;
mod error;
mod host;
mod message;
mod resolve;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::Resolve;
use reqwest::{Client, Url};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

pub use error::{HttpError, OutboundError};
pub use host::{HostPattern, HostPatternError};
pub use message::{Request, Response};

use crate::base::network::IpNetwork;
use address::is_public;
use error::{Forbidden, classify};
use host::{Host, Target};
use resolve::{Guarded, System};

/// Connections that nobody uses are closed after this.
const IDLE: Duration = Duration::from_secs(60);
/// Header fields of a response.
const MOST_HEADERS: usize = 128;

/// What a plugin may reach, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The hosts that may be named.
    pub hosts: Vec<HostPattern>,
    /// Private addresses (loopback and all that is not on the public Internet) that may be reached nevertheless. A host
    /// that is an address needs to be in both lists.
    pub private: Vec<IpNetwork>,
    /// The longest that a request may take, to the last byte of the response.
    pub timeout: Duration,
    /// The largest body of a response, in bytes.
    pub response_size: usize,
    /// Requests under way at one time.
    pub concurrency: usize,
}

/// Sends requests over connections of its own, which it keeps.
#[derive(Debug)]
pub struct Outbound {
    client: Client,
    handle: Handle,
    places: Arc<Semaphore>,
    limits: Limits,
    /// None: any host and any address, since the document's author wrote the URL.
    grant: Option<Reach>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    timeout: Duration,
    response_size: usize,
}

#[derive(Debug)]
struct Reach {
    hosts: Vec<HostPattern>,
    private: Arc<[IpNetwork]>,
}

impl Outbound {
    /// For a plugin. Requests run on the runtime of `handle`.
    ///
    /// # Errors
    ///
    /// The TLS library could not be set up: no trusted certificates on this machine, for one.
    pub fn new(grant: Grant, handle: Handle) -> Result<Self, OutboundError> {
        Self::with_resolver(grant, handle, Arc::new(System))
    }

    /// For URLs of the document itself: reaches private addresses too.
    ///
    /// # Errors
    ///
    /// As for [`Outbound::new`].
    pub fn unrestricted(
        handle: Handle,
        timeout: Duration,
        response_size: usize,
        concurrency: usize,
    ) -> Result<Self, OutboundError> {
        let limits = Limits { timeout, response_size };
        Self::build(None, limits, concurrency, handle, Arc::new(System))
    }

    fn with_resolver(grant: Grant, handle: Handle, names: Arc<dyn Resolve>) -> Result<Self, OutboundError> {
        let limits = Limits { timeout: grant.timeout, response_size: grant.response_size };
        let private: Arc<[IpNetwork]> = grant.private.into();
        let names = Arc::new(Guarded { names, private: private.clone() });
        let reach = Reach { hosts: grant.hosts, private };
        Self::build(Some(reach), limits, grant.concurrency, handle, names)
    }

    fn build(
        grant: Option<Reach>,
        limits: Limits,
        concurrency: usize,
        handle: Handle,
        names: Arc<dyn Resolve>,
    ) -> Result<Self, OutboundError> {
        let places = concurrency.min(Semaphore::MAX_PERMITS);
        let client = Client::builder()
            .dns_resolver(names)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .pool_max_idle_per_host(places)
            .pool_idle_timeout(IDLE)
            .http1_max_headers(MOST_HEADERS)
            .http2_max_header_list_size(message::MOST_HEADER_BYTES as u32)
            .build()?;
        Ok(Self { client, handle, places: Arc::new(Semaphore::new(places)), limits, grant })
    }

    /// Sends a request and waits for the whole response. Dropping the future ends the request and closes its
    /// connection where HTTP/1.1 leaves no other way.
    ///
    /// # Errors
    ///
    /// Those of [`HttpError`]. A status such as 500 is a response and no error.
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let timeout = request.timeout.map_or(self.limits.timeout, |asked| asked.min(self.limits.timeout));
        let request = request.check()?;
        self.admit(request.url())?;
        let place = self.places.clone().try_acquire_owned().map_err(|_| HttpError::Busy)?;
        let exchange = exchange(self.client.clone(), request, self.limits.response_size, place);
        let task = self.handle.spawn(async move { tokio::time::timeout(timeout, exchange).await });
        match (Ended { task }).wait().await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(HttpError::Timeout),
            Err(_) => Err(HttpError::Failed("the gateway is stopping".to_owned())),
        }
    }

    /// A host that is a name is checked again when it is resolved.
    fn admit(&self, url: &Url) -> Result<(), HttpError> {
        let target = Target::of(url)?;
        let Some(reach) = &self.grant else { return Ok(()) };
        if !reach.hosts.iter().any(|pattern| pattern.matches(&target)) {
            return Err(HttpError::Denied(format!("`{}` is not granted", target.host)));
        }
        match target.host {
            Host::Address(address) if !is_allowed(address, &reach.private) => {
                Err(HttpError::Denied(Forbidden { host: address.to_string() }.to_string()))
            }
            _ => Ok(()),
        }
    }
}

fn is_allowed(address: std::net::IpAddr, private: &[IpNetwork]) -> bool {
    is_public(address) || private.iter().any(|network| network.contains(address))
}

/// `place` is given back when the exchange ends, however it ends.
async fn exchange(
    client: Client,
    request: reqwest::Request,
    most: usize,
    place: OwnedSemaphorePermit,
) -> Result<Response, HttpError> {
    let response = client.execute(request).await.map_err(classify)?;
    let response = Response::read(response, most).await;
    drop(place);
    response
}

/// A task that ends when nobody waits for it any more.
struct Ended<T> {
    task: JoinHandle<T>,
}

impl<T> Ended<T> {
    async fn wait(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.task).await
    }
}

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
