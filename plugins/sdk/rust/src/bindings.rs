//! What `wit-bindgen` makes of the contract: the interfaces once, and each hook's world on top of them.
//!
//! A world's type information is linked into the guest only where its `export_*` macro is used, so a component exports
//! the hooks that were asked for. Imports that nothing calls are dropped when the component is encoded.

#![allow(missing_docs, clippy::too_many_arguments)]

wit_bindgen::generate!({ path: "../../../wit/v0.1", world: "imports", generate_all });

macro_rules! hook {
    ($module:ident, $world:literal, $export:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../../wit/v0.1",
                world: $world,
                with: {
                    "cloudcup:filter/heads@0.1.0": super::cloudcup::filter::heads,
                    "cloudcup:filter/config@0.1.0": super::cloudcup::filter::config,
                    "cloudcup:filter/facts@0.1.0": super::cloudcup::filter::facts,
                    "cloudcup:filter/panic@0.1.0": super::cloudcup::filter::panic,
                    "cloudcup:filter/log@0.1.0": super::cloudcup::filter::log,
                    "cloudcup:filter/clock@0.1.0": super::cloudcup::filter::clock,
                    "cloudcup:filter/random@0.1.0": super::cloudcup::filter::random,
                    "cloudcup:filter/jwt@0.1.0": super::cloudcup::filter::jwt,
                    "cloudcup:filter/rate-limit@0.1.0": super::cloudcup::filter::rate_limit,
                    "cloudcup:filter/circuit@0.1.0": super::cloudcup::filter::circuit,
                    "cloudcup:filter/state@0.1.0": super::cloudcup::filter::state,
                    "cloudcup:filter/http@0.1.0": super::cloudcup::filter::http,
                    "cloudcup:filter/metrics@0.1.0": super::cloudcup::filter::metrics,
                    "cloudcup:filter/secrets@0.1.0": super::cloudcup::filter::secrets,
                },
                pub_export_macro: true,
                export_macro_name: $export,
            });
        }
    };
}

hook!(configure_hook, "configure-hook", "export_configure_hook");
hook!(request_hook, "request-hook", "export_request_hook");
hook!(response_hook, "response-hook", "export_response_hook");
hook!(finish_hook, "finish-hook", "export_finish_hook");
