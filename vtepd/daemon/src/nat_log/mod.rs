//! The log of translations, for operators who must be able to tell who had an outside address and port at a time
//! (RFC 6888, REQ-12): one line for each block of ports where ports are given in blocks, for each port else. Without
//! destinations, which are nobody's business (RFC 6888, REQ-12 again).
//!
//! ```text
//!   translator ─► room of its own ─► channel ─► this thread ─► file, or syslog
//!                  full: counted        bounded
//! ```
//!
//! No worker ever waits for it. What is lost on the way is counted, and said in the log itself and in the daemon's.

mod line;
mod sink;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use vtepd_datapath::Seconds;
use vtepd_nat::LogRecord;
use vtepd_tables::VrfIndex;

use crate::control::{NatNames, Plane};
use crate::workers::WorkerHandle;
use line::Line;

pub use sink::{Sink, Target};

/// Records that wait in each worker's translator while this thread is behind: 2 MiB, and some tenths of a second of a
/// worker that opens sessions as fast as it can.
pub const ROOM: u32 = 1 << 16;
/// Records of a worker at a time, so that the others' do not wait.
const AT_A_TIME: usize = 4096;
/// How long nothing is looked for after nothing was found.
const NAP: Duration = Duration::from_millis(20);
/// How often it is asked how much was lost.
const LOSSES: Duration = Duration::from_secs(10);
/// How long the daemon waits for the last records to be written as it stops. What is not written then is lost.
const FAREWELL: Duration = Duration::from_secs(5);

/// What it needs to know of the daemon.
pub struct NatLog {
    pub workers: Arc<[WorkerHandle]>,
    pub plane: Arc<Plane>,
    pub clock: Arc<Seconds>,
    pub sink: Sink,
    /// Set by SIGHUP: the file was renamed.
    pub reopen: Arc<AtomicBool>,
}

/// What did not get into the log.
#[derive(Default)]
struct Lost {
    /// On the way here, as the workers have counted.
    by_workers: u64,
    /// Because it could not be written, since that was last said.
    unwritten: u64,
    /// The last error of writing.
    error: Option<std::io::Error>,
}

impl NatLog {
    /// Runs until `stop` is set, and then until nothing is left.
    pub fn run(mut self, stop: &AtomicBool) {
        let mut lost = Lost::default();
        self.write(&Line::started(OffsetDateTime::now_utc()), &mut lost);
        let mut due = Instant::now() + LOSSES;
        let mut end = None;
        loop {
            let stopping = stop.load(Ordering::Relaxed);
            if stopping {
                end = end.or_else(|| Some(Instant::now() + FAREWELL));
            }
            if self.reopen.swap(false, Ordering::Relaxed)
                && let Err(error) = self.sink.reopen()
            {
                tracing::error!(%error, "the log of translations goes on where it was");
            }
            let written = self.write_all(&mut lost, end, || {
                stop.load(Ordering::Relaxed) || Instant::now() > due
            });
            if Instant::now() > due || stopping {
                due = Instant::now() + LOSSES;
                self.tell_of_losses(&mut lost);
            }
            if stopping && written == 0 {
                return;
            }
            if written == 0 {
                std::thread::sleep(NAP);
            }
        }
    }

    /// Writes what has come, and returns how much that was. A sink that takes a second for each record must not keep us
    /// from what else there is to do, `busy_elsewhere`; after the `end` nothing is written any more.
    fn write_all(
        &mut self,
        lost: &mut Lost,
        end: Option<Instant>,
        busy_elsewhere: impl Fn() -> bool,
    ) -> usize {
        let (names, workers) = (
            Arc::clone(self.plane.nat_names()),
            Arc::clone(&self.workers),
        );
        let (now, second) = (OffsetDateTime::now_utc(), self.clock.get());
        let mut taken = 0;
        for worker in workers.iter() {
            for _ in 0..AT_A_TIME {
                let Some(record) = worker.channel.nat.log.pop() else {
                    break;
                };
                taken += 1;
                if end.is_some_and(|end| Instant::now() > end) {
                    lost.unwritten += 1;
                    continue;
                }
                let age = Duration::from_secs(second.saturating_sub(record.second).into());
                let line = line_of(&names, &record, now - age);
                self.write(&line, lost);
                if end.is_none() && busy_elsewhere() {
                    break;
                }
            }
        }
        if taken > 0
            && let Err(error) = self.sink.flush()
        {
            lost.error = Some(error);
        }
        taken
    }

