//! The control thread: what has to be done now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vtepd_datapath::Event;
use vtepd_datapath::underlay::resolver::NextHop;

use super::{Control, Plane};

/// How long a new source waits at most before it is learned, and an answer
/// before it is used.
const TICK_MS: u32 = 2;

/// How late a question to a neighbour may be asked again.
const NEIGHBOURS_MS: u64 = 100;

/// Runs until `stop` is set.
pub fn run(plane: &Arc<Plane>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        plane.control.lock().tick();
        plane.busy.sample(&plane.workers);
        std::thread::sleep(Duration::from_millis(u64::from(TICK_MS)));
    }
}

impl Control {
    pub(super) fn tick(&mut self) {
        self.clock.set(self.start.elapsed().as_secs() as u32);
        self.drain_events();
        self.answer_stations();
        let (now, now_ms) = (self.now(), self.now_ms());
        self.learner.age(&mut self.tables, now, TICK_MS);
        let mut frames = self.resolver.questions(now_ms);
        frames.extend(self.membership.reports(now_ms));
        self.transmit(frames);
        if now_ms >= self.neighbours_due {
            self.neighbours_due = now_ms + NEIGHBOURS_MS;
            let questions = self.neighbours.questions(&mut self.tables, now_ms);
            self.deliver(questions);
            self.advertise();
        }
        self.tell_of_translations();
        self.send_announcements();
        self.tables.publish();
        self.tables.collect();
    }

    /// Acts upon what the workers have told.
    pub(super) fn drain_events(&mut self) {
        let workers = Arc::clone(&self.workers);
        let mut new_mac = false;
        for worker in workers.iter() {
            // Not more than the queue holds: a worker that goes on telling must not keep us.
            for _ in 0..worker.channel.capacity() {
                let Some(event) = worker.channel.pop() else {
                    break;
                };
                new_mac |= self.hear(event);
            }
        }
        if new_mac {
            self.refresh_tunnels();
        }
    }

    /// Whether a next hop has a new MAC.
    fn hear(&mut self, event: Event) -> bool {
        match event {
            Event::Seen { key, adjacency } => {
                let now = self.now();
                self.learner.seen(&mut self.tables, key, adjacency, now);
                false
            }
            Event::Claim {
                network,
                address,
                neighbour,
            } => {
                let now = self.now_ms();
                if self
                    .neighbours
                    .claimed(&mut self.tables, network, address, neighbour, now)
                {
                    self.resume();
                }
                false
            }
            Event::Wanted { gateway, address } => {
                let now = self.now_ms();
                let question = self.neighbours.wanted(&self.tables, gateway, address, now);
                self.deliver(question);
                false
            }
            Event::Neighbour {
                interface,
                address,
                mac,
            } => {
                let now = self.now_ms();
                let news = self
                    .resolver
                    .heard(NextHop { interface, address }, mac, now);
                if news {
                    tracing::info!(%interface, %address, %mac, "underlay next hop");
                }
                news
            }
            Event::MembershipQuery {
                interface,
                group,
                ipv6,
                version,
            } => {
                let answer = self.membership.answer(interface, group, ipv6, version);
                self.transmit(answer);
                false
            }
        }
    }
}
