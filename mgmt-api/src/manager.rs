//! The engine: takes writes one after another, makes each true everywhere or nowhere, and lets readers read.
//!
//! ```text
//!  stage ─▶ check ─▶ encode ─▶ ControlPlane::apply ─▶ commit, fsync ─▶ merge ─▶ answer
//!    └────────┴─────────┴────────────┘ refused: nothing to undo
//!                                        failed: └─▶ apply the inverse, repair the store
//! ```
//!
//! One thread does all of this. Readers share the state with it until the merge, the only part that keeps them out.
//! Small requests that wait while another is being synced are made in one go: one `apply`, one `fsync`.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

pub use crate::boot::BootError;

use crate::boot;
use crate::change::Changes;
use crate::control::ControlPlane;
use crate::events::EventSink;
use crate::refusal::{Code, Refusal};
use crate::request::{Options, Request, Summary};
use crate::state::{State, Transaction};
use crate::store::{Store, StoreError};

/// Requests that may wait for the writer before senders are held back.
const QUEUE: usize = 256;
/// The most requests that share a commit: beyond this the sync is a small part of the cost.
const GROUP: usize = 64;

/// The manager of the desired state. Cloned freely; the last one dropped ends the writer.
#[derive(Clone)]
pub struct Manager {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

struct Shared {
    state: RwLock<State>,
    control: Arc<dyn ControlPlane>,
    events: EventSink,
}

struct Job {
    /// `None` once it is staged for good: a large one should not take memory while it is being written.
    request: Option<Box<dyn Request>>,
    options: Options,
    reply: oneshot::Sender<Result<Summary, Refusal>>,
}

impl Manager {
    /// Reads the store (`None`: keep nothing), has the control plane apply all of it, and starts the writer.
    ///
    /// # Errors
    /// The store cannot be read, or its state is refused.
    pub fn start(
        control: Arc<dyn ControlPlane>,
        store: Option<PathBuf>,
    ) -> Result<(Self, JoinHandle<()>), BootError> {
        let facts = Arc::new(control.facts());
        let events = EventSink::default();
        control.set_events(events.clone());
        let store = store.map(|path| Store::open(&path)).transpose()?;
        let mut state = State::new(facts.clone());
        if let Some(store) = &store {
            boot::take_up(store, &mut state)?;
            let empty = State::new(facts);
            let changes = Changes::whole(&empty, &state);
            if !changes.is_empty() {
                let refused = |refusal| boot::refused(refusal, store);
                control.apply(&changes).map_err(refused)?;
            }
        }
        let shared = Arc::new(Shared {
            state: RwLock::new(state),
            control,
            events,
        });
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer {
            shared: shared.clone(),
            store,
            held_back: None,
        };
        let thread = std::thread::Builder::new().name("vtepd-state".to_owned());
        let thread = thread.spawn(move || writer.run(queue))?;
        Ok((Self { shared, jobs }, thread))
    }

    /// Makes a write and waits for it to be in force and on disk.
    ///
    /// # Errors
    /// Why it was refused; nothing was changed then.
    pub async fn write(
        &self,
        request: impl Request + 'static,
        options: Options,
    ) -> Result<Summary, Refusal> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            request: Some(Box::new(request)),
            options,
            reply,
        };
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// [`write`](Self::write) for callers that are not asynchronous. Must not be called from within a runtime.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_blocking(
        &self,
        request: impl Request + 'static,
        options: Options,
    ) -> Result<Summary, Refusal> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            request: Some(Box::new(request)),
            options,
            reply,
        };
        self.jobs.blocking_send(job).map_err(|_| stopped())?;
        answer.blocking_recv().map_err(|_| stopped())?
    }

    /// Reads the accepted state. The writer waits until `read` returns, so it should be brief.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.shared.state.read())
    }

    /// [`read`](Self::read) if nobody is in the way.
    pub(crate) fn try_read<T, F: FnOnce(&State) -> T>(&self, read: F) -> Result<T, F> {
        match self.shared.state.try_read() {
            Some(state) => Ok(read(&state)),
            None => Err(read),
        }
    }

    /// The control plane.
    #[must_use]
    pub fn control(&self) -> &Arc<dyn ControlPlane> {
        &self.shared.control
    }

    /// What the control plane tells of.
    #[must_use]
    pub fn events(&self) -> &EventSink {
        &self.shared.events
    }

    /// What is wrong, if the workers or the writer do not run.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn health(&self) -> Result<(), String> {
        if self.jobs.is_closed() {
            return Err("the state's writer thread ended; restart vtepd".to_owned());
        }
        self.shared.control.health()
    }
}

