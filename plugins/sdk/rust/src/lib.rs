//! Filters for Cloud Cup, in Rust.
//!
//! A filter decides on the heads of requests and responses: it lets them pass, changes their fields, or answers itself.
//! It is a type that implements [`Filter`] under the attribute [`macro@filter`]:
//!
//! ```
//! use cloud_cup_plugin::{Error, Filter, Reply, RequestHead, Verdict, filter};
//!
//! #[derive(serde::Deserialize)]
//! struct ApiKey {
//!     keys: Vec<String>,
//! }
//!
//! #[filter]
//! impl Filter for ApiKey {
//!     type Config = Self;
//!
//!     fn new(config: Self) -> Result<Self, Error> {
//!         if config.keys.is_empty() { Err("`keys` is empty".into()) } else { Ok(config) }
//!     }
//!
//!     fn on_request(&self, request: &RequestHead) -> Verdict {
//!         match request.header_str("x-api-key") {
//!             Some(key) if self.keys.contains(&key) => Verdict::Next,
//!             _ => Reply::new(401).header("www-authenticate", "ApiKey").body("who are you?\n").into(),
//!         }
//!     }
//! }
//! ```
//!
//! The crate's README tells how to build it and how to attach it to a route.
//!
//! # What a filter may count on
//!
//! - [`Filter::new`] is called once for each new instance, and when the document is checked. An error refuses the
//!   document with the filter's own words; nothing of it is left for the time of a request.
//! - One call at a time. State may lie in a `Cell` or a `RefCell`, but an instance serves whatever requests it happens to
//!   be given, beside other instances, and may be replaced between any two: state that must be exact belongs to the host.
//! - The host checks each change of a head. A config that is made of [`FieldName`] and [`FieldValue`] is checked before.
//! - A hook that the `impl` does not have is not exported, and costs a request nothing.
//! - What the component imports is what it uses of [`facts`] and of the capabilities, which must be granted in the document:
//!   [`log`], [`clock`], [`random`], [`jwt`], [`rate_limit`], [`circuit`], [`state`], [`http`], [`metrics`] and [`secrets`].
//! - A panic ends the instance and fails the one request that it was serving. The gateway logs its message and its place
//!   with the fault.

#![deny(missing_docs)]
#![forbid(unsafe_op_in_unsafe_fn)]

mod bindings;
mod config;
mod duration;
mod field;
mod heads;
mod instance;
mod panic;
mod parameters;
mod refusal;

pub mod circuit;
pub mod clock;
pub mod http;
pub mod jwt;
pub mod log;
pub mod metrics;
pub mod random;
pub mod rate_limit;
pub mod secrets;
pub mod state;

pub use bindings::cloudcup::filter::facts;
pub use bindings::cloudcup::filter::heads::{
    HeadError, Origin, Outcome, Reply, RequestHead, ResponseHead, Verdict,
};

pub use config::parse as parse_config;
pub use duration::DurationText;
pub use field::{FieldName, FieldValue};
pub use refusal::{Refusal, grpc};

use duration::nanoseconds;

/// Makes a component of an `impl Filter for Type`.
///
/// The component exports `configure` and the hooks that the `impl` has, and no others. A crate has one filter: a
/// component exports each hook once.
///
/// `#[filter(schema = "config.schema.json")]` puts the JSON Schema of the plugin's `config` into the component, as a custom
/// section with the name `cloudcup:config-schema`, where the gateway and `cupctl plugin inspect` find it. The file's path
/// is relative to the crate.
///
/// ```compile_fail
/// # use cloud_cup_plugin::{Error, Filter, filter};
/// struct Idle;
///
/// #[filter]
/// impl Filter for Idle { // has no hook
///     type Config = ();
///
///     fn new((): ()) -> Result<Self, Error> {
///         Ok(Self)
///     }
/// }
/// ```
pub use cloud_cup_plugin_macros::filter;

/// Why a filter refuses its configuration. Anything that displays becomes one, by `?` or by `into`.
pub type Error = Box<dyn std::error::Error>;

