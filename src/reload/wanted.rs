//! From what is asked for to a document: which revision it is for, and what it leads to.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Change, Edit, Outcome, Reloader, Served, blocking, source};
use crate::config::{Differences, Leader, edit};
use crate::revision::Source;

/// What a change leads to.
pub(super) struct Wanted {
    pub text: Arc<str>,
    pub source: Source,
    pub trial: Next,
}

/// What becomes of trials.
pub(super) enum Next {
    /// There is none any more.
    Ends,
    /// The one that is there goes on.
    Stays,
    /// This is on trial, for so long.
    Begins(Duration),
}

impl Reloader {
    /// Whether this is the running revision, where one is expected.
    pub(super) fn expect_revision(&self, expected: Option<u64>) -> Result<(), Outcome> {
        let served = self.ledger.served();
        let Some(expected) = expected.filter(|expected| *expected != served.revision) else { return Ok(()) };
        let earlier = self.ledger.revision(expected).ok().flatten();
        let earlier = earlier.and_then(|(_, text)| serde_json::from_str::<Value>(&text).ok());
        let now = serde_json::from_str::<Value>(&served.text).ok();
        let since = earlier.zip(now).map(|(earlier, now)| Differences::between(&earlier, &now).redacted());
        Err(Outcome::Conflict { expected, revision: served.revision, since: since.unwrap_or_default() })
    }

    /// The document that a change leads to.
    pub(super) async fn wanted(&self, change: Change) -> Result<Wanted, Outcome> {
        let served = self.ledger.served();
        let wanted = |text, source, trial| Ok(Wanted { text, source, trial });
        match change {
            Change::Reload => {
                let text = self.to_reload(&served).await?;
                match text == served.text && self.trial.is_some() {
                    true => wanted(text, Source::Trial, Next::Stays),
                    false => wanted(text, Source::File, Next::Ends),
                }
            }
            Change::Apply { text, trial: None } => wanted(text.into(), Source::Api, Next::Ends),
            Change::Apply { text, trial: Some(allowed) } => {
                wanted(text.into(), Source::Trial, Next::Begins(allowed))
            }
            Change::Edit { pointer, edit } => {
                wanted(edited(&served.text, &pointer, edit)?.into(), Source::Api, Next::Ends)
            }
            Change::Rollback { revision } => {
                wanted(self.earlier(revision, &served)?, Source::Rollback, Next::Ends)
            }
            Change::Confirm if self.trial.is_some() => {
                wanted(Arc::clone(&served.text), Source::Api, Next::Ends)
            }
            Change::Confirm => Err(Outcome::failed("nothing is on trial".to_owned())),
        }
    }

    /// A file that still has what was served before a trial does not end that.
    async fn to_reload(&self, served: &Served) -> Result<Arc<str>, Outcome> {
        if served.leader == Leader::Api {
            return Ok(Arc::clone(&served.text));
        }
        let path = self.path.clone();
        let text: Arc<str> = blocking(move || source::read(&path)).await??.into();
        match &self.trial {
            Some(trial) if trial.previous == text => Ok(Arc::clone(&served.text)),
            _ => Ok(text),
        }
    }

    fn earlier(&self, number: Option<u64>, served: &Served) -> Result<Arc<str>, Outcome> {
        if let (None, Some(trial)) = (number, &self.trial) {
            return Ok(Arc::clone(&trial.previous));
        }
        let revisions = self.ledger.revisions();
        let last = || revisions.iter().find(|one| one.hash != served.hash && one.source != Source::Trial);
        let Some(number) = number.or_else(|| last().map(|one| one.number)) else {
            return Err(Outcome::failed("no revision with another document is remembered".to_owned()));
        };
        match self.ledger.revision(number) {
            Ok(Some((_, text))) => Ok(text.into()),
            Ok(None) => Err(Outcome::failed(format!("revision {number} is not remembered"))),
            Err(error) => Err(Outcome::failed(error.to_string())),
        }
    }
}

fn edited(text: &str, pointer: &str, edit: Edit) -> Result<String, Outcome> {
    let mut document: Value = serde_json::from_str(text)
        .map_err(|error| Outcome::failed(format!("the running document cannot be edited: {error}")))?;
    let edited = match edit {
        Edit::Put(value) => edit::put(&mut document, pointer, value),
        Edit::Patch(patch) => edit::patch(&mut document, pointer, &patch),
        Edit::Delete => edit::delete(&mut document, pointer).map(drop),
    };
    edited.map_err(|error| Outcome::failed(error.to_string()))?;
    Ok(format!("{document:#}\n"))
}
