//! Good tokens, claims, and what a specification may be.

use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature as by;
use serde_json::{Value, json};

use super::forge::*;
use crate::capability::jwt::{Algorithm, KeyError, PemError, Refusal, Source, SpecError, Verdict, Verifier};

#[tokio::test]
async fn accepts_every_algorithm_with_a_key_of_its_own_type() {
    let set = key_set(spec(Source::JwksText(every_key()), &asymmetric()));
    let check = |algorithm: &str, kid: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        for kid in [Some(kid), None] {
            let verified = judge(&set, &token(&header(algorithm, kid), &claims(), sign)).unwrap();
            assert_eq!(verified.text("sub").as_deref(), Some("anna"), "{algorithm}");
            assert_eq!(verified.json, claims());
            assert_eq!(verified.expires, Some(Duration::from_secs(NOW + 600)));
            assert_eq!(&*verified.key_set, "staff");
        }
    };
    check("RS256", "rsa", &rs256);
    check("RS384", "rsa", &|message| by_rsa(&RSA, &by::RSA_PKCS1_SHA384, message));
    check("RS512", "rsa", &|message| by_rsa(&RSA, &by::RSA_PKCS1_SHA512, message));
    check("PS256", "rsa", &|message| by_rsa(&RSA, &by::RSA_PSS_SHA256, message));
    check("PS384", "rsa", &|message| by_rsa(&RSA, &by::RSA_PSS_SHA384, message));
    check("PS512", "rsa", &|message| by_rsa(&RSA, &by::RSA_PSS_SHA512, message));
    check("ES256", "p256", &|message| by_ecdsa(&P256, message));
    check("ES384", "p384", &|message| by_ecdsa(&P384, message));
    check("EdDSA", "ed", &|message| ED.sign(message).as_ref().to_vec());
    assert_eq!(set.cached(), 18);
}

#[tokio::test]
async fn accepts_secrets() {
    let set = key_set(spec(Source::Secret(SECRET.to_vec()), &[Algorithm::Hs256, Algorithm::Hs512]));
    assert!(judge(&set, &token(&header("HS256", Some("any")), &claims(), hs256)).is_ok());
    let hs512 = |message: &[u8]| by_hmac(hmac::HMAC_SHA512, SECRET, message);
    assert!(judge(&set, &token(&header("HS512", None), &claims(), hs512)).is_ok());
    let oct = json!({"kty": "oct", "k": base64url(SECRET), "alg": "HS256"});
    let set = key_set(spec(Source::JwksText(jwks(&[oct])), &[Algorithm::Hs256]));
    assert!(judge(&set, &token(&header("HS256", None), &claims(), hs256)).is_ok());
}

#[tokio::test]
async fn reads_pem_of_every_kind() {
    let check = |pem: String, algorithm: Algorithm, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let set = key_set(spec(Source::Pem(pem), &[algorithm]));
        assert!(judge(&set, &token(&header(algorithm.name(), Some("any")), &claims(), sign)).is_ok());
    };
    check(pem("PUBLIC KEY", &rsa_spki()), Algorithm::Rs256, &rs256);
    check(pem("RSA PUBLIC KEY", by::KeyPair::public_key(&*RSA).as_ref()), Algorithm::Rs256, &rs256);
    check(pem("PUBLIC KEY", &p256_spki()), Algorithm::Es256, &|message| by_ecdsa(&P256, message));
    check(pem("PUBLIC KEY", &ed_spki()), Algorithm::EdDsa, &|message| ED.sign(message).as_ref().to_vec());
}

