//! Takes up the stored state at the start, by the rules of today.
//!
//! An earlier version may have taken what this one refuses. What is only out of a range is brought into it; for the rest
//! the whole state is written out as text, to be corrected and loaded again: nobody should have to read the store.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::refusal::Refusal;
use crate::resources::{Kind, KindVisitor, Spec, each_kind};
use crate::state::{State, Transaction};
use crate::store::{Store, StoreError};

/// The least documents that are taken over at once.
const CHUNK: usize = 1 << 16;
/// A state that was refused, in the store's directory, in the form that `PUT /v1/state` takes.
const WRITTEN_OUT: &str = "refused-state.json";

/// Why the manager could not start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored state contradicts the daemon's configuration or rules, or the control plane refused it.
    #[error("the stored state was refused: {refusal}. {}", way_out(.store, .written))]
    Refused {
        /// Which document, and why.
        refusal: Refusal,
        /// The store's directory.
        store: PathBuf,
        /// Whether all of it could be written out as text.
        written: io::Result<()>,
    },
    /// No thread could be started.
    #[error("cannot start the writer thread: {0}")]
    Thread(#[from] io::Error),
}

fn way_out(store: &Path, written: &io::Result<()>) -> String {
    let store = store.display();
    match written {
        Ok(()) => format!(
            "If the configuration has changed, change it back. Otherwise all of it is in {store}/{WRITTEN_OUT}: move the \
             store away (mv {store} {store}.refused), correct that document in {store}.refused/{WRITTEN_OUT}, start \
             vtepd, and load it (vtepctl apply {store}.refused/{WRITTEN_OUT})"
        ),
        Err(error) => format!(
            "Change the configuration back, or move the store away (mv {store} {store}.refused) and load the state \
             again; it could not be written out to {store}/{WRITTEN_OUT}: {error}"
        ),
    }
}

/// Writes the state out as text, and tells of that with the refusal. For the control plane's refusals as well.
pub(crate) fn refused(refusal: Refusal, store: &Store) -> BootError {
    let path = store.path().join(WRITTEN_OUT);
    let written = File::create(&path).and_then(|file| write_out(store, BufWriter::new(file)));
    BootError::Refused {
        refusal,
        store: store.path().to_owned(),
        written,
    }
}

/// Reads every document of the store into the state.
pub(crate) fn take_up(store: &Store, state: &mut State) -> Result<(), BootError> {
    match load(store, state) {
        Err(LoadError::Refused(refusal)) => Err(refused(refusal, store)),
        Err(LoadError::Store(error)) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}

enum LoadError {
    Store(StoreError),
    Refused(Refusal),
}

impl From<StoreError> for LoadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for LoadError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Some at a time: staged in one go, a million documents would need twice the memory.
fn load(store: &Store, state: &mut State) -> Result<(), LoadError> {
    struct Load<'a>(&'a Store, &'a mut State);
    impl KindVisitor for Load<'_> {
        type Error = LoadError;
        fn visit<K: Kind>(&mut self) -> Result<(), LoadError> {
            let mut documents = self.0.documents::<K>().peekable();
            while documents.peek().is_some() {
                let mut transaction = Transaction::new(self.1);
                let chunk = CHUNK.max(self.1.table::<K>().len() / 2);
                for document in documents.by_ref().take(chunk) {
                    let (key, mut spec) = document?;
                    if let Some(change) = spec.clamp() {
                        tracing::warn!(resource = %format_args!("{}/{key}", K::NAME), "{change}");
                    }
                    transaction.put::<K>(&key, spec)?;
                }
                transaction.check()?;
                let staged = transaction.into_staged();
                self.1.merge(staged);
            }
            Ok(())
        }
    }
    each_kind(&mut Load(store, state))
}

/// Writes every document of the store as `{kind: {id: document}}`.
fn write_out(store: &Store, to: impl Write) -> io::Result<()> {
    struct WriteOut<'a, W>(&'a Store, W, &'static str);
    impl<W: Write> KindVisitor for WriteOut<'_, W> {
        type Error = io::Error;
        fn visit<K: Kind>(&mut self) -> io::Result<()> {
            let Self(store, to, before) = self;
            write!(to, "{before}\n\"{}\": {{", K::NAME)?;
            *before = ",";
            let mut separator = "";
            for document in store.documents::<K>() {
                let (key, spec) = document.map_err(io::Error::other)?;
                write!(to, "{separator}\n  ")?;
                serde_json::to_writer(&mut *to, &key.to_string())?;
                write!(to, ": ")?;
                serde_json::to_writer(&mut *to, &spec)?;
                separator = ",";
            }
            write!(to, "}}")
        }
    }
    let mut all = WriteOut(store, to, "{");
    each_kind(&mut all)?;
    let WriteOut(_, mut to, _) = all;
    writeln!(to, "\n}}")?;
    to.flush()
}
