//! `Accept-Encoding`, RFC 9110, section 12.5.3.

use super::Coding;

/// How much a client wants something, in thousandths.
type Quality = u16;

/// What a client says of codings.
#[derive(Debug, Default)]
struct Wishes {
    gzip: Option<Quality>,
    brotli: Option<Quality>,
    zstd: Option<Quality>,
    identity: Option<Quality>,
    /// Of all codings that are not named.
    others: Option<Quality>,
}

/// The coding that the client likes best of those at hand, and of several the first at hand. None where it accepts
/// none of them, where it would rather have none, and where it says nothing at all: then it is more likely to be a
/// simple client than one that knows everything. `fields` are the values of `accept-encoding`.
///
/// Where it excludes `identity` and accepts none of those at hand the response stays as it is: the client can do more
/// with that than with a status 406.
pub fn negotiate<'a>(fields: impl Iterator<Item = &'a [u8]>, at_hand: &[Coding]) -> Option<Coding> {
    let wishes = Wishes::parse(fields);
    let mut best = None;
    // Unnamed, `identity` is acceptable, but less than anything that is named.
    let mut quality = wishes.identity.unwrap_or(0).max(1) - 1;
    for &coding in at_hand {
        if wishes.quality(coding) > quality {
            (best, quality) = (Some(coding), wishes.quality(coding));
        }
    }
    best
}

impl Wishes {
    /// Members that are not of the syntax, or of codings that nobody here has, are passed over. Of two for the same
    /// coding the first counts.
    fn parse<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut wishes = Self::default();
        for member in fields.flat_map(|field| field.split(|&byte| byte == b',')) {
            let (name, quality) = split(member);
            if let (Some(wish), Some(quality)) = (wishes.named(name), quality) {
                wish.get_or_insert(quality);
            }
        }
        wishes
    }

    fn named(&mut self, name: &[u8]) -> Option<&mut Option<Quality>> {
        let is = |token: &str| name.eq_ignore_ascii_case(token.as_bytes());
        match () {
            // The same by section 8.4.1.3.
            () if is("gzip") || is("x-gzip") => Some(&mut self.gzip),
            () if is("br") => Some(&mut self.brotli),
            () if is("zstd") => Some(&mut self.zstd),
            () if is("identity") => Some(&mut self.identity),
            () if is("*") => Some(&mut self.others),
            () => None,
        }
    }

    /// 0 where it is not acceptable.
    fn quality(&self, coding: Coding) -> Quality {
        let named = match coding {
            Coding::Gzip => self.gzip,
            Coding::Brotli => self.brotli,
            Coding::Zstd => self.zstd,
        };
        named.or(self.others).unwrap_or(0)
    }
}

/// A member's name and weight, which is 1 where nothing is said of it.
fn split(member: &[u8]) -> (&[u8], Option<Quality>) {
    let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default();
    let weight = match (parts.next(), parts.next()) {
        (None, _) => Some(1000),
        (Some([b'q' | b'Q', b'=', value @ ..]), None) => quality(value),
        _ => None,
    };
    (name, weight)
}

