//! The admin API is what its description says.

use serde_json::Value;

use super::gateway;
use crate::support::Backend;

#[tokio::test]
async fn everything_that_is_described_is_there() {
    let described: Value =
        serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("it is JSON");
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let paths = described["paths"].as_object().expect("paths");
    for (path, methods) in paths {
        // What ends the gateway, or does not end itself, is tried elsewhere.
        if path == "/v1/drain" || path == "/v1/logs" || path == "/v1/upgrade" {
            continue;
        }
        let concrete = path.replace("{pointer}", "workers").replace("{number}", "1");
        for (method, operation) in methods.as_object().expect("methods") {
            let (status, body) = gateway.admin(&method.to_uppercase(), &concrete).await;
            let status = status.to_string();
            assert_ne!(status, "405", "{method} {path}");
            let is_said = operation["responses"].get(&status).is_some();
            // A request without its parameters is no test of the answers to good ones.
            assert!(is_said || status == "400", "{method} {path}: {status} is not described: {body}");
        }
        let (status, _) = gateway.admin("TRACE", &concrete).await;
        assert_eq!(status, 405, "{path}");
    }
    let sources = include_str!("../../../src/admin/api.rs");
    let routes: Vec<_> = sources.match_indices(".route(\"").collect();
    assert_eq!(routes.len(), paths.len(), "every route is described");
}
