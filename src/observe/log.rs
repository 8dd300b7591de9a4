//! The gateway's own log, on standard error: text for a person, JSON for a collector.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged where `RUST_LOG` does not say. The crates that read what peers send warn of whatever is odd in it, some
/// of them once a frame: how long the log grows is not for a client to decide.
const DEFAULT: &str = "info,h2=error,h3=off,quinn=error,quinn_proto=error,rustls=error";

/// Begins logging. `RUST_LOG` overrides the default level `info`. Does nothing where a log was set up before.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error here says that there is a log already, which is what was asked for.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing::{info, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_clients_make_libraries_say_is_not_logged() {
        let written = Written::default();
        let writer = written.clone();
        let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(DEFAULT));
        let subscriber = builder.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            warn!(target: "h2::proto::ping_pong", "recv PING ack that we never sent");
            warn!(target: "cloud_cup::reload::expiry", "certificate expires soon");
            info!(target: "cloud_cup::app", "listening");
        });
        let said = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.contains("certificate expires soon") && said.contains("listening"), "{said}");
    }
}
