//! One key set at work.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::cache::{Cache, Entry};
use super::claims::read_claims;
use super::feed::{Feed, Pace};
use super::fetch::Remote;
use super::keys::{Keys, sha256};
use super::token::{MOST_TOKEN, Token};
use super::{KeySetSpec, Refusal, SpecError, Verdict, Verified};
use crate::capability::outbound::{Outbound, OutboundError};

/// How long a verification may wait for keys.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MOST_RESPONSE: usize = 1024 * 1024;
const MOST_FETCHES: usize = 64;

/// What all key sets fetch with: 5 s and 1 MiB for each response, private addresses included, since the document's author
/// wrote the URLs. Fetches run on the runtime of `handle`.
///
/// # Errors
///
/// The HTTP client could not be set up.
pub fn fetcher(handle: Handle) -> Result<Arc<Outbound>, OutboundError> {
    Outbound::unrestricted(handle, FETCH_TIMEOUT, MOST_RESPONSE, MOST_FETCHES).map(Arc::new)
}

/// Verifies tokens with the keys of one issuer. The task that fetches them ends with it.
pub struct KeySet {
    spec: KeySetSpec,
    name: Arc<str>,
    feed: Arc<Feed>,
    cache: Cache,
    remote: Option<Remote>,
    task: OnceLock<AbortHandle>,
    /// Since 1970; tests have their own.
    now: fn() -> Duration,
}

impl KeySet {
    /// A key set whose keys, where they have to be fetched, come after [`KeySet::start`].
    ///
    /// # Errors
    ///
    /// Those of [`KeySetSpec::check`].
    pub fn new(spec: KeySetSpec, fetch: Arc<Outbound>) -> Result<Arc<Self>, Vec<SpecError>> {
        Self::with_clock(spec, fetch, wall_clock)
    }

    pub(super) fn with_clock(
        spec: KeySetSpec,
        fetch: Arc<Outbound>,
        now: fn() -> Duration,
    ) -> Result<Arc<Self>, Vec<SpecError>> {
        let name: Arc<str> = spec.name.as_str().into();
        let feed = Arc::new(Feed::new(name.clone(), spec.fixed_keys()?));
        let remote = Remote::new(&spec.source, &spec.algorithms, fetch);
        let cache = Cache::new(spec.cache_size);
        Ok(Arc::new(Self { spec, name, feed, cache, remote, task: OnceLock::new(), now }))
    }

    /// Begins to fetch keys on this runtime, and does not wait for them. Does nothing the second time, and for keys that
    /// are in the document.
    pub fn start(&self, handle: &Handle) {
        let Some(remote) = &self.remote else { return };
        self.task.get_or_init(|| {
            self.feed.begin();
            let pace = Pace { min: self.spec.min_refresh, max: self.spec.max_refresh };
            handle.spawn(self.feed.clone().keep(remote.clone(), pace)).abort_handle()
        });
    }

    /// Verifies a token in compact form. Ready at once, unless it takes keys that are not there: then it waits for them, at
    /// most 5 s. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the token.
    pub async fn verify(&self, token: &str) -> Result<Arc<Verified>, Refusal> {
        self.verify_within(token, LONGEST_WAIT).await
    }

    pub(super) async fn verify_within(
        &self,
        token: &str,
        longest: Duration,
    ) -> Result<Arc<Verified>, Refusal> {
        if let Verdict::Ready(result) = self.verify_now(token) {
            return result;
        }
        self.feed.wait(longest, || self.verify_now(token) != Verdict::NeedsKeys).await;
        match self.verify_now(token) {
            Verdict::Ready(result) => result,
            Verdict::NeedsKeys => Err(self.unknown_key()),
        }
    }

    /// Verifies a token with the keys that are there. Neither waits nor fetches.
    pub fn verify_now(&self, token: &str) -> Verdict {
        if token.len() > MOST_TOKEN {
            return Verdict::Ready(Err(Refusal::Malformed));
        }
        self.verify_digest(token, sha256(token.as_bytes()))
    }

    pub(super) fn verify_digest(&self, token: &str, digest: [u8; 32]) -> Verdict {
        let now = (self.now)().as_secs_f64();
        let keys = self.feed.keys.load();
        if let Some(verified) = self.cache.find(&digest, keys.generation, now) {
            return Verdict::Ready(Ok(verified));
        }
        match self.check(token, &keys, now) {
            Ok(verified) => {
                let until = self.holds_until(&verified);
                let entry = Entry { digest, generation: keys.generation, until, verified: verified.clone() };
                self.cache.insert(entry, now);
                Verdict::Ready(Ok(verified))
            }
            Err(Refusal::UnknownKey) if self.remote.is_some() && self.feed.may_bring_more() => {
                Verdict::NeedsKeys
            }
            Err(Refusal::UnknownKey) => Verdict::Ready(Err(self.unknown_key())),
            Err(refusal) => Verdict::Ready(Err(refusal)),
        }
    }

    /// The token of this digest, if it was verified before and still holds.
    pub(super) fn recall(&self, digest: &[u8; 32]) -> Option<Arc<Verified>> {
        let generation = self.feed.keys.load().generation;
        self.cache.find(digest, generation, (self.now)().as_secs_f64())
    }

    fn check(&self, token: &str, keys: &Keys, now: f64) -> Result<Arc<Verified>, Refusal> {
        let token = Token::read(token, &self.spec.algorithms)?;
        keys.check(&token)?;
        read_claims(token.claims, &self.spec, &self.name, now).map(Arc::new)
    }

    fn holds_until(&self, verified: &Verified) -> f64 {
        let until = |expires: Duration| expires.saturating_add(self.spec.clock_skew).as_secs_f64();
        verified.expires.map_or(f64::INFINITY, until)
    }

    fn unknown_key(&self) -> Refusal {
        if self.keys() == 0 { Refusal::KeysUnavailable } else { Refusal::UnknownKey }
    }

    /// Whether tokens of this issuer are for this set by name. A set without issuers names none.
    pub(super) fn names(&self, issuer: &str) -> bool {
        self.spec.issuers.iter().any(|one| one == issuer)
    }

    pub(super) fn names_no_issuer(&self) -> bool {
        self.spec.issuers.is_empty()
    }

    /// What it was made from.
    pub fn spec(&self) -> &KeySetSpec {
        &self.spec
    }

    /// How long ago keys were last fetched with success; none where they never were.
    pub fn age(&self) -> Option<Duration> {
        self.feed.age()
    }

    /// Fetches that have ended, with success or without.
    pub fn fetches(&self) -> u64 {
        self.feed.fetches()
    }

    /// Those without.
    pub fn fetch_failures(&self) -> u64 {
        self.feed.failures()
    }

    /// Usable keys.
    pub fn keys(&self) -> usize {
        self.feed.keys.load().keys.len()
    }

    /// Tokens that are remembered. Takes time with the size of the cache.
    pub fn cached(&self) -> usize {
        self.cache.len(self.feed.keys.load().generation, (self.now)().as_secs_f64())
    }

    /// Why the last fetch failed; none where it did not.
    pub fn last_error(&self) -> Option<String> {
        self.feed.last_error()
    }
}

impl Drop for KeySet {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("spec", &self.spec).field("keys", &self.keys()).finish_non_exhaustive()
    }
}

/// Tokens carry the time that people read.
fn wall_clock() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "`exp` and `nbf` are moments of the wall clock (RFC 7519)")]
    let now = SystemTime::now();
    // Before 1970 nothing is valid yet.
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
