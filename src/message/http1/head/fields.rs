//! The fields of a head: which of them are for this hop, and what those say.

use bytes::Bytes;
use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use httparse::Header;

use super::super::Framing;
use super::HeadError;
use crate::message::Upgrade;

/// What a field is to whoever frames messages and forwards them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ContentLength,
    TransferEncoding,
    Connection,
    Expect,
    Host,
    Upgrade,
    /// It concerns this connection, whether or not `connection` names it (RFC 9110, section 7.6.1).
    HopByHop,
    EndToEnd,
}

impl Kind {
    fn of(name: &str) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is("te") => Self::HopByHop,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            7 if is("trailer") => Self::HopByHop,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::HopByHop,
            14 if is("content-length") => Self::ContentLength,
            16 if is("proxy-connection") => Self::HopByHop,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            _ => Self::EndToEnd,
        }
    }

    fn is_for_next_hop(self) -> bool {
        matches!(self, Self::EndToEnd | Self::Host)
    }
}

/// Lines of fields that were found well-formed.
#[derive(Debug, Clone, Default)]
pub struct FieldLines(Bytes);

impl FieldLines {
    pub(super) fn of(fields: &[Header<'_>], size: usize) -> Self {
        let mut lines = Vec::with_capacity(size);
        for field in fields.iter().filter(|field| Kind::of(field.name).is_for_next_hop()) {
            for piece in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
                lines.extend_from_slice(piece);
            }
        }
        Self(Bytes::from(lines))
    }

    /// As they are to be written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Puts the fields into `headers`.
    pub fn parse_into(&self, headers: &mut HeaderMap) {
        let lines = self.0.split(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\r"));
        for line in lines {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let name = HeaderName::from_bytes(&line[..colon]);
            let value = HeaderValue::from_maybe_shared(self.0.slice_ref(line[colon + 1..].trim_ascii()));
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
    }
}

/// What the fields for this hop say.
#[derive(Default)]
pub(super) struct Control {
    pub hosts: usize,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    pub expects_continue: bool,
    pub has_other_expectation: bool,
    /// `connection` names fields beside its well-known options.
    pub nominates: bool,
    /// `connection` says that `upgrade` is meant.
    upgrades: bool,
    /// How many fields `upgrade` there are.
    upgrade_fields: usize,
}

/// The fields for the next hop.
pub(super) fn collect(
    head: &Bytes,
    fields: &[Header<'_>],
    control: &Control,
) -> Result<HeaderMap, HeadError> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields.iter().filter(|field| Kind::of(field.name).is_for_next_hop()) {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| HeadError::Malformed("bad field name"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| HeadError::Malformed("bad field value"))?;
        headers.append(name, value);
    }
    if control.nominates {
        remove_nominated(&mut headers, fields)?;
    }
    Ok(headers)
}

/// Removes the fields that `connection` names. It may not name what the next hop needs to read the message.
fn remove_nominated(headers: &mut HeaderMap, fields: &[Header<'_>]) -> Result<(), HeadError> {
    for field in fields.iter().filter(|field| field.name.eq_ignore_ascii_case("connection")) {
        for token in tokens(field.value) {
            let name =
                HeaderName::from_bytes(token).map_err(|_| HeadError::Malformed("bad connection option"))?;
            if name == header::HOST {
                return Err(HeadError::Malformed("the connection field names host"));
            }
            headers.remove(&name);
        }
    }
    Ok(())
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(|token| token.trim_ascii()).filter(|token| !token.is_empty())
}

impl Control {
    pub fn read(fields: &[Header<'_>]) -> Result<Self, HeadError> {
        let mut control = Self::default();
        for field in fields {
            match Kind::of(field.name) {
                Kind::EndToEnd | Kind::HopByHop => {}
                Kind::Host => control.hosts += 1,
                Kind::Upgrade => control.upgrade_fields += 1,
                Kind::ContentLength => control.read_content_length(field.value)?,
                Kind::TransferEncoding => control.read_transfer_encoding(field.value)?,
                Kind::Connection => control.nominates |= control.read_connection(field.value),
                Kind::Expect if field.value.eq_ignore_ascii_case(b"100-continue") => {
                    control.expects_continue = true;
                }
                Kind::Expect => control.has_other_expectation = true,
            }
        }
        Ok(control)
    }

    fn read_content_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
        if self.content_length.is_some() || !digits {
            return Err(HeadError::Malformed("bad or repeated content-length"));
        }
        let length = value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0'));
        self.content_length = Some(length);
        Ok(())
    }

    fn read_transfer_encoding(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.chunked {
            return Err(HeadError::Malformed("repeated transfer-encoding"));
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            let final_chunked =
                tokens(value).last().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
            return Err(match final_chunked {
                true => HeadError::TransferCoding,
                false => HeadError::Malformed("bad transfer-encoding"),
            });
        }
        self.chunked = true;
        Ok(())
    }

    /// Answers whether it names fields beside the well-known options.
    fn read_connection(&mut self, value: &[u8]) -> bool {
        let mut nominated = false;
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrades = true;
            } else {
                nominated = true;
            }
        }
        nominated
    }

    pub fn framing(&self, version: Version) -> Result<Option<Framing>, HeadError> {
        match (self.chunked, self.content_length) {
            (true, Some(_)) => Err(HeadError::Malformed("both content-length and transfer-encoding")),
            (true, None) if version == Version::HTTP_10 => {
                Err(HeadError::Malformed("transfer-encoding in HTTP/1.0"))
            }
            (true, None) => Ok(Some(Framing::Chunked)),
            (false, Some(length)) => Ok(Some(Framing::Length(length))),
            (false, None) => Ok(None),
        }
    }

    /// The one protocol that is asked for or agreed on. A list of them counts for none: it is nobody's duty to change.
    pub fn upgrade(&self, head: &Bytes, fields: &[Header<'_>], version: Version) -> Option<Upgrade> {
        if !self.upgrades || self.upgrade_fields != 1 || version != Version::HTTP_11 {
            return None;
        }
        let field = fields.iter().find(|field| Kind::of(field.name) == Kind::Upgrade)?;
        let token = field.value.trim_ascii();
        let is_one = !token.is_empty() && !token.iter().any(|byte| matches!(byte, b',' | b' ' | b'\t'));
        let value = HeaderValue::from_maybe_shared(head.slice_ref(token)).ok()?;
        is_one.then(|| Upgrade::new(value))
    }

    pub fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }
}