/// `0`, `1` or a fraction of at most three digits.
fn quality(value: &[u8]) -> Option<Quality> {
    let (&whole, fraction) = value.split_first()?;
    let digits = match fraction {
        [] | [b'.'] => &[],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let digit = |place: usize| match digits.get(place) {
        None => Some(0),
        Some(digit) => digit.is_ascii_digit().then(|| Quality::from(digit - b'0')),
    };
    let thousandths = digit(0)? * 100 + digit(1)? * 10 + digit(2)?;
    match (whole, thousandths) {
        (b'0', _) => Some(thousandths),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Coding::{Brotli, Gzip, Zstd};
    use super::*;

    #[track_caller]
    fn check(fields: &[&str], expected: Option<Coding>) {
        let fields = fields.iter().map(|field| field.as_bytes());
        assert_eq!(negotiate(fields, &[Zstd, Brotli, Gzip]), expected);
    }

    #[test]
    fn the_first_at_hand_of_those_that_are_wanted_alike() {
        check(&["gzip, br, zstd"], Some(Zstd));
        check(&["gzip, deflate, br"], Some(Brotli));
        check(&["gzip;q=0.5, br;q=0.5"], Some(Brotli));
        check(&["deflate, gzip"], Some(Gzip));
        check(&["gzip", "br"], Some(Brotli));
        assert_eq!(negotiate([&b"gzip, br"[..]].into_iter(), &[Gzip, Brotli]), Some(Gzip));
        assert_eq!(negotiate([&b"gzip, br"[..]].into_iter(), &[]), None);
    }

    #[test]
    fn the_clients_preference_comes_before_ours() {
        check(&["gzip;q=1.0, br;q=0.9, zstd;q=0.999"], Some(Gzip));
        check(&["gzip;q=0.001, br;q=0"], Some(Gzip));
        check(&["zstd;q=0.1, *;q=0.5"], Some(Brotli));
    }

    #[test]
    fn nothing_is_encoded_for_those_that_say_nothing_or_no() {
        check(&[], None);
        check(&[""], None);
        check(&["identity"], None);
        check(&["deflate, compress"], None);
        check(&["gzip;q=0"], None);
        check(&["gzip;q=0, br;q=0.000"], None);
        check(&["*;q=0"], None);
    }

    #[test]
    fn the_asterisk_is_for_those_that_are_not_named() {
        check(&["*"], Some(Zstd));
        check(&["zstd;q=0, *"], Some(Brotli));
        check(&["gzip, *;q=0"], Some(Gzip));
        check(&["gzip;q=0.5, *;q=0.1"], Some(Gzip));
    }

    #[test]
    fn identity_may_be_preferred_or_excluded() {
        check(&["identity, gzip;q=0.5"], None);
        check(&["identity;q=0.5, gzip;q=0.5"], Some(Gzip));
        check(&["identity;q=0.4, gzip;q=0.5"], Some(Gzip));
        check(&["identity;q=0, gzip;q=0.001"], Some(Gzip));
        check(&["identity;q=0"], None);
        check(&["identity;q=0, gzip;q=0"], None);
        check(&["identity;q=0, *"], Some(Zstd));
    }

    #[test]
    fn case_and_blanks_make_no_difference() {
        check(&["  GZip \t;  Q=0.8\t,BR;q=0.3"], Some(Gzip));
        check(&["x-gzip"], Some(Gzip));
        check(&[",, gzip ,"], Some(Gzip));
    }

    #[test]
    fn members_that_are_not_of_the_syntax_are_passed_over() {
        for wrong in [
            "br;q=2",
            "br;q=1.001",
            "br;q=0.1234",
            "br;q=.5",
            "br;q=",
            "br;q",
            "br;level=3",
            "br;q=-1",
            "br;q=0.a",
        ] {
            check(&[wrong], None);
            check(&[wrong, "gzip;q=0.1"], Some(Gzip));
        }
        check(&["br;q=1;x=y"], None);
        check(&["br;q=1."], Some(Brotli));
        check(&["br;q=0.5, br;q=0, gzip;q=0.4"], Some(Brotli));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered(fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)) {
            negotiate(fields.iter().map(Vec::as_slice), &[Zstd, Brotli, Gzip]);
        }

        #[test]
        fn what_is_excluded_is_never_chosen(text in "((gzip|br|zstd|identity|[*])(;q=(0|1|0[.][0-9]{1,3}))?,){1,6}") {
            let wishes = Wishes::parse([text.as_bytes()].into_iter());
            match negotiate([text.as_bytes()].into_iter(), &[Zstd, Brotli, Gzip]) {
                Some(coding) => {
                    prop_assert!(wishes.quality(coding) > 0);
                    prop_assert!(wishes.quality(coding) >= wishes.identity.unwrap_or(0));
                    prop_assert!([Zstd, Brotli, Gzip].iter().all(|other| wishes.quality(*other) <= wishes.quality(coding)));
                }
                None => {
                    let preferred = wishes.identity.unwrap_or(0).max(1);
                    let is_passed_over = |coding: &Coding| wishes.quality(*coding) < preferred;
                    prop_assert!([Zstd, Brotli, Gzip].iter().all(is_passed_over));
                }
            }
        }
    }
}
