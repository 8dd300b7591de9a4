//! Key sets, from checked to live.

use crate::capability::jwt::{Algorithm, KeySetSpec, Source, SpecError};
use crate::config::{self, Problem, Secrets};

/// Those that can be used. The others are problems.
pub(super) fn live(
    checked: &[config::KeySet],
    secrets: &Secrets,
    problems: &mut Vec<Problem>,
) -> Vec<KeySetSpec> {
    let live = |key_set: &config::KeySet| {
        let spec = spec(key_set);
        let checked = spec.check().map_err(|errors| {
            let problem =
                |error: &SpecError| Problem::error(&key_set.pointer, secrets.redact(&error.to_string()));
            problems.extend(errors.iter().map(problem));
        });
        checked.ok().map(|()| spec)
    };
    checked.iter().filter_map(live).collect()
}

fn spec(checked: &config::KeySet) -> KeySetSpec {
    let source = match &checked.source {
        config::KeySource::Url(url) => Source::Jwks { url: url.clone() },
        config::KeySource::Discovery(url) => Source::Discovery { issuer_url: url.clone() },
        config::KeySource::Jwks(text) | config::KeySource::JwksFile { text, .. } => {
            Source::JwksText(text.clone())
        }
        config::KeySource::Pem(text) => Source::Pem(text.clone()),
        config::KeySource::Secret(text) => Source::Secret(text.clone().into_bytes()),
    };
    let algorithms = checked.algorithms.iter().map(live_algorithm).collect();
    let (expiry, required): (Vec<_>, _) =
        checked.required_claims.iter().cloned().partition(|claim| claim == "exp");
    KeySetSpec {
        issuers: checked.issuers.clone(),
        audiences: checked.audiences.clone(),
        required,
        require_exp: !expiry.is_empty(),
        clock_skew: checked.clock_skew,
        cache_size: checked.remembered_tokens as usize,
        ..KeySetSpec::new(&checked.name, source, algorithms)
    }
}

fn live_algorithm(algorithm: &config::Algorithm) -> Algorithm {
    match algorithm {
        config::Algorithm::HS256 => Algorithm::Hs256,
        config::Algorithm::HS384 => Algorithm::Hs384,
        config::Algorithm::HS512 => Algorithm::Hs512,
        config::Algorithm::RS256 => Algorithm::Rs256,
        config::Algorithm::RS384 => Algorithm::Rs384,
        config::Algorithm::RS512 => Algorithm::Rs512,
        config::Algorithm::PS256 => Algorithm::Ps256,
        config::Algorithm::PS384 => Algorithm::Ps384,
        config::Algorithm::PS512 => Algorithm::Ps512,
        config::Algorithm::ES256 => Algorithm::Es256,
        config::Algorithm::ES384 => Algorithm::Es384,
        config::Algorithm::EdDsa => Algorithm::EdDsa,
    }
}
