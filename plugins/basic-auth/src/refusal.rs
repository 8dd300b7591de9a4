//! What those are told who may not pass.

use cloud_cup_plugin::{Refusal, Reply, grpc};

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Denied {
    /// It has no credentials.
    Missing,
    /// Nobody has these.
    Invalid,
    /// It has several.
    Ambiguous,
    /// Its head cannot take the user's name.
    NoRoom,
}

/// `challenges` are the values of `WWW-Authenticate`.
pub fn reply(denied: Denied, challenges: &[String], grpc: bool) -> Reply {
    let reply = denied.refusal().reply(grpc);
    match denied {
        Denied::Missing | Denied::Invalid => challenges
            .iter()
            .fold(reply, |reply, challenge| reply.header("www-authenticate", challenge.as_str())),
        Denied::Ambiguous | Denied::NoRoom => reply,
    }
}

impl Denied {
    fn refusal(self) -> Refusal<'static> {
        let (status, grpc_status, code, message) = match self {
            Self::Missing => (401, grpc::UNAUTHENTICATED, "credentials-missing", "there are no credentials"),
            Self::Invalid => {
                (401, grpc::UNAUTHENTICATED, "credentials-invalid", "the credentials are not known")
            }
            Self::Ambiguous => (
                400,
                grpc::UNAUTHENTICATED,
                "credentials-ambiguous",
                "there is more than one set of credentials",
            ),
            Self::NoRoom => (
                431,
                grpc::RESOURCE_EXHAUSTED,
                "head-too-large",
                "the head of the request has no room for the user's name",
            ),
        };
        Refusal { status, grpc_status, code, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_credentials_where_they_help() {
        let challenges = ["Basic realm=\"a\"".to_owned(), "ApiKey realm=\"a\"".to_owned()];
        let check = |denied: Denied, status: u16, asked: usize| {
            let reply = reply(denied, &challenges, false);
            assert_eq!(reply.status, status);
            let fields = reply.headers.iter().filter(|(name, _)| name == "www-authenticate");
            assert_eq!(fields.count(), asked);
        };
        check(Denied::Missing, 401, 2);
        check(Denied::Invalid, 401, 2);
        check(Denied::Ambiguous, 400, 0);
        check(Denied::NoRoom, 431, 0);
    }
}
