//! Documents that policies would fetch: key sets and revocation lists, from files instead.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use postern_config::Config;
use postern_engine::Engine;
use postern_engine::remote::{Answer, Kind, Settled, Source, Step};

/// Documents in the place of what is fetched.
#[derive(Clone, Debug, Default)]
pub struct Documents {
    /// The key sets, each with the provider that it is of; without a name it is of all that fetch one.
    pub keys: Vec<(Option<String>, Document)>,
    /// The list of tokens that are taken back.
    pub revoked: Option<Document>,
}

/// A document, and the name of its file.
#[derive(Clone)]
pub struct Document {
    /// The name of the file.
    pub name: String,
    /// The bytes of the file.
    pub bytes: Vec<u8>,
}

/// A document that cannot be supplied, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit(pub String);

/// The holder of the lease under which a document is taken up.
const HOLDER: u64 = 1;

pub(crate) fn supply(
    engine: &Engine,
    config: &Config,
    documents: &Documents,
    at: Duration,
) -> Result<(), Unfit> {
    let sources = engine.sources();
    for (provider, document) in &documents.keys {
        let is_of = |source: &&Rc<Source>| {
            source.spec().kind == Kind::Keys
                && provider.as_ref().is_none_or(|name| source.labels().iter().any(|(_, label)| label == name))
        };
        let known = config.providers.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let nobody = match provider {
            Some(name) => format!("no provider `{name}` fetches keys; there are {known}"),
            None => "no provider fetches keys".to_owned(),
        };
        supply_all(sources.iter().filter(is_of), document, &nobody, at)?;
    }
    if let Some(document) = &documents.revoked {
        let lists = sources.iter().filter(|source| source.spec().kind == Kind::Revocation);
        supply_all(lists, document, "no policy fetches a revocation list", at)?;
    }
    Ok(())
}

fn supply_all<'s>(
    sources: impl Iterator<Item = &'s Rc<Source>>,
    document: &Document,
    nobody: &str,
    at: Duration,
) -> Result<(), Unfit> {
    let mut is_asked_for = false;
    for source in sources {
        take_up(source, document, at)?;
        is_asked_for = true;
    }
    if is_asked_for { Ok(()) } else { Err(Unfit(format!("{}: {nobody}", document.name))) }
}

/// Has `source` take a document up as if it had been fetched just now.
fn take_up(source: &Source, document: &Document, at: Duration) -> Result<(), Unfit> {
    let Document { name, bytes } = document;
    let unfit = |what: &dyn fmt::Display| Unfit(format!("{name}: {what}"));
    let Step::Claim(record) = source.look(&[], HOLDER, at) else { return Ok(()) };
    let answer = Answer { status: b"200", len: bytes.len(), body: bytes };
    let outcome = source.judge(&answer).map_err(|error| unfit(&error))?;
    let Settled::Swap { document: Some(document), record } =
        source.settle(&record, outcome, bytes, HOLDER, at)
    else {
        return Err(unfit(&"cannot be taken up"));
    };
    let is_read = source.look(&record, HOLDER, at) == Step::Read && source.take_up(&document);
    if is_read { Ok(()) } else { Err(unfit(&"cannot be taken up")) }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("name", &self.name).finish_non_exhaustive()
    }
}
