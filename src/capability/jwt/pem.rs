//! A public key or certificate as PEM text.
//!
//! A certificate only carries the key: nobody checks its dates, names or issuer. The document's author chose it.

use jsonwebtoken::{DecodingKey, DecodingKeyKind};

use super::Algorithm;
use super::algorithm::Curve;
use super::jwk::without_leading_zeros;
use super::keys::{Key, KeyError, Material};

/// Why text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Neither kind of PEM block, or not readable.
    #[error("expected one PEM block `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`")]
    NotPem,
    /// It belongs with the issuer.
    #[error("found a private key: expected the public key that goes with it")]
    Private,
    /// The wrong kind of key, or a weak one.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The key in a PEM text of one block.
pub(super) fn read_pem(text: &str, algorithms: &[Algorithm]) -> Result<Key, PemError> {
    if text.contains("PRIVATE KEY-----") {
        return Err(PemError::Private);
    }
    if text.matches("-----BEGIN ").count() != 1 {
        return Err(PemError::NotPem);
    }
    Ok(Key::new(None, &read_material(text.as_bytes())?, algorithms)?)
}

fn read_material(pem: &[u8]) -> Result<Material, PemError> {
    let contents = |key: DecodingKey| match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => bytes.clone(),
        DecodingKeyKind::RsaModulusExponent { .. } => Vec::new(),
    };
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        return read_rsa(&contents(key)).ok_or(PemError::NotPem);
    }
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        let point = contents(key);
        let curve = curve_of(&point).ok_or(KeyError::NoAlgorithm)?;
        return Ok(Material::Elliptic { curve, point });
    }
    match DecodingKey::from_ed_pem(pem).map(contents) {
        Ok(bytes) if bytes.len() == 32 => Ok(Material::Ed25519(bytes)),
        _ => Err(PemError::NotPem),
    }
}

/// By its size: the check of the point itself comes when the key is parsed for its algorithm.
fn curve_of(point: &[u8]) -> Option<Curve> {
    match point.len() {
        65 => Some(Curve::P256),
        97 => Some(Curve::P384),
        _ => None,
    }
}

/// `RSAPublicKey` of RFC 8017 appendix A.1.1: a sequence of two integers.
fn read_rsa(der: &[u8]) -> Option<Material> {
    let (body, rest) = read_element(der, 0x30)?;
    let (modulus, body) = read_element(body, 0x02)?;
    let (exponent, body) = read_element(body, 0x02)?;
    if !rest.is_empty() || !body.is_empty() {
        return None;
    }
    let [modulus, exponent] = [modulus, exponent].map(|integer| without_leading_zeros(integer.to_vec()));
    Some(Material::Rsa { modulus, exponent })
}

/// The content of a DER element of this tag, and what follows it.
fn read_element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 3))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    // `openssl req -x509 -nodes -subj /CN=test`; the private keys are gone.
    const EC: &str = "-----BEGIN CERTIFICATE-----
MIIBczCCARmgAwIBAgIUVoc/42HKaSOa187xow3jMZ7hZLgwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAeFw0yNjExMjMxOTA3MDJaFw0yNjExMjQxOTA3MDJa
MA8xDTALBgNVBAMMBHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATIlHl4
uFmd84aJ5eIUfBcKYV55LBE86wj/xUg8wkgQczoyRmabpGbumE3AjbSPboQSyWrl
Zd+q7IAFLZIRhbe6o1MwUTAdBgNVHQ4EFgQUZNh8cRxnlzoAwWjOuPtmxMh3jbkw
HwYDVR0jBBgwFoAUZNh8cRxnlzoAwWjOuPtmxMh3jbkwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNIADBFAiEAvgjnILg2D5/G1bO42v2DYCigEKYQwG2uWv/W
amXN4PsCICRcDsfEwlgcXwVaNC0g5jRL9h+AkPMDNNunBlc9mJZ4
-----END CERTIFICATE-----
";
    const ED: &str = "-----BEGIN CERTIFICATE-----
MIIBMjCB5aADAgECAhQGmy+PDzadYgjuqmqw/H3j5TDMEDAFBgMrZXAwDzENMAsG
A1UEAwwEdGVzdDAeFw0yNjExMjMxOTA3MDJaFw0yNjExMjQxOTA3MDJaMA8xDTAL
BgNVBAMMBHRlc3QwKjAFBgMrZXADIQB15h2iAy6WVWR1foK5ZCUaKsAPvTDgAYB8
tnV07k7Gi6NTMFEwHQYDVR0OBBYEFG4nLAOOxkFbq1h3tfgDUrrZVfcAMB8GA1Ud
IwQYMBaAFG4nLAOOxkFbq1h3tfgDUrrZVfcAMA8GA1UdEwEB/wQFMAMBAf8wBQYD
K2VwA0EAFCMHxYSgcZdlehTTpAdL2tW4OvhbHUr5u38RzaOy/L70/XdPTh8VqShL
VjzndW9BkTc/qG895zfhiKKKOvwtAA==
-----END CERTIFICATE-----
";

    #[test]
    fn takes_the_key_out_of_a_certificate() {
        let check = |pem: &str, algorithm: Algorithm, expected: bool| {
            assert_eq!(read_pem(pem, &[algorithm]).is_ok(), expected, "{algorithm}");
        };
        check(EC, Algorithm::Es256, true);
        check(EC, Algorithm::Es384, false);
        check(EC, Algorithm::Rs256, false);
        check(ED, Algorithm::EdDsa, true);
        check(ED, Algorithm::Es256, false);
        check(&EC.replace('M', "N"), Algorithm::Es256, false);
        check(&EC[..EC.len() / 2], Algorithm::Es256, false);
    }
}
