//! What clients see instead of errors.

use std::fmt;

use http::StatusCode;

use super::Content;

/// Pages by status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPages {
    /// Those for one status come before those for many.
    pages: Box<[(Statuses, ErrorPage)]>,
    /// Whether they stand for backends' errors too, and not only for the gateway's own.
    replace_backends: bool,
}

/// Which errors a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statuses {
    /// One.
    One(u16),
    /// A hundred: 4 or 5.
    Class(u16),
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// None is that of the error.
    pub status: Option<StatusCode>,
    /// What is shown.
    pub content: Content,
}

impl Statuses {
    /// `404`, or `4xx`. Errors have statuses from 400 to 599.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "4xx" => Some(Self::Class(4)),
            "5xx" => Some(Self::Class(5)),
            _ if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().filter(|status| (400..600).contains(status)).map(Self::One)
            }
            _ => None,
        }
    }

    fn has(self, status: StatusCode) -> bool {
        match self {
            Self::One(one) => one == status.as_u16(),
            Self::Class(class) => class == status.as_u16() / 100,
        }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl ErrorPages {
    /// Of pages in any order.
    pub fn new(mut pages: Vec<(Statuses, ErrorPage)>, replace_backends: bool) -> Self {
        pages.sort_by_key(|(statuses, _)| *statuses);
        Self { pages: pages.into(), replace_backends }
    }

    /// The page for an error of a backend, or of the gateway.
    pub fn find(&self, status: StatusCode, is_backends: bool) -> Option<&ErrorPage> {
        if is_backends && !self.replace_backends {
            return None;
        }
        self.pages.iter().find(|(statuses, _)| statuses.has(status)).map(|(_, page)| page)
    }

    /// What there are pages for.
    pub fn statuses(&self) -> impl Iterator<Item = Statuses> {
        self.pages.iter().map(|(statuses, _)| *statuses)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn page(body: &'static str) -> ErrorPage {
        ErrorPage {
            status: None,
            content: Content { headers: Box::default(), body: Bytes::from_static(body.as_bytes()) },
        }
    }

    #[test]
    fn one_status_comes_before_a_class() {
        let pages = ["5xx", "502", "404"].map(|text| (Statuses::parse(text).unwrap(), page(text))).to_vec();
        let check = |status: u16, is_backends: bool, expected: Option<&str>| {
            for replace_backends in [true, false] {
                let pages = ErrorPages::new(pages.clone(), replace_backends);
                let found = pages.find(StatusCode::from_u16(status).unwrap(), is_backends);
                let expected = expected.filter(|_| replace_backends || !is_backends);
                assert_eq!(found.map(|page| &page.content.body[..]), expected.map(str::as_bytes), "{status}");
            }
        };
        for is_backends in [true, false] {
            check(502, is_backends, Some("502"));
            check(503, is_backends, Some("5xx"));
            check(404, is_backends, Some("404"));
            check(403, is_backends, None);
            check(302, is_backends, None);
        }
    }

    #[test]
    fn errors_have_statuses_from_400_to_599() {
        for text in ["400", "599", "4xx", "5xx"] {
            assert_eq!(Statuses::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "399", "600", "3xx", "4XX", "404 ", "+04", "4000", "xxx"] {
            assert_eq!(Statuses::parse(text), None, "{text}");
        }
    }
}
