//! Verifying tokens.

use std::sync::Arc;

use wasmtime::component::Resource;

use super::Host;
use crate::capability::jwt::{self as live, Verified};
use crate::plugin::bindings::jwt::{self, Refusal};

/// Type of the guest's handle on a verifier.
pub struct Verifier(Arc<live::Verifier>);

/// Type of the guest's handle on a token's claims.
pub struct Claims(Arc<Verified>);

impl jwt::Host for Host {}

impl jwt::HostVerifier for Host {
    fn open(&mut self, key_sets: Vec<String>) -> wasmtime::Result<Result<Resource<Verifier>, String>> {
        self.open(
            key_sets,
            |opened| &mut opened.verifiers,
            |opened| &opened.verifiers,
            |attachment, key_sets| attachment.plugin.granted.verifier(key_sets),
            Verifier,
        )
    }

    async fn verify(
        &mut self,
        verifier: Resource<Verifier>,
        token: String,
    ) -> wasmtime::Result<Result<Resource<Claims>, Refusal>> {
        let verifier = Arc::clone(&self.table.get(&verifier)?.0);
        // There are no keys to wait for before there are requests.
        self.exchange()?;
        Ok(match verifier.verify(&token).await {
            Ok(verified) => Ok(self.table.push(Claims(verified))?),
            Err(refusal) => Err(guest_refusal(refusal)),
        })
    }

    fn drop(&mut self, verifier: Resource<Verifier>) -> wasmtime::Result<()> {
        self.table.delete(verifier)?;
        Ok(())
    }
}

impl jwt::HostClaims for Host {
    fn key_set(&mut self, claims: Resource<Claims>) -> wasmtime::Result<String> {
        Ok(self.table.get(&claims)?.0.key_set.to_string())
    }

    fn json(&mut self, claims: Resource<Claims>) -> wasmtime::Result<String> {
        Ok(self.table.get(&claims)?.0.json.clone())
    }

    fn text(&mut self, claims: Resource<Claims>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.table.get(&claims)?.0.text(&name))
    }

    fn words(&mut self, claims: Resource<Claims>, name: String) -> wasmtime::Result<Vec<String>> {
        Ok(self.table.get(&claims)?.0.words(&name))
    }

    fn drop(&mut self, claims: Resource<Claims>) -> wasmtime::Result<()> {
        self.table.delete(claims)?;
        Ok(())
    }
}

fn guest_refusal(refusal: live::Refusal) -> Refusal {
    match refusal {
        live::Refusal::Malformed => Refusal::Malformed,
        live::Refusal::Algorithm => Refusal::Algorithm,
        live::Refusal::Header(name) => Refusal::Header(name),
        live::Refusal::UnknownKey => Refusal::UnknownKey,
        live::Refusal::Signature => Refusal::Signature,
        live::Refusal::Expired => Refusal::Expired,
        live::Refusal::NotYetValid => Refusal::NotYetValid,
        live::Refusal::Issuer => Refusal::Issuer,
        live::Refusal::Audience => Refusal::Audience,
        live::Refusal::MissingClaim(name) => Refusal::MissingClaim(name),
        live::Refusal::KeysUnavailable => Refusal::KeysUnavailable,
    }
}