    fn write(&mut self, line: &Line, lost: &mut Lost) {
        if let Err(error) = self.sink.write(line) {
            lost.unwritten += 1;
            lost.error = Some(error);
        }
    }

    fn tell_of_losses(&mut self, lost: &mut Lost) {
        // A worker that cannot be asked has no more to say than before.
        let by_workers = self.plane.records_lost().unwrap_or(lost.by_workers);
        let count =
            by_workers.saturating_sub(lost.by_workers) + std::mem::take(&mut lost.unwritten);
        lost.by_workers = by_workers.max(lost.by_workers);
        match lost.error.take() {
            Some(error) => {
                tracing::error!(%error, records = count, "the log of translations cannot be written: records are lost");
            }
            None if count > 0 => {
                tracing::warn!(
                    records = count,
                    "the log of translations is slower than the workers: records are lost; give ports in blocks"
                );
            }
            None => {}
        }
        if count > 0 {
            let line = Line::lost(OffsetDateTime::now_utc(), count);
            // If this does not get in either, the next one says more.
            if self
                .sink
                .write(&line)
                .and_then(|()| self.sink.flush())
                .is_err()
            {
                lost.unwritten += count;
            }
        }
    }
}

fn line_of(names: &NatNames, record: &LogRecord, time: OffsetDateTime) -> Line {
    let vrf = VrfIndex::new(record.router);
    // The number may be another router's since.
    let pool = vrf.and_then(|vrf| names.pool(&(vrf, record.subscriber, record.outside)));
    let (router, tenant) = match pool {
        Some((router, tenant)) => (Some(router), Some(tenant)),
        None => (
            vrf.and_then(|vrf| names.router(vrf)),
            names.tenant(record.subscriber),
        ),
    };
    let numbered = |number: u16| format!("#{number}");
    Line {
        time,
        what: record.what.name(),
        fields: vec![
            (
                "router",
                router.map_or_else(|| numbered(record.router), |name| name.to_string()),
            ),
            (
                "tenant",
                tenant.map_or_else(|| numbered(record.subscriber.0), |name| name.to_string()),
            ),
            ("inside", record.inside.to_string()),
            ("outside", record.outside.to_string()),
            (
                "protocol",
                record
                    .protocol
                    .map_or("all", |protocol| protocol.name())
                    .to_owned(),
            ),
            ("ports", record.ports.to_string()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use vtepd_nat::{Logged, PortSet, Protocol, SubscriberIndex};

    use super::*;

    #[test]
    fn rfc6888_req12_a_record_names_who_had_which_ports_and_no_destination() {
        let names = NatNames::default();
        names.set_router(VrfIndex::new(3).unwrap(), &"r1".parse().unwrap());
        names.set_tenant(SubscriberIndex(0), &"acme".parse().unwrap());
        let record = LogRecord {
            second: 7,
            what: Logged::PortTaken,
            router: 3,
            subscriber: SubscriberIndex(0),
            inside: "10.1.0.5".parse().unwrap(),
            outside: "203.0.113.5".parse().unwrap(),
            protocol: Some(Protocol::Tcp),
            ports: PortSet {
                first: 40000,
                last: 40000,
                stride: 16,
            },
        };
        let line = line_of(&names, &record, OffsetDateTime::UNIX_EPOCH);
        assert_eq!(
            line.to_string(),
            "1970-01-01T00:00:00Z port-taken router=r1 tenant=acme inside=10.1.0.5 outside=203.0.113.5 protocol=tcp ports=40000"
        );
        let block = LogRecord {
            what: Logged::BlockFreed,
            router: 9,
            protocol: None,
            ports: PortSet {
                first: 1024,
                last: 1279,
                stride: 16,
            },
            ..record
        };
        let line = line_of(&names, &block, OffsetDateTime::UNIX_EPOCH).to_string();
        assert!(
            line.contains("block-freed router=#9")
                && line.ends_with("protocol=all ports=1024-1279"),
            "{line}"
        );
    }
}
