//! Published attacks on JWT libraries, each against a set that would accept the honest token.

use aws_lc_rs::hmac::HMAC_SHA256;
use aws_lc_rs::signature::{self as by, KeyPair};
use serde_json::json;

use super::forge::*;
use crate::capability::jwt::{Algorithm, KeySet, Refusal, Source};

fn every_set() -> std::sync::Arc<KeySet> {
    key_set(spec(Source::JwksText(every_key()), &asymmetric()))
}

#[track_caller]
fn refused(set: &KeySet, token: &str, expected: Refusal) {
    assert_eq!(judge(set, token), Err(expected), "{token}");
}

#[tokio::test]
async fn refuses_unsigned_tokens() {
    let set = every_set();
    for none in ["none", "None", "NONE", "nOnE", "none ", "", "\0none"] {
        for signature in [vec![], rs256(b"x")] {
            refused(
                &set,
                &token(&header(none, Some("rsa")), &claims(), |_| signature.clone()),
                Refusal::Algorithm,
            );
        }
    }
    for header in
        ["{}", r#"{"alg":null}"#, r#"{"alg":["RS256"]}"#, r#"{"alg":{"RS256":1}}"#, "[]", "\"RS256\""]
    {
        refused(&set, &token(header, &claims(), rs256), Refusal::Malformed);
    }
    refused(&set, &token(&header("RS256", Some("rsa")), &claims(), |_| vec![]), Refusal::Signature);
}

#[tokio::test]
async fn refuses_a_public_key_as_a_secret() {
    let set = every_set();
    let spki = rsa_spki();
    let secrets = [
        pem("PUBLIC KEY", &spki).into_bytes(),
        pem("PUBLIC KEY", &spki).trim_end().as_bytes().to_vec(),
        spki,
        RSA.public_key().as_ref().to_vec(),
        rsa_jwk(&RSA, "rsa").to_string().into_bytes(),
        P256.public_key().as_ref().to_vec(),
        vec![],
    ];
    for secret in secrets {
        let forged =
            token(&header("HS256", Some("rsa")), &claims(), |message| by_hmac(HMAC_SHA256, &secret, message));
        refused(&set, &forged, Refusal::Algorithm);
    }
}

#[tokio::test]
async fn refuses_keys_and_extensions_from_the_header() {
    let set = every_set();
    let foreign = |message: &[u8]| by_rsa(&OTHER_RSA, &by::RSA_PKCS1_SHA256, message);
    // CVE-2018-0114 among them. Even the right key signs in vain: nobody needs these.
    let check = |name: &str, value: serde_json::Value| {
        let header = json!({"alg": "RS256", "kid": "rsa", name: value}).to_string();
        refused(&set, &token(&header, &claims(), foreign), Refusal::Header(name.to_owned()));
        refused(&set, &token(&header, &claims(), rs256), Refusal::Header(name.to_owned()));
    };
    check("jwk", rsa_jwk(&OTHER_RSA, "rsa"));
    check("jwk", json!(null));
    check("jku", json!("https://evil.example/keys"));
    check("x5u", json!("https://evil.example/cert"));
    check("x5c", json!(["MIIB"]));
    check("crit", json!(["exp"]));
    check("crit", json!([]));
    check("crit", json!(["b64"]));
    check("b64", json!(false));
    check("b64", json!("true"));
    check("zip", json!("DEF"));
}

#[tokio::test]
async fn refuses_odd_key_identifiers() {
    let set = every_set();
    let long = "k".repeat(256);
    for kid in ["../../dev/null", "x' UNION SELECT 'key", "| /bin/sh", "", "RSA", "rsa\0", "p256", &long] {
        refused(&set, &token(&header("RS256", Some(kid)), &claims(), rs256), Refusal::UnknownKey);
    }
    let odd = [json!(1), json!(null), json!(["rsa"]), json!({"rsa": 1}), json!("k".repeat(257))];
    for kid in odd {
        let header = json!({"alg": "RS256", "kid": kid}).to_string();
        refused(&set, &token(&header, &claims(), rs256), Refusal::Header("kid".to_owned()));
    }
}

#[tokio::test]
async fn refuses_damaged_signatures() {
    let set = every_set();
    let header = header("RS256", Some("rsa"));
    let check = |change: &dyn Fn(&mut Vec<u8>)| {
        let damaged = token(&header, &claims(), |message| {
            let mut signature = rs256(message);
            change(&mut signature);
            signature
        });
        refused(&set, &damaged, Refusal::Signature);
    };
    check(&|signature| signature.truncate(255));
    check(&|signature| signature.push(0));
    check(&|signature| signature.insert(0, 0));
    check(&|signature| signature[7] ^= 1);
    check(&|signature| signature.fill(0));
    check(&|signature| signature.fill(0xff));
    let good = token(&header, &claims(), rs256);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let other = json!({"sub": "root", "exp": NOW + 600}).to_string();
    refused(&set, &format!("{head}.{}.{signature}", base64url(other)), Refusal::Signature);
}

#[tokio::test]
async fn refuses_false_curve_signatures() {
    let set = every_set();
    let es256 = header("ES256", Some("p256"));
    // CVE-2022-21449: r and s of zero, or of the group's order.
    let order = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff].to_vec();
    let order = [order, 0xbce6_faad_a717_9e84_f3b9_cac2_fc63_2551_u128.to_be_bytes().to_vec()].concat();
    for signature in [vec![0; 64], [order.clone(), order].concat(), vec![0; 96], vec![]] {
        refused(&set, &token(&es256, &claims(), |_| signature.clone()), Refusal::Signature);
    }
    refused(&set, &token(&es256, &claims(), es256_in_der), Refusal::Signature);
    let wrong_curve = |message: &[u8]| by_ecdsa(&P384, message);
    refused(&set, &token(&es256, &claims(), wrong_curve), Refusal::Signature);
    refused(&set, &token(&header("ES384", Some("p256")), &claims(), wrong_curve), Refusal::UnknownKey);
    refused(&set, &token(&header("ES256", Some("p384")), &claims(), wrong_curve), Refusal::UnknownKey);
    refused(&set, &token(&header("EdDSA", Some("p256")), &claims(), wrong_curve), Refusal::UnknownKey);
    refused(&set, &token(&header("EdDSA", Some("ed")), &claims(), |_| vec![0; 64]), Refusal::Signature);
}

