//! What the peers' templates become for each protocol.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Peer, Protocol};
use crate::bench::certificate::{CERTIFICATE, KEY};
use crate::bench::gateway::Ports;
use crate::bench::policies;

const NGINX_HTTP: &str = "\
    proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            # A response that the client takes slowly waits with the backend, not in a file.
            proxy_max_temp_file_size 0;";
const NGINX_GRPC: &str = "grpc_pass grpc://backend;";
const NGINX_WEBSOCKET: &str = "\
    proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 600s;";

/// The name of the configuration file, and its text.
pub fn of(peer: Peer, protocol: Protocol, ports: Ports, dir: &Path) -> Result<(&'static str, String)> {
    let (name, template) = template(peer, protocol);
    let backend = if protocol == Protocol::Grpc { ports.grpc } else { ports.backend };
    let text = template
        .replace("@OPTIONS@", listener_options(peer, protocol))
        .replace("@BACKEND_OPTIONS@", if protocol == Protocol::Grpc { "proto h2" } else { "" })
        .replace("@FORWARD@", nginx_forward(protocol))
        .replace("@PORT@", &ports.listener.to_string())
        .replace("@BACKEND@", &backend.to_string())
        .replace("@KEYS@", &Value::from(policies::KEYS).to_string())
        .replace("@DIR@", &dir.to_string_lossy());
    let edit = match peer {
        Peer::Nginx | Peer::Haproxy => return Ok((name, text)),
        Peer::Envoy => edit_envoy,
        Peer::Caddy => edit_caddy,
    };
    let mut config = serde_json::from_str(&text).with_context(|| format!("`{name}` is no JSON"))?;
    edit(&mut config, protocol, dir);
    Ok((name, config.to_string()))
}

fn template(peer: Peer, protocol: Protocol) -> (&'static str, &'static str) {
    match (peer, protocol) {
        (Peer::Nginx, _) => ("nginx.conf", include_str!("nginx.conf")),
        (Peer::Haproxy, Protocol::Tcp) => ("haproxy.cfg", include_str!("haproxy-tcp.cfg")),
        (Peer::Haproxy, _) => ("haproxy.cfg", include_str!("haproxy.cfg")),
        (Peer::Envoy, Protocol::Policies) => ("envoy.json", include_str!("envoy-policies.json")),
        (Peer::Envoy, _) => ("envoy.json", include_str!("envoy.json")),
        (Peer::Caddy, _) => ("caddy.json", include_str!("caddy.json")),
    }
}

/// What stands for a protocol on the line of the listener. Envoy and Caddy tell cleartext HTTP/2 by the first bytes.
fn listener_options(peer: Peer, protocol: Protocol) -> &'static str {
    match (peer, protocol) {
        (Peer::Nginx, Protocol::Http2 | Protocol::Grpc) => "http2",
        (Peer::Nginx, Protocol::Tls) => "ssl http2",
        (Peer::Haproxy, Protocol::Http2 | Protocol::Grpc) => "proto h2",
        (Peer::Haproxy, Protocol::Tls) => "ssl crt @DIR@/certificate-and-key.pem alpn h2,http/1.1",
        _ => "",
    }
}

fn nginx_forward(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Grpc => NGINX_GRPC,
        Protocol::WebSocket => NGINX_WEBSOCKET,
        _ => NGINX_HTTP,
    }
}

fn edit_envoy(config: &mut Value, protocol: Protocol, dir: &Path) {
    let resources = &mut config["static_resources"];
    if matches!(protocol, Protocol::Tls | Protocol::Http3 | Protocol::WebSocket) {
        // A whole response has 15 seconds by itself, which a large one or a WebSocket may exceed.
        let manager = envoy_manager(&mut resources["listeners"][0]);
        manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["timeout"] = json!("0s");
    }
    match protocol {
        Protocol::Tls | Protocol::Http3 => {
            let mut over_quic = resources["listeners"][0].clone();
            let chain = &mut resources["listeners"][0]["filter_chains"][0];
            chain["transport_socket"] = envoy_tls(dir, &["h2", "http/1.1"]);
            if protocol == Protocol::Http3 {
                make_quic(&mut over_quic, dir);
                let listeners = resources["listeners"].as_array_mut();
                listeners.expect("the template has them").push(over_quic);
            }
        }
        Protocol::Grpc => {
            let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
            resources["clusters"][0]["typed_extension_protocol_options"][options] = json!({
                "@type": format!("type.googleapis.com/{options}"),
                "explicit_http_config": { "http2_protocol_options": {} },
            });
        }
        Protocol::WebSocket => {
            let manager = envoy_manager(&mut resources["listeners"][0]);
            manager["upgrade_configs"] = json!([{ "upgrade_type": "websocket" }]);
        }
        _ => {}
    }
}

