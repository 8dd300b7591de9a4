//! Request and response heads.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use wasmtime::component::Resource;
use wasmtime::format_err;

use super::{Host, RequestHandle, ResponseHandle, is_forbidden};
use crate::message::ResponseHead;
use crate::plugin::bindings::heads::{self, FieldValue, HeadError};

/// What heads may grow to in a plugin's hands.
const MOST_FIELDS: usize = 256;
const MOST_BYTES: usize = 64 << 10;
/// What plugins may add to a response before there is one, all of a chain together.
const MOST_RESPONSE_FIELDS: usize = 64;
const MOST_RESPONSE_BYTES: usize = 16 << 10;

impl heads::Host for Host {}

impl heads::HostRequestHead for Host {
    fn method(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<String> {
        Ok(self.exchange()?.method.as_str().to_owned())
    }

    fn scheme(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<String> {
        Ok(self.exchange()?.client.scheme().to_owned())
    }

    fn authority(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<String> {
        Ok(self.exchange()?.authority().to_owned())
    }

    fn path(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<String> {
        Ok(self.exchange()?.path().to_owned())
    }

    fn query(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<Option<String>> {
        Ok(self.exchange()?.uri.query().map(str::to_owned))
    }

    fn header(&mut self, _: Resource<RequestHandle>, name: String) -> wasmtime::Result<Option<FieldValue>> {
        Ok(first(self.request_headers(&name)?, &name))
    }

    fn headers(&mut self, _: Resource<RequestHandle>, name: String) -> wasmtime::Result<Vec<FieldValue>> {
        Ok(all(self.request_headers(&name)?, &name))
    }

    fn entries(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<Vec<(String, FieldValue)>> {
        let exchange = self.exchange_mut()?;
        exchange.complete_headers();
        Ok(entries(&exchange.headers))
    }

    fn set_header(
        &mut self,
        _: Resource<RequestHandle>,
        name: String,
        value: FieldValue,
    ) -> wasmtime::Result<Result<(), HeadError>> {
        Ok(set(self.request_headers(&name)?, &name, value))
    }

    fn append_header(
        &mut self,
        _: Resource<RequestHandle>,
        name: String,
        value: FieldValue,
    ) -> wasmtime::Result<Result<(), HeadError>> {
        Ok(append(self.request_headers(&name)?, &name, value))
    }

    fn remove_header(
        &mut self,
        _: Resource<RequestHandle>,
        name: String,
    ) -> wasmtime::Result<Result<(), HeadError>> {
        Ok(remove(self.request_headers(&name)?, &name))
    }

    fn append_response_header(
        &mut self,
        _: Resource<RequestHandle>,
        name: String,
        value: FieldValue,
    ) -> wasmtime::Result<Result<(), HeadError>> {
        let exchange = self.exchange_mut()?;
        if exchange.response.is_some() {
            return Ok(Ok(()));
        }
        let fields = &mut exchange.response_fields;
        Ok(parse(&name, value).and_then(|field| {
            let bytes: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            if fields.len() >= MOST_RESPONSE_FIELDS || bytes + field.1.len() > MOST_RESPONSE_BYTES {
                return Err(HeadError::TooLarge);
            }
            fields.push(field);
            Ok(())
        }))
    }

    fn drop(&mut self, _: Resource<RequestHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl heads::HostResponseHead for Host {
    fn status(&mut self, _: Resource<ResponseHandle>) -> wasmtime::Result<u16> {
        Ok(self.response()?.status.as_u16())
    }

    fn header(&mut self, _: Resource<ResponseHandle>, name: String) -> wasmtime::Result<Option<FieldValue>> {
        Ok(first(self.response_headers()?, &name))
    }

    fn headers(&mut self, _: Resource<ResponseHandle>, name: String) -> wasmtime::Result<Vec<FieldValue>> {
        Ok(all(self.response_headers()?, &name))
    }

    fn entries(&mut self, _: Resource<ResponseHandle>) -> wasmtime::Result<Vec<(String, FieldValue)>> {
        Ok(entries(self.response_headers()?))
    }

    fn set_header(
        &mut self,
        _: Resource<ResponseHandle>,
        name: String,
        value: FieldValue,
    ) -> wasmtime::Result<Result<(), HeadError>> {
        Ok(set(self.response_headers()?, &name, value))
    }

    fn append_header(
        &mut self,
        _: Resource<ResponseHandle>,
        name: String,
        value: FieldValue,
    ) -> wasmtime::Result<Result<(), HeadError>> {
        Ok(append(self.response_headers()?, &name, value))
    }

    fn remove_header(
        &mut self,
        _: Resource<ResponseHandle>,
        name: String,
    ) -> wasmtime::Result<Result<(), HeadError>> {
        Ok(remove(self.response_headers()?, &name))
    }

    fn drop(&mut self, _: Resource<ResponseHandle>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl Host {
    /// The fields of the request, of which the one of this name is complete.
    fn request_headers(&mut self, name: &str) -> wasmtime::Result<&mut HeaderMap> {
        let exchange = self.exchange_mut()?;
        exchange.complete_headers_for(name);
        Ok(&mut exchange.headers)
    }

    fn response_headers(&mut self) -> wasmtime::Result<&mut HeaderMap> {
        let response = self.response()?;
        response.complete_headers();
        Ok(&mut response.headers)
    }

    fn response(&mut self) -> wasmtime::Result<&mut ResponseHead> {
        self.exchange_mut()?.response.as_mut().ok_or_else(|| format_err!("there is no response yet"))
    }
}

fn first(headers: &HeaderMap, name: &str) -> Option<FieldValue> {
    headers.get(name).map(|value| value.as_bytes().to_vec())
}

fn all(headers: &HeaderMap, name: &str) -> Vec<FieldValue> {
    headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
}

fn entries(headers: &HeaderMap) -> Vec<(String, FieldValue)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

fn set(headers: &mut HeaderMap, name: &str, value: FieldValue) -> Result<(), HeadError> {
    let (name, value) = parse(name, value)?;
    check_room(headers, &name, &value)?;
    headers.insert(name, value);
    Ok(())
}

fn append(headers: &mut HeaderMap, name: &str, value: FieldValue) -> Result<(), HeadError> {
    let (name, value) = parse(name, value)?;
    check_room(headers, &name, &value)?;
    headers.append(name, value);
    Ok(())
}

fn remove(headers: &mut HeaderMap, name: &str) -> Result<(), HeadError> {
    headers.remove(parse_name(name)?);
    Ok(())
}

fn parse_name(name: &str) -> Result<HeaderName, HeadError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeadError::InvalidName)?;
    if is_forbidden(&name) { Err(HeadError::Forbidden) } else { Ok(name) }
}

fn parse(name: &str, value: FieldValue) -> Result<(HeaderName, HeaderValue), HeadError> {
    let name = parse_name(name)?;
    let value = HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(|_| HeadError::InvalidValue)?;
    Ok((name, value))
}

fn check_room(headers: &HeaderMap, name: &HeaderName, value: &HeaderValue) -> Result<(), HeadError> {
    let size = |name: &HeaderName, value: &HeaderValue| name.as_str().len() + value.len() + 4;
    let bytes: usize = headers.iter().map(|(name, value)| size(name, value)).sum();
    if headers.len() >= MOST_FIELDS || bytes + size(name, value) > MOST_BYTES {
        return Err(HeadError::TooLarge);
    }
    Ok(())
}