#[tokio::test]
async fn refuses_one_algorithms_signature_for_another() {
    let set = every_set();
    let ps256 = |message: &[u8]| by_rsa(&RSA, &by::RSA_PSS_SHA256, message);
    refused(&set, &token(&header("RS256", Some("rsa")), &claims(), ps256), Refusal::Signature);
    refused(&set, &token(&header("PS256", Some("rsa")), &claims(), rs256), Refusal::Signature);
    refused(&set, &token(&header("RS512", Some("rsa")), &claims(), rs256), Refusal::Signature);
    refused(&set, &token(&header("ES512", None), &claims(), rs256), Refusal::Algorithm);
    let only_ps = key_set(spec(Source::JwksText(every_key()), &[Algorithm::Ps256]));
    refused(&only_ps, &token(&header("RS256", None), &claims(), rs256), Refusal::Algorithm);
    // The key's own `alg` counts, even where the set allows more.
    let mut key = rsa_jwk(&RSA, "rsa");
    key["alg"] = json!("PS256");
    let set = key_set(spec(Source::JwksText(jwks(&[key])), &asymmetric()));
    refused(&set, &token(&header("RS256", Some("rsa")), &claims(), rs256), Refusal::UnknownKey);
    assert!(judge(&set, &token(&header("PS256", Some("rsa")), &claims(), ps256)).is_ok());
}

#[tokio::test]
async fn refuses_what_can_be_read_in_two_ways() {
    let set = every_set();
    let good = header("RS256", Some("rsa"));
    for header in [
        r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#,
        r#"{"alg":"RS256","\u0061lg":"RS256"}"#,
        r#"{"alg":"RS256"} "#.repeat(2).as_str(),
        r#"{"alg":"RS256","x":1e999}"#,
    ] {
        refused(&set, &token(header, &claims(), rs256), Refusal::Malformed);
    }
    for claims in [
        r#"{"sub":"a","exp":1900000000,"sub":"root"}"#,
        r#"{"exp":1,"exp":1900000000}"#,
        r#"{"exp":1900000000,"x":[{"a":1,"a":2}]}"#,
        r#"{"exp":1900000000}{}"#,
        r#"{"exp":NaN}"#,
        r#"{"exp":Infinity}"#,
        r#"{"exp":1e999}"#,
        "[]",
        "",
        "null",
    ] {
        refused(&set, &token(&good, claims, rs256), Refusal::Malformed);
    }
    refused(&set, &token(&good, &"[".repeat(10_000), rs256), Refusal::Malformed);
}

#[tokio::test]
async fn a_token_has_one_spelling() {
    let set = every_set();
    let good = token(&header("RS256", Some("rsa")), &claims(), rs256);
    assert!(judge(&set, &good).is_ok());
    let (body, last) = good.split_at(good.len() - 1);
    // 256 bytes leave four bits of the last character unused; they have to be zero.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    let spellings = [
        format!("{body}{}", &alphabet[at + 1..at + 2]),
        format!("{good}="),
        format!("{good}=="),
        format!("{good}\n"),
        format!(" {good}"),
        format!("{good}."),
        format!("{good}.x"),
        format!(".{good}"),
        good.replacen('.', ". ", 1),
        good.replacen('.', "=.", 1),
        good.replacen('.', "..", 1),
        good.replace('_', "/").replace('-', "+") + "+",
        good.replacen('.', "\u{2024}", 1),
        good.rsplit_once('.').unwrap().0.to_owned(),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{good}{}", "A".repeat(16 * 1024)),
    ];
    for spelling in spellings {
        refused(&set, &spelling, Refusal::Malformed);
    }
}

#[tokio::test]
async fn tries_a_bounded_number_of_keys() {
    let foreign: Vec<_> = (0..8).map(|at| rsa_jwk(&OTHER_RSA, &format!("other-{at}"))).collect();
    let with = |count: usize| {
        let keys = [&foreign[..count], &[rsa_jwk(&RSA, "rsa")]].concat();
        key_set(spec(Source::JwksText(jwks(&keys)), &[Algorithm::Rs256]))
    };
    let anonymous = token(&header("RS256", None), &claims(), rs256);
    assert!(judge(&with(7), &anonymous).is_ok());
    refused(&with(8), &anonymous, Refusal::Signature);
    assert!(judge(&with(8), &token(&header("RS256", Some("rsa")), &claims(), rs256)).is_ok());
}