fn stopped() -> Refusal {
    Refusal::new(
        Code::ShuttingDown,
        "the server takes no more writes; try again once it is back",
    )
}

struct Writer {
    shared: Arc<Shared>,
    store: Option<Store>,
    /// Taken from the queue, and too large for the group it was found behind.
    held_back: Option<Job>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = self.held_back.take().or_else(|| queue.blocking_recv()) {
            let mut group = vec![first];
            while groupable(&group[0]) && group.len() < GROUP {
                match queue.try_recv() {
                    Ok(job) if groupable(&job) => group.push(job),
                    Ok(job) => {
                        self.held_back = Some(job);
                        break;
                    }
                    Err(_) => break,
                }
            }
            self.make(group);
        }
    }

    /// Makes a group of requests true and answers each.
    fn make(&mut self, mut group: Vec<Job>) {
        let shared = self.shared.clone();
        let state = shared.state.read();
        let (transaction, mut answers) = stage(&state, &group);
        let is_dry_run = group.iter().any(|job| job.options.dry_run);
        if transaction.is_empty() || is_dry_run {
            drop(transaction);
            drop(state);
            return answer(group, answers);
        }
        let staged = transaction.into_staged();
        if let [alone] = &mut group[..] {
            alone.request = None;
        }
        let changes = Changes::staged(&state, &staged);
        match commit(
            self.store.as_mut(),
            &*shared.control,
            changes,
            &state,
            &staged,
        ) {
            Ok(()) => {
                drop(state);
                shared.state.write().merge(staged);
            }
            // Only one of them may be at fault.
            Err(Failed {
                by_control: true, ..
            }) if group.len() > 1 => {
                drop(state);
                return group.into_iter().for_each(|job| self.make(vec![job]));
            }
            Err(Failed { refusal, .. }) => {
                let accepted = answers.iter_mut().filter(|answer| answer.is_ok());
                accepted.for_each(|answer| *answer = Err(refusal.clone()));
            }
        }
        answer(group, answers);
    }
}

fn groupable(job: &Job) -> bool {
    job.request
        .as_ref()
        .is_some_and(|request| request.is_small())
        && !job.options.dry_run
}

fn answer(group: Vec<Job>, answers: Vec<Result<Summary, Refusal>>) {
    for (job, answer) in group.into_iter().zip(answers) {
        // Whoever asked may have gone; what was done stands.
        let _ = job.reply.send(answer);
    }
}

/// Stages the requests one over the other. One that is refused leaves no trace: the others before it are staged again.
fn stage<'a>(state: &'a State, group: &[Job]) -> (Transaction<'a>, Vec<Result<Summary, Refusal>>) {
    let mut transaction = Transaction::new(state);
    let mut answers: Vec<Result<Summary, Refusal>> = Vec::with_capacity(group.len());
    for job in group {
        let answer = stage_one(&mut transaction, job);
        if answer.is_err() {
            transaction = Transaction::new(state);
            for (job, _) in group
                .iter()
                .zip(&answers)
                .filter(|(_, answer)| answer.is_ok())
            {
                let again = stage_one(&mut transaction, job);
                debug_assert!(again.is_ok(), "staging depends on the state alone");
            }
        }
        answers.push(answer);
    }
    (transaction, answers)
}

fn stage_one(transaction: &mut Transaction<'_>, job: &Job) -> Result<Summary, Refusal> {
    if job.options.diff || job.options.dry_run {
        transaction.record_differences();
    }
    let request = job.request.as_ref().ok_or_else(stopped)?;
    let counts = request.stage(transaction)?;
    let differences = transaction.take_differences();
    transaction.check()?;
    Ok(Summary {
        counts,
        differences,
    })
}

struct Failed {
    refusal: Refusal,
    by_control: bool,
}

