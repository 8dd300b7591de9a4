//! How a filter says no, to those who speak HTTP and to those who speak gRPC.

use crate::{Reply, RequestHead};

/// A refusal in both tongues. Over HTTP it is a JSON object like the gateway's own, `{"code": "...", "message": "..."}`.
///
/// ```
/// # use cloud_cup_plugin::{Refusal, Verdict, grpc};
/// let refusal = Refusal {
///     status: 403,
///     grpc_status: grpc::PERMISSION_DENIED,
///     code: "tenant-unknown",
///     message: "there is no such tenant",
/// };
/// let over_http = refusal.reply(false);
/// assert_eq!(over_http.status, 403);
/// let over_grpc = refusal.reply(true);
/// assert_eq!(over_grpc.status, 200);
/// let verdict: Verdict = over_grpc.into();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// 400 to 599.
    pub status: u16,
    /// One of [`grpc`](crate::grpc).
    pub grpc_status: u8,
    /// For programs: stable, lower case, with hyphens.
    pub code: &'a str,
    /// For people.
    pub message: &'a str,
}

#[derive(serde::Serialize)]
struct Body<'a> {
    code: &'a str,
    message: &'a str,
}

impl Refusal<'_> {
    /// The response. `grpc` is what [`RequestHead::is_grpc`] says.
    #[must_use]
    pub fn reply(&self, grpc: bool) -> Reply {
        if grpc {
            return Reply::grpc(self.grpc_status, self.message);
        }
        let mut body = serde_json::to_vec(&Body { code: self.code, message: self.message })
            .expect("two strings can be written as JSON");
        body.push(b'\n');
        Reply::new(self.status).header("content-type", "application/json").body(body)
    }
}

impl Reply {
    /// A gRPC response without messages: its status stands in the head, and the HTTP status is 200.
    #[must_use]
    pub fn grpc(status: u8, message: &str) -> Self {
        Self::new(200)
            .header("content-type", "application/grpc")
            .header("grpc-status", status.to_string())
            .header("grpc-message", percent_encoded(message))
    }
}

impl RequestHead {
    /// Whether the client speaks gRPC, and so understands no other answer.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        self.header("content-type").is_some_and(|kind| is_grpc(&kind))
    }
}

/// `application/grpc`, `application/grpc+proto`, `application/grpc; ...`. Not gRPC-Web, which has another answer.
fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some((kind, rest)) = content_type.split_at_checked(GRPC.len()) else { return false };
    kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// `Percent-Encoded` of gRPC over HTTP/2: all but printable ASCII, and the per cent sign itself.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Status codes of gRPC that a filter answers with.
pub mod grpc {
    /// The client asked for what cannot be.
    pub const INVALID_ARGUMENT: u8 = 3;
    /// Who asks may not.
    pub const PERMISSION_DENIED: u8 = 7;
    /// A quota is used up.
    pub const RESOURCE_EXHAUSTED: u8 = 8;
    /// Something is broken.
    pub const INTERNAL: u8 = 13;
    /// Not now; later, perhaps.
    pub const UNAVAILABLE: u8 = 14;
    /// Nobody knows who asks.
    pub const UNAUTHENTICATED: u8 = 16;
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSAL: Refusal = Refusal {
        status: 429,
        grpc_status: grpc::RESOURCE_EXHAUSTED,
        code: "rate-limited",
        message: "100 % of it is \"used\" – wait",
    };

    #[test]
    fn http_gets_json() {
        let reply = REFUSAL.reply(false);
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers, [("content-type".to_owned(), b"application/json".to_vec())]);
        let body = r#"{"code":"rate-limited","message":"100 % of it is \"used\" – wait"}"#.to_owned() + "\n";
        assert_eq!(String::from_utf8(reply.body), Ok(body));
    }

    #[test]
    fn grpc_gets_a_status_in_the_head() {
        let reply = REFUSAL.reply(true);
        let headers: Vec<_> = reply
            .headers
            .iter()
            .map(|(name, value)| (&**name, std::str::from_utf8(value).unwrap()))
            .collect();
        assert_eq!(reply.status, 200);
        assert_eq!(
            headers,
            [
                ("content-type", "application/grpc"),
                ("grpc-status", "8"),
                ("grpc-message", "100 %25 of it is \"used\" %E2%80%93 wait"),
            ]
        );
        assert!(reply.body.is_empty());
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        fn check(content_type: &str, expected: bool) {
            assert_eq!(is_grpc(content_type.as_bytes()), expected, "{content_type:?}");
        }
        check("application/grpc", true);
        check("Application/gRPC+proto", true);
        check("application/grpc; charset=utf-8", true);
        check("application/grpc-web", false);
        check("application/grp", false);
        check("application/json", false);
        check("", false);
    }
}
