//! The translators of all workers, as the control side sees them: told what to do, and asked what they
//! know.
//!
//! Telling never waits. Asking waits for each worker in turn, for a while: one that does not run or is stuck is named
//! in the error, and is not waited for again until it has answered.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::utils::Backoff;
use parking_lot::Mutex;
use vtepd_nat::{
    PoolIndex, PoolState, PoolUsage, SessionFilter, SessionRow, SubscriberIndex, SubscriberUsage,
    Usage,
};

use crate::event::Channel;
use crate::nat_channel::{Deletion, LookUp, NatRequest, Page, Question, Scan};

/// A worker that can be asked.
#[derive(Clone)]
pub struct TranslatorHandle {
    /// For messages: "the worker on core 3".
    pub name: String,
    /// The way to it.
    pub channel: Arc<Channel>,
    /// Whether it runs.
    pub running: Arc<AtomicBool>,
}

/// Why a worker cannot be asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AskError {
    /// It has not been started, or has ended.
    #[error("{0} does not run")]
    NotRunning(String),
    /// It has not answered in time, this question or an earlier one.
    #[error("{worker} has not answered within {milliseconds} ms: it is stuck")]
    Silent {
        /// Who.
        worker: String,
        /// How long it was given.
        milliseconds: u64,
    },
}

/// A place in the sessions of all workers. It stays good while sessions come and go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SessionCursor {
    worker: u16,
    place: u32,
}

impl SessionCursor {
    /// As a number, for the API.
    pub fn to_bits(self) -> u64 {
        u64::from(self.worker) << 32 | u64::from(self.place)
    }

    /// Back from a number; one that nobody gave out leads somewhere, or to the end.
    pub fn from_bits(bits: u64) -> Self {
        Self {
            worker: (bits >> 32) as u16,
            place: bits as u32,
        }
    }
}

/// Some of the sessions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionPage {
    /// Each with the number of its worker.
    pub rows: Vec<(u16, SessionRow)>,
    /// Where to go on; `None` at the end. A page may have fewer rows than were asked for, or none, and go
    /// on: when there was much to look through.
    pub next: Option<SessionCursor>,
}

/// Places of the session table that a worker looks through for one question: some milliseconds
/// of a busy one.
const LOOK_THROUGH: u32 = 1 << 16;
/// How long an asker sleeps between two looks for the answer.
const NAP: Duration = Duration::from_micros(50);

struct Asked {
    handle: TranslatorHandle,
    /// Whether it owes an answer. Held by whoever asks: one question at a time.
    owes: Mutex<bool>,
}

/// The translators of all workers.
pub struct Translators {
    workers: Box<[Asked]>,
    patience: Duration,
}

impl Translators {
    /// Of these workers, by number. Each is given `patience` for an answer.
    pub fn new(workers: impl IntoIterator<Item = TranslatorHandle>, patience: Duration) -> Self {
        let asked = |handle| Asked {
            handle,
            owes: Mutex::new(false),
        };
        Self {
            workers: workers.into_iter().map(asked).collect(),
            patience,
        }
    }

    /// Tells all workers, which carry the requests out in order at the beginning of their next turn; before
    /// the first packet, where they do not run yet. See [`crate::nat_channel`] for how rules are published after that.
    pub fn tell(&self, requests: &[NatRequest]) {
        for worker in &self.workers {
            worker.handle.channel.nat.post(requests);
        }
    }

    /// Up to `limit` sessions that fit, from a place on.
    ///
    /// # Errors
    ///
    /// A worker cannot be asked.
    pub fn sessions(
        &self,
        filter: &SessionFilter,
        from: SessionCursor,
        limit: usize,
    ) -> Result<SessionPage, AskError> {
        let deadline = Instant::now() + self.patience;
        let (mut page, mut at) = (SessionPage::default(), from);
        while let Some(worker) = self.workers.get(usize::from(at.worker)) {
            if page.rows.len() >= limit || Instant::now() > deadline {
                page.next = Some(at);
                break;
            }
            let wanted = limit - page.rows.len();
            let (rows, next) = self.page_of(worker, filter, at.place, wanted)?;
            page.rows
                .extend(rows.into_iter().map(|row| (at.worker, row)));
            at = match next {
                Some(place) => SessionCursor { place, ..at },
                None => SessionCursor {
                    worker: at.worker + 1,
                    place: 0,
                },
            };
        }
        Ok(page)
    }

    fn page_of(
        &self,
        worker: &Asked,
        filter: &SessionFilter,
        from: u32,
        limit: usize,
    ) -> Result<(Vec<SessionRow>, Option<u32>), AskError> {
        let question = Question::Sessions(Page {
            scan: scan(filter, from),
            // No more than there are places to look at.
            rows: Vec::with_capacity(limit.min(LOOK_THROUGH as usize)),
            limit,
        });
        match *self.ask(worker, question)? {
            Question::Sessions(page) => Ok((page.rows, page.scan.next)),
            _ => Ok((Vec::new(), None)),
        }
    }

