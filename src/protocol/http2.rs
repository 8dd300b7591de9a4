//! HTTP/2 from clients (RFC 9113), by the crate `h2`: one task per connection and one per stream, all on this worker.

mod stream;
mod watch;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::Builder;
use tracing::debug;

use super::Session;
use crate::base::transport::Transport;
use crate::proxy::{Connection, Proxy, Settings};
use stream::{Open, exchange};
use watch::{Activity, Expired, Watch, Watched};

/// Streams that a client may reset before they were served, pending at one time (CVE-2023-44487).
const PENDING_RESETS: usize = 20;
/// Streams that a client may make the gateway reset by errors of its own, in the life of a connection (CVE-2025-8671).
const LOCAL_RESETS: usize = 128;
/// Bytes that may wait to be sent on one stream.
const SEND_BUFFER: usize = 256 << 10;

/// What the streams of one connection have in common.
struct Streams {
    proxy: Proxy,
    connection: Connection,
    activity: Rc<Activity>,
    /// How long a client may be silent in the middle of a body.
    idle: Duration,
    tunnel_idle: Duration,
    most_fields: usize,
}

/// Serves a connection, of which `read` was read already, until it ends.
pub(super) async fn serve(io: Transport, read: Bytes, connection: Connection, session: Session) {
    let (timeouts, most_fields, builder) = {
        let view = session.proxy.view();
        let settings = &view.snapshot.settings;
        (settings.timeouts.clone(), settings.head.fields, builder(settings))
    };
    let activity = Rc::<Activity>::default();
    let io = Watched { io, read, activity: Rc::clone(&activity) };
    let handshake = tokio::time::timeout(timeouts.client_head, builder.handshake::<_, Bytes>(io));
    let Ok(Ok(mut h2)) = handshake.await else { return };
    let streams = Rc::new(Streams {
        proxy: session.proxy,
        connection,
        activity: Rc::clone(&activity),
        idle: timeouts.client_idle,
        tunnel_idle: timeouts.tunnel_idle,
        most_fields,
    });
    let mut watch = Watch::new(activity, timeouts);
    let mut is_ending = false;
    poll_fn(|cx| {
        loop {
            match h2.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let open = Open::new(&streams.activity);
                    tokio::task::spawn_local(exchange(Rc::clone(&streams), request, respond, open));
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    debug!(%error, "HTTP/2 connection ended");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            let expired = watch.poll_expired(cx);
            if expired == Poll::Ready(Expired::Now) {
                return Poll::Ready(());
            }
            if is_ending || (expired.is_pending() && !session.drain.is_draining()) {
                return Poll::Pending;
            }
            is_ending = true;
            watch.end();
            h2.graceful_shutdown();
        }
    })
    .await;
}

fn builder(settings: &Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(settings.h2.streams)
        .initial_window_size(settings.h2.stream_window)
        .initial_connection_window_size(settings.h2.connection_window)
        .max_frame_size(settings.h2.frame_size)
        .max_header_list_size(settings.head.bytes as u32)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(LOCAL_RESETS))
        .max_send_buffer_size(SEND_BUFFER)
        .enable_connect_protocol();
    builder
}
