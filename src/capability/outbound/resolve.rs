//! Names to addresses that may be connected to.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::error::Forbidden;
use super::is_allowed;
use crate::base::network::IpNetwork;

/// The operating system's resolver.
pub(super) struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Keeps what may be reached of what `names` finds. The connection is made to what comes out here, and the name is not
/// looked up again: there is no gap between check and use.
pub(super) struct Guarded {
    pub(super) names: Arc<dyn Resolve>,
    pub(super) private: Arc<[IpNetwork]>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (found, private) = (self.names.resolve(name), self.private.clone());
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.collect();
            let any = !found.is_empty();
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|address| is_allowed(address.ip(), &private)).collect();
            if any && allowed.is_empty() {
                return Err(Forbidden { host }.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