#[tokio::test]
async fn reads_claims_as_they_are_meant() {
    let mut written = spec(Source::Secret(SECRET.to_vec()), &[Algorithm::Hs256]);
    written.issuers = vec!["a".to_owned(), "b".to_owned()];
    written.audiences = vec!["api".to_owned()];
    written.required = vec!["sub".to_owned()];
    let set = key_set(written);
    let check = |change: Value, expected: Result<(), Refusal>| {
        let mut claims = json!({"iss": "b", "aud": "api", "sub": "anna", "exp": NOW + 600});
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| *value != "absent");
        let verdict = judge(&set, &token(&header("HS256", None), &claims.to_string(), hs256));
        assert_eq!(verdict.map(drop), expected, "{change}");
    };
    let missing = |name: &str| Err(Refusal::MissingClaim(name.to_owned()));
    check(json!({}), Ok(()));
    check(json!({"exp": NOW as f64 + 0.5}), Ok(()));
    check(json!({"exp": NOW - 59}), Ok(()));
    check(json!({"exp": NOW as f64 - 59.5}), Ok(()));
    check(json!({"exp": NOW - 60}), Err(Refusal::Expired));
    check(json!({"exp": -1}), Err(Refusal::Expired));
    check(json!({"exp": i64::MIN}), Err(Refusal::Expired));
    check(json!({"exp": -1e300}), Err(Refusal::Expired));
    check(json!({"exp": u64::MAX}), Ok(()));
    check(json!({"exp": 1e308}), Ok(()));
    check(json!({"exp": "absent"}), missing("exp"));
    for exp in [json!("9999999999"), json!(null), json!([NOW + 600]), json!({}), json!(true)] {
        check(json!({"exp": exp}), Err(Refusal::Malformed));
    }
    check(json!({"nbf": NOW + 60}), Ok(()));
    check(json!({"nbf": NOW + 61}), Err(Refusal::NotYetValid));
    check(json!({"nbf": 1e308}), Err(Refusal::NotYetValid));
    check(json!({"nbf": "0"}), Err(Refusal::Malformed));
    check(json!({"iat": "never looked at"}), Ok(()));
    for iss in [json!("c"), json!("absent"), json!(["b"]), json!("B"), json!("b "), json!(null)] {
        check(json!({"iss": iss}), Err(Refusal::Issuer));
    }
    check(json!({"aud": ["other", "api"]}), Ok(()));
    for aud in [
        json!("other"),
        json!("absent"),
        json!([]),
        json!([["api"]]),
        json!(["api", ["x"]]),
        json!({"api": 1}),
    ] {
        check(json!({"aud": aud}), Err(Refusal::Audience));
    }
    for sub in [json!("absent"), json!(null)] {
        check(json!({"sub": sub}), missing("sub"));
    }
    check(json!({"sub": ""}), Ok(()));
}

#[test]
fn refuses_specifications_that_cannot_work() {
    let public = pem("PUBLIC KEY", &rsa_spki());
    let check = |source: Source, algorithms: &[Algorithm], expected: &[SpecError]| {
        let found = spec(source, algorithms).check();
        assert_eq!(found.err().unwrap_or_default(), expected);
    };
    let url = |url: &str| Source::Jwks { url: url.to_owned() };
    let (rs, hs) = (Algorithm::Rs256, Algorithm::Hs256);
    check(url("https://a.example/keys"), &[rs], &[]);
    check(url("https://a.example/keys"), &[], &[SpecError::NoAlgorithm]);
    check(url("https://a.example/keys"), &[rs, hs], &[SpecError::SymmetricForPublic(hs)]);
    check(Source::Pem(public.clone()), &[hs], &[SpecError::SymmetricForPublic(hs)]);
    check(Source::Secret(SECRET.to_vec()), &[hs, rs], &[SpecError::PublicForSecret(rs)]);
    check(Source::JwksText(every_key()), &[hs, rs], &[SpecError::Mixed(hs)]);
    check(
        Source::JwksText(every_key()),
        &[hs],
        &[SpecError::Jwks(crate::capability::jwt::JwksError::NoUsableKey)],
    );
    check(
        Source::JwksText("{}".to_owned()),
        &[rs],
        &[SpecError::Jwks(crate::capability::jwt::JwksError::NotJwks)],
    );
    check(Source::Pem(public.clone()), &[Algorithm::Es256], &[SpecError::Pem(KeyError::NoAlgorithm.into())]);
    check(Source::Pem("x".to_owned()), &[rs], &[SpecError::Pem(PemError::NotPem)]);
    check(Source::Pem(public.clone() + &public), &[rs], &[SpecError::Pem(PemError::NotPem)]);
    check(Source::Pem(pem("PRIVATE KEY", b"x")), &[rs], &[SpecError::Pem(PemError::Private)]);
    let short = KeyError::ShortSecret { algorithm: hs, expected: 32, found: 6 };
    check(Source::Secret(b"secret".to_vec()), &[hs], &[SpecError::Key(short)]);
    for wrong in ["", "keys", "ftp://a/keys", "https://user:secret@a/keys", "file:///etc/passwd"] {
        check(url(wrong), &[rs], &[SpecError::Url]);
    }
    let mut both = spec(url("x"), &[]);
    both.min_refresh = Duration::ZERO;
    assert_eq!(both.check(), Err(vec![SpecError::NoAlgorithm, SpecError::Refresh, SpecError::Url]));
}