/// A filter: how it is made of its configuration, and what it does at each hook.
///
/// Every hook is optional; what is not written is not exported. See the [crate's documentation](crate) for what a filter
/// may count on.
pub trait Filter: Sized + 'static {
    /// What the `config` of an attachment holds. `()` where there is nothing to say; often `Self`.
    ///
    /// An attachment without `config`, or with `null`, counts as one with `{}`, unless this type takes `null` (as `()`
    /// and an `Option` do). What does not fit is refused with a message that names the field:
    /// ``unknown field `sett`, expected one of `set`, `append`, `remove` at /request/sett``.
    type Config: serde::de::DeserializeOwned;

    /// Makes an instance. What can be checked or prepared once is done here, so that nothing fails in a hook.
    ///
    /// # Errors
    ///
    /// An error refuses the document; its text is shown to whoever wrote that.
    fn new(config: Self::Config) -> Result<Self, Error>;

    /// Called when a route was matched, in the order of the route's `plugins`.
    fn on_request(&self, _request: &RequestHead) -> Verdict {
        Verdict::Next
    }

    /// Called with the response's head, in the reverse order, whoever made the response. `request` is the head as the
    /// request hooks left it.
    fn on_response(&self, _request: &RequestHead, _response: &ResponseHead) -> Verdict {
        Verdict::Next
    }

    /// Called after the last byte, when nothing can be changed any more.
    fn on_finish(&self, _outcome: &Outcome) {}
}

/// What `#[filter]` writes.
#[doc(hidden)]
#[macro_export]
macro_rules! export {
    ($filter:ty: $($hook:ident),+ $(; schema $schema:literal)?) => {
        const _: () = {
            $($crate::__embed_schema!($schema);)?

            ::std::thread_local! {
                static INSTANCE: $crate::__private::Instance<$filter> =
                    const { $crate::__private::Instance::new() };
            }

            struct Exports;

            impl $crate::__private::configure_hook::Guest for Exports {
                fn configure() -> ::core::result::Result<(), ::std::string::String> {
                    INSTANCE.with($crate::__private::Instance::configure)
                }
            }
            $crate::__private::export_configure_hook!(Exports with_types_in $crate::__private::configure_hook);

            $($crate::__export_hook!($filter, $hook);)+
        };
    };
}

/// A static in such a section has no place in the guest's memory: it is in the file alone.
#[doc(hidden)]
#[macro_export]
macro_rules! __embed_schema {
    ($schema:literal) => {
        #[cfg(target_arch = "wasm32")]
        #[used]
        #[unsafe(link_section = "cloudcup:config-schema")]
        static SCHEMA: [u8; $crate::__schema_text!($schema).len()] = *$crate::__schema_text!($schema);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __schema_text {
    ($schema:literal) => {
        ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), "/", $schema))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_hook {
    ($filter:ty, on_request) => {
        impl $crate::__private::request_hook::Guest for Exports {
            fn on_request(request: &$crate::RequestHead) -> $crate::Verdict {
                INSTANCE.with(|instance| <$filter as $crate::Filter>::on_request(instance.filter(), request))
            }
        }
        $crate::__private::export_request_hook!(Exports with_types_in $crate::__private::request_hook);
    };
    ($filter:ty, on_response) => {
        impl $crate::__private::response_hook::Guest for Exports {
            fn on_response(
                request: &$crate::RequestHead,
                response: &$crate::ResponseHead,
            ) -> $crate::Verdict {
                INSTANCE.with(|instance| {
                    <$filter as $crate::Filter>::on_response(instance.filter(), request, response)
                })
            }
        }
        $crate::__private::export_response_hook!(Exports with_types_in $crate::__private::response_hook);
    };
    ($filter:ty, on_finish) => {
        impl $crate::__private::finish_hook::Guest for Exports {
            fn on_finish(outcome: $crate::Outcome) {
                INSTANCE.with(|instance| {
                    <$filter as $crate::Filter>::on_finish(instance.filter(), &outcome)
                })
            }
        }
        $crate::__private::export_finish_hook!(Exports with_types_in $crate::__private::finish_hook);
    };
}

/// What `export!` names from another crate.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::configure_hook::{self, export_configure_hook};
    pub use crate::bindings::finish_hook::{self, export_finish_hook};
    pub use crate::bindings::request_hook::{self, export_request_hook};
    pub use crate::bindings::response_hook::{self, export_response_hook};
    pub use crate::instance::Instance;
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