/// Makes staged changes true in the workers and on the disk, or in neither.
fn commit(
    store: Option<&mut Store>,
    control: &dyn ControlPlane,
    changes: Changes<'_>,
    state: &State,
    staged: &crate::state::Staged,
) -> Result<(), Failed> {
    let by_store = |error: StoreError| {
        tracing::error!(%error, "a write was refused");
        Failed {
            refusal: error.into(),
            by_control: false,
        }
    };
    let Some(store) = store else {
        return control.apply(&changes).map_err(|refusal| Failed {
            refusal,
            by_control: true,
        });
    };
    let batch = store.prepare(state, staged).map_err(by_store)?;
    control.apply(&changes).map_err(|refusal| Failed {
        refusal,
        by_control: true,
    })?;
    store.commit(batch, state, staged).map_err(|error| {
        if let Err(refusal) = control.apply(&changes.inverse()) {
            tracing::error!(%refusal, "the control plane refused to undo a write that the store failed to keep");
        }
        if let Err(unrepaired) = store.repair() {
            end_unanswered(&error, &unrepaired);
        }
        by_store(error)
    })
}

/// Ends the process: the disk may have the write or not, so neither "made" nor "not made" can be answered. The next start
/// takes up whichever it is. Aborts, because the workers still run on what an orderly exit would take down.
fn end_unanswered(error: &StoreError, unrepaired: &StoreError) -> ! {
    tracing::error!(%error, %unrepaired, "a write failed and the store could not be repaired: ending, unanswered");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::*;
    use crate::request::{Delete, Put};
    use crate::resources::{Host, HostSpec, Network};
    use crate::state::Handle;
    use crate::translation::{NatPool, NatTenant, SessionPage, SessionQuery};
    use parking_lot::Mutex;

    /// Remembers how many hosts came and went with each call.
    #[derive(Default)]
    struct Applied(Mutex<Vec<(usize, usize)>>);

    impl ControlPlane for Applied {
        fn facts(&self) -> Facts {
            Facts {
                local_host: "here".parse().unwrap(),
                devices: Vec::new(),
            }
        }
        fn apply(&self, changes: &Changes<'_>) -> Result<(), Refusal> {
            let came = changes
                .hosts()
                .filter(|change| change.old.is_none())
                .count();
            let went = changes
                .hosts()
                .filter(|change| change.new.is_none())
                .count();
            self.0.lock().push((came, went));
            Ok(())
        }
        fn health(&self) -> Result<(), String> {
            Ok(())
        }
        fn interfaces(&self) -> Vec<InterfaceStatus> {
            Vec::new()
        }
        fn workers(&self) -> Vec<WorkerStatus> {
            Vec::new()
        }
        fn drops(&self) -> Vec<DropCount> {
            Vec::new()
        }
        fn tables(&self) -> Vec<TableStatus> {
            Vec::new()
        }
        fn fdb(&self, _: Handle<Network>, _: Option<crate::mac::Mac>, _: usize) -> Vec<FdbEntry> {
            Vec::new()
        }
        fn forget_learned(&self, _: Forget) -> u64 {
            0
        }
        fn neighbours(&self, _: Handle<Network>) -> Vec<Neighbour> {
            Vec::new()
        }
        fn explain(
            &self,
            _: crate::state::View<'_>,
            _: &crate::explain::ExplainQuery,
        ) -> Result<crate::explain::Explanation, Refusal> {
            Err(Refusal::new(Code::Unhealthy, "there are no workers here"))
        }
        fn metadata(&self, _: std::net::Ipv4Addr, _: usize) -> Vec<MetadataAsker> {
            Vec::new()
        }
        fn underlay_neighbours(&self) -> Vec<UnderlayNeighbour> {
            Vec::new()
        }
        fn sessions(&self, _: &SessionQuery) -> Result<SessionPage, Refusal> {
            Ok(SessionPage::default())
        }
        fn delete_sessions(&self, _: &SessionQuery) -> Result<u64, Refusal> {
            Ok(0)
        }
        fn nat_pools(&self) -> Result<Vec<NatPool>, Refusal> {
            Ok(Vec::new())
        }
        fn nat_tenants(&self) -> Result<Vec<NatTenant>, Refusal> {
            Ok(Vec::new())
        }
        fn set_events(&self, _: EventSink) {}
    }

    fn writer(path: &std::path::Path) -> (Writer, Arc<Applied>) {
        let control = Arc::new(Applied::default());
        let state = RwLock::new(State::new(Arc::new(control.facts())));
        let shared = Arc::new(Shared {
            state,
            control: control.clone(),
            events: EventSink::default(),
        });
        let store = Some(Store::open(path).unwrap());
        (
            Writer {
                shared,
                store,
                held_back: None,
            },
            control,
        )
    }

    fn make(writer: &mut Writer, request: impl Request + 'static) -> Result<Summary, Refusal> {
        let (reply, mut answer) = oneshot::channel();
        let request = Some(Box::new(request) as Box<dyn Request>);
        writer.make(vec![Job {
            request,
            options: Options::default(),
            reply,
        }]);
        answer.try_recv().unwrap()
    }

    fn put(id: &str, vtep: &str) -> Put<Host> {
        let spec = HostSpec {
            vtep: vtep.parse().ok(),
            udp_port: 4789,
            ..HostSpec::default()
        };
        Put {
            key: id.parse().unwrap(),
            spec,
        }
    }

    fn hosts(state: &State) -> Vec<String> {
        state
            .table::<Host>()
            .range(..)
            .map(|(id, _, _)| id.to_string())
            .collect()
    }

    #[test]
    fn a_commit_that_fails_is_undone_everywhere_even_if_it_reached_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, control) = writer(directory.path());
        make(&mut writer, put("a", "192.0.2.1")).unwrap();
        make(&mut writer, put("b", "192.0.2.2")).unwrap();

        writer.store.as_mut().unwrap().fails_next = true;
        let refused = make(&mut writer, put("c", "192.0.2.3")).unwrap_err();
        assert_eq!(refused.code, Code::StoreFailed);
        assert_eq!(
            control.0.lock()[2..],
            [(1, 0), (0, 1)],
            "applied, and taken back"
        );
        assert_eq!(hosts(&writer.shared.state.read()), ["a", "b"]);

        writer.store.as_mut().unwrap().fails_next = true;
        make(
            &mut writer,
            Delete::<Host> {
                key: "a".parse().unwrap(),
            },
        )
        .unwrap_err();
        assert_eq!(control.0.lock()[4..], [(0, 1), (1, 0)]);

        make(&mut writer, put("d", "192.0.2.3")).unwrap();
        assert_eq!(stored(writer, directory.path()), ["a", "b", "d"]);
    }

    /// What the next start finds, if the process is killed now.
    fn stored(writer: Writer, path: &std::path::Path) -> Vec<String> {
        let facts = writer.shared.control.facts();
        drop(writer);
        let mut state = State::new(Arc::new(facts));
        boot::take_up(&Store::open(path).unwrap(), &mut state).unwrap();
        hosts(&state)
    }

    #[test]
    fn what_was_refused_does_not_come_back_if_the_next_thing_is_a_kill() {
        let directory = tempfile::tempdir().unwrap();
        let (mut writer, _) = writer(directory.path());
        make(&mut writer, put("a", "192.0.2.1")).unwrap();
        writer.store.as_mut().unwrap().fails_next = true;
        make(&mut writer, put("b", "192.0.2.2")).unwrap_err();
        assert_eq!(stored(writer, directory.path()), ["a"]);
    }

    /// Run as a process of its own by the test below; alone it does nothing.
    #[test]
    #[ignore = "started by another test"]
    fn child_with_a_broken_store() {
        let Some(path) = std::env::var_os("CHILD_STORE") else {
            return;
        };
        let (mut writer, _) = writer(path.as_ref());
        let store = writer.store.as_mut().unwrap();
        (store.fails_next, store.stays_broken) = (true, true);
        let answer = make(&mut writer, put("a", "192.0.2.1"));
        println!("answered {answer:?}");
    }

    #[test]
    fn a_store_that_cannot_be_repaired_ends_the_process_unanswered() {
        use std::os::unix::process::ExitStatusExt;
        let directory = tempfile::tempdir().unwrap();
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "manager::tests::child_with_a_broken_store"])
            .args(["--ignored", "--nocapture"])
            .env("CHILD_STORE", directory.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("running 1 test"), "{text}");
        assert!(!text.contains("answered"), "{text}");
        const SIGABRT: i32 = 6;
        assert_eq!(output.status.signal(), Some(SIGABRT), "{text}");
    }
}