#[tokio::test]
async fn passes_over_keys_that_are_not_for_this() {
    let check = |member: &str, value: Value, usable: bool| {
        let mut key = rsa_jwk(&RSA, "rsa");
        key[member] = value.clone();
        let found = spec(Source::JwksText(jwks(&[key])), &[Algorithm::Rs256]).check();
        assert_eq!(found.is_ok(), usable, "{member} {value}");
    };
    check("use", json!("sig"), true);
    check("use", json!("enc"), false);
    check("key_ops", json!(["verify"]), true);
    check("key_ops", json!(["sign", "encrypt"]), false);
    check("key_ops", json!("verify"), false);
    check("alg", json!("RS256"), true);
    check("alg", json!("PS256"), false);
    check("alg", json!("RSA-OAEP"), false);
    check("kid", json!(7), false);
    check("kty", json!("oct"), false);
    check("kty", json!("AKP"), false);
    check("n", json!(base64url([0xff; 128])), false);
    check("n", json!(base64url([0xff; 1025])), false);
    check("n", json!("not base64!"), false);
    check("e", json!(base64url([])), false);
    let mut outside = ec_jwk(&P256, "P-256", "p256");
    outside["x"] = json!(base64url([7; 32]));
    assert!(spec(Source::JwksText(jwks(&[outside])), &[Algorithm::Es256]).check().is_err());
}

#[tokio::test]
async fn a_verifier_asks_the_set_that_names_the_issuer() {
    let set = |name: &str, issuers: &[&str], secret: &[u8]| {
        let mut written = spec(Source::Secret(secret.to_vec()), &[Algorithm::Hs256]);
        written.name = name.to_owned();
        written.issuers = issuers.iter().map(|issuer| (*issuer).to_owned()).collect();
        key_set(written)
    };
    let (a, b, any) = (set("a", &["a"], SECRET), set("b", &["b"], &[1; 32]), set("any", &[], SECRET));
    let all = Verifier::new(vec![any.clone(), a.clone(), b.clone()]);
    let named = Verifier::new(vec![a.clone(), b]);
    let by_secret =
        |iss: Value| token(&header("HS256", None), &json!({"iss": iss, "exp": NOW + 9}).to_string(), hs256);
    let check = |verifier: &Verifier, iss: Value, expected: Result<&str, Refusal>| {
        for _ in 0..2 {
            let Verdict::Ready(found) = verifier.verify_now(&by_secret(iss.clone())) else { panic!() };
            let found = found.as_ref().map(|verified| &*verified.key_set).map_err(Clone::clone);
            assert_eq!(found, expected, "{iss}");
        }
    };
    // What a set remembers from elsewhere is no way around the one that has to judge.
    assert!(judge(&any, &by_secret(json!("b"))).is_ok());
    check(&all, json!("a"), Ok("a"));
    check(&all, json!("b"), Err(Refusal::Signature));
    check(&all, json!("c"), Ok("any"));
    check(&all, json!(null), Ok("any"));
    check(&named, json!("c"), Err(Refusal::Issuer));
    check(&named, json!(null), Err(Refusal::Issuer));
    check(&named, json!(["a"]), Err(Refusal::Malformed));
    check(&Verifier::new(vec![a]), json!("c"), Err(Refusal::Issuer));
    check(&Verifier::new(Vec::new()), json!("a"), Err(Refusal::Issuer));
    let twice = token(&header("HS256", None), r#"{"iss":"a","iss":"c","exp":1900000000}"#, hs256);
    assert_eq!(all.verify_now(&twice), Verdict::Ready(Err(Refusal::Malformed)));
    assert!(all.verify(&by_secret(json!("a"))).await.is_ok());
}