/// What speaks HTTP behind a listener.
fn envoy_manager(listener: &mut Value) -> &mut Value {
    &mut listener["filter_chains"][0]["filters"][0]["typed_config"]
}

fn envoy_tls(dir: &Path, protocols: &[&str]) -> Value {
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": protocols,
                "tls_certificates": [{
                    "certificate_chain": { "filename": dir.join(CERTIFICATE) },
                    "private_key": { "filename": dir.join(KEY) },
                }],
            },
        },
    })
}

fn make_quic(listener: &mut Value, dir: &Path) {
    listener["name"] = json!("bench-quic");
    listener["address"]["socket_address"]["protocol"] = json!("UDP");
    listener["udp_listener_config"] = json!({ "quic_options": {} });
    let chain = &mut listener["filter_chains"][0];
    let context = envoy_tls(dir, &["h3"])["typed_config"].take();
    chain["transport_socket"] = json!({
        "name": "envoy.transport_sockets.quic",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
            "downstream_tls_context": context,
        },
    });
    if let Some(context) = chain["transport_socket"]["typed_config"]["downstream_tls_context"].as_object_mut()
    {
        context.remove("@type");
    }
    let manager = envoy_manager(listener);
    manager["codec_type"] = json!("HTTP3");
    manager["http3_protocol_options"] = json!({});
}

fn edit_caddy(config: &mut Value, protocol: Protocol, dir: &Path) {
    let apps = &mut config["apps"];
    let server = &mut apps["http"]["servers"]["bench"];
    match protocol {
        Protocol::Tls | Protocol::Http3 => {
            let all = ["h1", "h2", "h3"];
            server["protocols"] = json!(if protocol == Protocol::Http3 { &all[..] } else { &all[..2] });
            server["tls_connection_policies"] = json!([{}]);
            apps["tls"]["certificates"]["load_files"] =
                json!([{ "certificate": dir.join(CERTIFICATE), "key": dir.join(KEY) }]);
        }
        Protocol::Grpc => server["routes"][0]["handle"][0]["transport"]["versions"] = json!(["h2c", "2"]),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Protocol; 8] = [
        Protocol::Http1,
        Protocol::Http2,
        Protocol::Policies,
        Protocol::Tls,
        Protocol::Http3,
        Protocol::Grpc,
        Protocol::WebSocket,
        Protocol::Tcp,
    ];

    #[test]
    fn leaves_no_place_of_a_template_open() {
        let ports = Ports { listener: 1, backend: 2, grpc: 3 };
        for peer in [Peer::Nginx, Peer::Haproxy, Peer::Envoy, Peer::Caddy] {
            for protocol in ALL {
                let (name, text) = of(peer, protocol, ports, Path::new("/dir")).unwrap();
                let open = text.split('@').skip(1).step_by(2).find(|place| *place != "type");
                assert_eq!(
                    open.filter(|place| place.chars().all(|c| c.is_ascii_uppercase())),
                    None,
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn calls_go_to_the_backend_for_calls() {
        let ports = Ports { listener: 1, backend: 22222, grpc: 33333 };
        for peer in [Peer::Nginx, Peer::Haproxy, Peer::Envoy, Peer::Caddy] {
            let (_, text) = of(peer, Protocol::Grpc, ports, Path::new("/dir")).unwrap();
            assert!(text.contains("33333") && !text.contains("22222"));
        }
    }
}
