//! What every filter may import beside the heads: its configuration, what is known of the exchange, its last words.

use super::Host;
use super::capabilities::clip;
use crate::plugin::bindings::facts::{AttributeError, ClientCertificate, TlsSession};
use crate::plugin::bindings::{config, facts, panic};

/// Attributes that one exchange may have, and bytes of each.
const MOST_ATTRIBUTES: usize = 64;
const LARGEST_ATTRIBUTE: usize = 4 << 10;

impl config::Host for Host {
    fn get(&mut self) -> wasmtime::Result<String> {
        Ok(self.attachment.spec.config.clone())
    }
}

impl facts::Host for Host {
    fn client_address(&mut self) -> wasmtime::Result<String> {
        Ok(self.exchange()?.client.address.ip().to_string())
    }

    fn protocol(&mut self) -> wasmtime::Result<String> {
        Ok(self.exchange()?.client.protocol().to_owned())
    }

    fn tls(&mut self) -> wasmtime::Result<Option<TlsSession>> {
        let session = self.exchange()?.client.tls.as_deref();
        Ok(session.map(|session| TlsSession {
            version: session.version.to_owned(),
            cipher_suite: session.cipher_suite.to_owned(),
            server_name: session.server_name.clone(),
            client_certificate: session.client_certificate.as_ref().map(|certificate| ClientCertificate {
                subject: certificate.subject.clone(),
                issuer: certificate.issuer.clone(),
                serial: certificate.serial.clone(),
                fingerprint: certificate.fingerprint.clone(),
                names: certificate.names.clone(),
            }),
        }))
    }

    fn listener(&mut self) -> wasmtime::Result<String> {
        Ok(self.exchange()?.client.entrance.listener.to_string())
    }

    fn route(&mut self) -> wasmtime::Result<String> {
        Ok(self.exchange()?.route.as_deref().unwrap_or_default().to_owned())
    }

    fn path_parameter(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        let parameters = &self.exchange()?.parameters;
        Ok(parameters.iter().find(|(known, _)| **known == *name).map(|(_, value)| value.clone()))
    }

    fn attribute(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        let attributes = &self.exchange()?.attributes;
        Ok(attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()))
    }

    fn set_attribute(&mut self, name: String, value: String) -> wasmtime::Result<Result<(), AttributeError>> {
        if name.len() + value.len() > LARGEST_ATTRIBUTE {
            return Ok(Err(AttributeError::TooLarge));
        }
        let attributes = &mut self.exchange_mut()?.attributes;
        if let Some((_, known)) = attributes.iter_mut().find(|(known, _)| *known == name) {
            *known = value;
        } else if attributes.len() < MOST_ATTRIBUTES {
            attributes.push((name, value));
        } else {
            return Ok(Err(AttributeError::TooMany));
        }
        Ok(Ok(()))
    }

    fn backends(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(self.exchange()?.backends.as_deref().unwrap_or_default().to_vec())
    }

    fn avoid_backend(&mut self, backend: String) -> wasmtime::Result<()> {
        let exchange = self.exchange_mut()?;
        let is_known = exchange.backends.as_ref().is_some_and(|backends| backends.contains(&backend));
        if is_known && !exchange.avoided.contains(&backend) {
            exchange.avoided.push(backend);
        }
        Ok(())
    }
}

impl panic::Host for Host {
    fn report(&mut self, message: String) -> wasmtime::Result<()> {
        self.last_words.get_or_insert_with(|| clip(&message));
        Ok(())
    }
}
