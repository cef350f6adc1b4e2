//! Gratuitous ARP for addresses that this host answers for on external networks: neighbours there have sent to another
//! MAC before, and switches have seen it elsewhere (RFC 5227, 3).

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use mgmt_api::change::Changes;
use mgmt_api::resources::Network as ApiNetwork;
use vtepd_datapath::{Delivery, LargeFrame, Recipients};
use vtepd_tables::NetworkIndex;
use vtepd_wire::{IntoBytes, Mac, arp, ethernet};

use super::concerned::Concerned;
use super::places::network_index;
use super::{Control, stations};

/// How often an address is announced.
const TIMES: u8 = 3;
/// Milliseconds between two announcements of an address.
const INTERVAL_MS: u64 = 1_000;
/// Announcements that go out at a time: a host that takes thousands of addresses over leaves room for questions.
const AT_A_TIME: usize = 4;

struct Announcement {
    network: NetworkIndex,
    address: Ipv4Addr,
    mac: Mac,
    /// How often it has gone out.
    times: u8,
    due: u64,
}

/// Those that are still to go out, by time.
#[derive(Default)]
pub struct Announcements {
    waiting: VecDeque<Announcement>,
}

impl Announcements {
    /// Announces an address from now on.
    pub fn add(&mut self, network: NetworkIndex, address: Ipv4Addr, mac: Mac, now: u64) {
        // First those that have not gone out at all: nobody knows of them.
        let first = Announcement {
            network,
            address,
            mac,
            times: 0,
            due: now,
        };
        let behind = self.waiting.partition_point(|other| other.due <= now);
        self.waiting.insert(behind, first);
    }

    /// Those that are due and still true, in both forms, as some look at requests only and others at replies.
    fn take(
        &mut self,
        now: u64,
        mut is_true: impl FnMut(NetworkIndex, Ipv4Addr, Mac) -> bool,
    ) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while deliveries.len() < 2 * AT_A_TIME
            && let Some(announcement) = self.waiting.pop_front_if(|next| next.due <= now)
        {
            let Announcement {
                network,
                address,
                mac,
                times,
                ..
            } = announcement;
            if !is_true(network, address, mac) {
                continue;
            }
            let forms = [
                arp::Packet::announcement(mac, address),
                arp::Packet::announcement_reply(mac, address),
            ];
            deliveries.extend(forms.map(|form| Delivery {
                network,
                to: Recipients::All,
                frame: frame(mac, &form),
            }));
            if times + 1 < TIMES {
                self.waiting.push_back(Announcement {
                    times: times + 1,
                    due: now + INTERVAL_MS,
                    ..announcement
                });
            }
        }
        deliveries
    }
}

fn frame(mac: Mac, packet: &arp::Packet) -> LargeFrame {
    let header = ethernet::Header::new(Mac::BROADCAST, mac, ethernet::ETHERTYPE_ARP);
    let mut frame = LargeFrame::new();
    // Both together are far shorter than the frame may be.
    let _ = frame.try_extend_from_slice(header.as_bytes());
    let _ = frame.try_extend_from_slice(packet.as_bytes());
    frame
}

impl Control {
    /// Announces what this host answers for after a transaction and did not before, or by another MAC, or on another
    /// interface or VLAN, where others may have been told something else.
    pub(super) fn announce(&mut self, changes: Changes<'_>, concerned: &Concerned) {
        let before = stations::answered_outside(changes.before, concerned);
        let moved = changes.networks().filter(|change| {
            let segment = |network: Option<&ApiNetwork>| Some(network?.segment.attachment());
            segment(change.old) != segment(change.new)
        });
        let moved: BTreeSet<NetworkIndex> = moved
            .filter_map(|change| network_index(change.handle))
            .collect();
        let now = self.now_ms();
        for (at, mac) in stations::answered_outside(changes.after, concerned) {
            let (network, address) = at;
            if before.get(&at) != Some(&mac) || moved.contains(&network) {
                self.announcements.add(network, address, mac, now);
            }
        }
    }

    /// Sends the announcements that are due, once there are workers to send them.
    pub(super) fn send_announcements(&mut self) {
        let now = self.now_ms();
        let running = self.workers.first().is_some_and(|worker| {
            worker.running.load(std::sync::atomic::Ordering::Relaxed)
                && worker.channel.deliveries.len() + 2 * AT_A_TIME
                    < worker.channel.deliveries.capacity()
        });
        if !running {
            return;
        }
        let tables = &self.tables;
        let deliveries = self.announcements.take(now, |network, address, mac| {
            let neighbour = tables.neighbours.get(network, address.into());
            neighbour.is_some_and(|neighbour| neighbour.mac == mac)
        });
        self.deliver(deliveries);
    }
}
