//! What is kept of a password, and of a key.

use base64::{
    Engine, alphabet,
    engine::{
        GeneralPurpose,
        general_purpose::{NO_PAD, STANDARD},
    },
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Takes its time, so that passwords cannot be tried out; `{SSHA256}` does not.
#[derive(Clone)]
pub enum PasswordHash {
    Bcrypt { cost: u32, salt: [u8; 16], digest: [u8; 23] },
    Salted { salt: Vec<u8>, digest: [u8; 32] },
}

/// Costs of bcrypt that can be thought of here. Each step doubles the time.
pub const COSTS: std::ops::RangeInclusive<u32> = 4..=14;

/// A quarter of the 100 ms that a plugin has for a hook: on a busy machine, that is not too much.
pub const USUAL_COST: u32 = 8;

const LONGEST_PASSWORD: usize = 72;
const SHORTEST_SALT: usize = 8;

/// It leaves out the padding, and does not mind what stands in the last bits.
const BCRYPT_BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

impl PasswordHash {
    /// # Errors
    ///
    /// What is wrong with it, without showing it. bcrypt may cost this much.
    pub fn parse(text: &str, most_cost: u32) -> Result<Self, String> {
        if let Some(rest) = ["$2a$", "$2b$", "$2y$"].iter().find_map(|prefix| text.strip_prefix(prefix)) {
            return bcrypt(rest, most_cost);
        }
        if let Some(encoded) = text.strip_prefix("{SSHA256}") {
            return salted(encoded).ok_or_else(|| {
                "`{SSHA256}` is followed by the base64 of 32 bytes of digest and at least 8 of salt"
                    .to_owned()
            });
        }
        let known = "bcrypt (`htpasswd -B`) and `{SSHA256}` are known";
        Err(match text {
            _ if text.starts_with("$apr1$") || text.starts_with("$1$") => format!("MD5 is not safe: {known}"),
            _ if text.starts_with("{SHA}") => format!("SHA-1 without a salt is not safe: {known}"),
            _ => format!("it is not a hash that is known: {known}"),
        })
    }

    pub fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt { cost, salt, digest } => {
                let computed = bcrypt::bcrypt(*cost, *salt, &terminated(password));
                computed[..digest.len()].ct_eq(digest).into()
            }
            Self::Salted { salt, digest } => {
                let computed = Sha256::new().chain_update(password).chain_update(salt).finalize();
                computed.as_slice().ct_eq(digest).into()
            }
        }
    }
}

/// bcrypt reads a password to its NUL, and no further than this.
fn terminated(password: &[u8]) -> Vec<u8> {
    let mut bytes = password.to_vec();
    bytes.push(0);
    bytes.truncate(LONGEST_PASSWORD);
    bytes
}

/// `10$` and 53 characters: 22 of the salt, 31 of the digest.
fn bcrypt(rest: &str, most_cost: u32) -> Result<PasswordHash, String> {
    let malformed = || "a bcrypt hash has a cost of two digits and 53 characters behind it".to_owned();
    let (cost, encoded) = rest.split_once('$').ok_or_else(malformed)?;
    let (salt, digest) = encoded.split_at_checked(22).ok_or_else(malformed)?;
    let cost: u32 = cost.parse().map_err(|_| malformed())?;
    let salt = decoded(salt).ok_or_else(malformed)?;
    let digest = decoded(digest).ok_or_else(malformed)?;
    if !(*COSTS.start()..=most_cost).contains(&cost) {
        return Err(format!(
            "a bcrypt hash costs at most {most_cost}, and this one {cost}: `bcrypt_cost` and `limits.time` can allow it"
        ));
    }
    Ok(PasswordHash::Bcrypt { cost, salt, digest })
}

fn decoded<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    BCRYPT_BASE64.decode(text).ok()?.try_into().ok()
}