    /// Ends all sessions that fit. Returns how many there were.
    ///
    /// # Errors
    ///
    /// A worker cannot be asked. Those of others may have been ended.
    pub fn delete_sessions(&self, filter: &SessionFilter) -> Result<u64, AskError> {
        let mut ended = 0;
        for worker in &self.workers {
            let mut next = Some(0);
            while let Some(from) = next {
                let question = Question::Delete(Deletion {
                    scan: scan(filter, from),
                    ended: 0,
                });
                next = None;
                if let Question::Delete(deletion) = *self.ask(worker, question)? {
                    ended += deletion.ended;
                    next = deletion.scan.next;
                }
            }
        }
        Ok(ended)
    }

    /// The use of pools, over all workers; `None` for numbers that there are not. A pool is open, or vacant, where it is so on all
    /// workers, and closing meanwhile.
    ///
    /// # Errors
    ///
    /// A worker cannot be asked.
    pub fn pools(&self, pools: &[PoolIndex]) -> Result<Vec<Option<PoolUsage>>, AskError> {
        let mut sums = vec![None; pools.len()];
        for worker in &self.workers {
            let question = Question::Pools(LookUp::new(pools));
            let Question::Pools(answer) = *self.ask(worker, question)? else {
                continue;
            };
            for (sum, (_, usage)) in sums.iter_mut().zip(answer.rows) {
                *sum = add_pool(*sum, usage);
            }
        }
        Ok(sums)
    }

    /// What tenants use, over all workers.
    ///
    /// # Errors
    ///
    /// A worker cannot be asked.
    pub fn subscribers(
        &self,
        subscribers: &[SubscriberIndex],
    ) -> Result<Vec<SubscriberUsage>, AskError> {
        let mut sums = vec![SubscriberUsage::default(); subscribers.len()];
        for worker in &self.workers {
            let question = Question::Subscribers(LookUp::new(subscribers));
            let Question::Subscribers(answer) = *self.ask(worker, question)? else {
                continue;
            };
            for (sum, (_, usage)) in sums.iter_mut().zip(answer.rows) {
                sum.sessions += usage.sessions;
                sum.ports += usage.ports;
                sum.fragments += usage.fragments;
            }
        }
        Ok(sums)
    }

    /// The use of the tables, by worker.
    ///
    /// # Errors
    ///
    /// A worker cannot be asked.
    pub fn usage(&self) -> Result<Vec<Usage>, AskError> {
        let of = |worker| match *self.ask(worker, Question::Usage(None))? {
            Question::Usage(usage) => Ok(usage.unwrap_or_default()),
            _ => Ok(Usage::default()),
        };
        self.workers.iter().map(of).collect()
    }

    /// Asks one worker and waits. A question that is not answered in time stays with the worker; whoever asks next
    /// finds the answer, and until then is told at once.
    fn ask(&self, worker: &Asked, question: Question) -> Result<Box<Question>, AskError> {
        let Asked { handle, owes } = worker;
        let nat = &handle.channel.nat;
        let silent = || AskError::Silent {
            worker: handle.name.clone(),
            milliseconds: self.patience.as_millis() as u64,
        };
        let runs = || handle.running.load(Ordering::Acquire);
        let mut owes = owes.lock();
        *owes &= nat.answers.pop().is_none();
        if !runs() {
            return Err(AskError::NotRunning(handle.name.clone()));
        }
        if *owes || nat.questions.push(Box::new(question)).is_err() {
            return Err(silent());
        }
        *owes = true;
        let deadline = Instant::now() + self.patience;
        let backoff = Backoff::new();
        loop {
            if let Some(answer) = nat.answers.pop() {
                *owes = false;
                return Ok(answer);
            }
            if !runs() {
                return Err(AskError::NotRunning(handle.name.clone()));
            }
            if Instant::now() > deadline {
                return Err(silent());
            }
            match backoff.is_completed() {
                true => std::thread::sleep(NAP),
                false => backoff.snooze(),
            }
        }
    }
}

fn scan(filter: &SessionFilter, from: u32) -> Scan {
    Scan {
        filter: *filter,
        next: Some(from),
        left: LOOK_THROUGH,
    }
}

/// The use of a pool on one more worker.
fn add_pool(sum: Option<PoolUsage>, usage: Option<PoolUsage>) -> Option<PoolUsage> {
    let Some(sum) = sum else {
        return usage;
    };
    let usage = usage?;
    let mut free = sum.free;
    for (sum, more) in free.iter_mut().zip(usage.free) {
        *sum += more;
    }
    Some(PoolUsage {
        state: if sum.state == usage.state {
            sum.state
        } else {
            PoolState::Closing
        },
        sessions: sum.sessions + usage.sessions,
        mappings: sum.mappings + usage.mappings,
        free,
    })
}
