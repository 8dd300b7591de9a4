//! HTTP/3 from clients (RFC 9114), by quinn and h3: one endpoint per worker, one task per connection and one per request,
//! all on this worker.

mod endpoint;
mod exchange;
mod steering;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3::server::RequestResolver;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::Session;
use crate::base::drain::Watcher;
use crate::message::Entrance;
use crate::message::http3::{Accepted, Known, Quic};
use crate::message::tls::TlsSession;
use crate::proxy::{Connection, Proxy, Timeouts};
use exchange::exchange;

pub use endpoint::{Endpoint, Handshaken, Knock};
pub use steering::{Place, places};

/// How long a client that was told of the end may take to go.
const GOODBYE: Duration = Duration::from_secs(1);
/// H3_NO_ERROR (RFC 9114, section 8.1).
const NO_ERROR: u32 = 0x100;

/// What the requests of one connection have in common.
struct Requests {
    proxy: Proxy,
    connection: Connection,
    quic: quinn::Connection,
    timeouts: Timeouts,
    most_fields: usize,
    known: Rc<Known>,
    open: Cell<usize>,
    /// Told when the last one that is open has ended.
    ended: Notify,
}

/// A request, for as long as it is open.
struct Open(Rc<Requests>);

impl Open {
    fn new(requests: &Rc<Requests>) -> Self {
        requests.open.set(requests.open.get() + 1);
        Self(Rc::clone(requests))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        if left == 0 {
            self.0.ended.notify_one();
        }
    }
}

/// Serves a connection until it ends.
pub async fn serve(handshaken: Handshaken, entrance: Arc<Entrance>, tls: Arc<TlsSession>, session: Session) {
    let Handshaken { quic, peer, local, .. } = handshaken;
    let connection = Connection::new(peer, local, entrance, Some(tls), Rc::clone(&session.drain));
    let (timeouts, head) = {
        let view = session.proxy.view();
        (view.snapshot.settings.timeouts.clone(), view.snapshot.settings.head)
    };
    let mut builder = h3::server::builder();
    builder.max_field_section_size(head.bytes as u64);
    let (streams, known) = Quic::new(quic.clone());
    let building = builder.build::<_, Bytes>(streams);
    let Ok(Ok(mut h3)) = tokio::time::timeout(timeouts.client_head, building).await else { return };
    let requests = Rc::new(Requests {
        proxy: session.proxy.clone(),
        connection,
        quic: quic.clone(),
        timeouts,
        most_fields: head.fields,
        known,
        open: Cell::new(0),
        ended: Notify::new(),
    });
    let mut quiet_since = Instant::now();
    let mut drain = Watcher::new(&session.drain);
    let mut draining = pin!(poll_fn(move |cx| drain.poll_begun(cx)));
    let (mut has_begun, mut is_ending) = (false, false);
    loop {
        let is_quiet = requests.open.get() == 0;
        let allowed = if has_begun { requests.timeouts.keep_alive } else { requests.timeouts.client_head };
        tokio::select! {
            accepted = h3.accept() => match accepted {
                Ok(Some(resolver)) => {
                    has_begun = true;
                    begin(&requests, resolver);
                }
                Ok(None) => break,
                Err(error) => {
                    debug!(%error, "HTTP/3 connection ended");
                    return;
                }
            },
            () = requests.ended.notified() => quiet_since = Instant::now(),
            () = &mut draining, if !is_ending => is_ending = true,
            () = sleep_until(quiet_since + allowed), if is_quiet => is_ending = true,
        }
        if is_ending {
            finish(&mut h3, &requests).await;
            break;
        }
    }
    quic.close(NO_ERROR.into(), b"");
}

type H3 = h3::server::Connection<Quic, Bytes>;

/// Says that no more requests are taken, and waits for those that were.
async fn finish(h3: &mut H3, requests: &Rc<Requests>) {
    if h3.shutdown(0).await.is_err() {
        return;
    }
    while requests.open.get() > 0 {
        tokio::select! {
            accepted = h3.accept() => match accepted {
                Ok(Some(resolver)) => begin(requests, resolver),
                Ok(None) | Err(_) => return,
            },
            () = requests.ended.notified() => {}
        }
    }
    // What was written has to arrive before the connection closes, and a client that has all of it closes first.
    tokio::select! {
        _ = requests.quic.closed() => {}
        () = sleep(GOODBYE) => {}
    }
}

fn begin(requests: &Rc<Requests>, resolver: RequestResolver<Quic, Bytes>) {
    let (requests, open) = (Rc::clone(requests), Open::new(requests));
    let Some(Accepted { stopped, flow, is_early }) = requests.known.next_accepted() else { return };
    tokio::task::spawn_local(async move {
        tokio::select! {
            biased;
            () = exchange(&requests, resolver, flow, is_early) => {}
            // The client has given it up. Or it has all of it, and then there is nothing left to be done.
            _ = stopped => {}
        }
        drop(open);
    });
}