fn salted(encoded: &str) -> Option<PasswordHash> {
    let bytes = STANDARD.decode(encoded).ok()?;
    let (digest, salt) = bytes.split_first_chunk()?;
    (salt.len() >= SHORTEST_SALT).then(|| PasswordHash::Salted { salt: salt.to_vec(), digest: *digest })
}

/// The digest of a key: a key is random and long, so it needs neither salt nor time.
pub struct KeyHash([u8; 32]);

impl KeyHash {
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// # Errors
    ///
    /// What it should be, without showing it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let malformed =
            || "a key is kept as `sha256:` and the 64 hexadecimal digits of its SHA-256".to_owned();
        let digits =
            text.strip_prefix("sha256:").filter(|digits| digits.len() == 64).ok_or_else(malformed)?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| malformed())?;
            let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(pair, 16).ok().filter(|_| is_hex).ok_or_else(malformed)?;
        }
        Ok(Self(digest))
    }

    /// In a time that does not depend on how much of it is equal.
    pub fn equals(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's bcrypt and hashlib.
    const KNOWN: [(&str, &str); 5] = [
        ("$2b$04$WUHhXETkX0fnYkrqZU3ta.BxKDTg2Z8ZU0udQrKP.HXrYGSLmbP82", "wonderland"),
        ("$2y$05$WUHhXETkX0fnYkrqZU3ta..lV.b6GQxmMLhXsV8jWG8rnMbhs/MDK", "open sesame"),
        ("$2a$04$WUHhXETkX0fnYkrqZU3ta..jSGCE7ZDJU9PmfLEzw.bC8i5fOWBUC", "123£"),
        ("{SSHA256}l5RjoiBC4NpN2li/wOSo2hRdoeHWWU/LcvTspHMJ6epzYWx0c2FsdA==", "wonderland"),
        (
            "$2b$04$WUHhXETkX0fnYkrqZU3ta.6cXBFnadbzSUs1vFltuT5KmjYBRv23S",
            "longlonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglonglong",
        ),
    ];

    #[test]
    fn verifies_passwords() {
        for (hash, password) in KNOWN {
            let hash = PasswordHash::parse(hash, USUAL_COST).unwrap();
            assert!(hash.verify(password.as_bytes()), "{password}");
            assert!(!hash.verify(format!("x{password}").as_bytes()));
            assert!(!hash.verify(b""));
        }
    }

    #[test]
    fn refuses_hashes_that_are_not_safe_or_not_whole() {
        fn check(text: &str, expected: &str) {
            let refused = PasswordHash::parse(text, USUAL_COST).map(|_| ()).unwrap_err();
            assert!(refused.starts_with(expected), "{text}: {refused}");
        }
        check("secret", "it is not a hash that is known");
        check("$apr1$x$y", "MD5 is not safe");
        check("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1 without a salt is not safe");
        check("$6$x$y", "it is not a hash that is known");
        check("$2x$06$abc", "it is not a hash that is known");
        check("$2b$06", "a bcrypt hash has a cost");
        check("$2b$06$short", "a bcrypt hash has a cost");
        check(
            "$2b$11$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.",
            "a bcrypt hash costs at most 8, and this one 11: `bcrypt_cost` and `limits.time` can allow it",
        );
        check("$2b$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s.x", "a bcrypt hash has");
        check("{SSHA256}AAAA", "`{SSHA256}` is followed by");
        check("{SSHA256}!", "`{SSHA256}` is followed by");
    }

    #[test]
    fn compares_keys() {
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(KeyHash::parse(abc).unwrap().equals(&KeyHash::of(b"abc")));
        assert!(!KeyHash::parse(abc).unwrap().equals(&KeyHash::of(b"abd")));
        for refused in
            ["", "abc", "sha256:ba78", &abc[7..], &abc.replace("ba", "+a"), &abc.replace("ba", "xx")]
        {
            assert!(KeyHash::parse(refused).is_err(), "{refused}");
        }
    }
}
