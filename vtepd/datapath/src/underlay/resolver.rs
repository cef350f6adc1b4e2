//! MACs of the underlay's next hops (RFC 826, RFC 4861): the control thread's
//! side. It asks for each next hop as soon as somebody is behind it, not when the
//! first packet wants out, so that this one is not lost; and it keeps asking, so
//! that a new MAC is noticed.
//!
//! ```text
//!   Incomplete ──heard──► Reachable ──30 s──► Stale ──heard──► Reachable
//!    asks all,             silent              asks the MAC, then all,
//!    1 2 4 8 8 … s                             and goes on using it
//! ```
//!
//! A next hop that no longer answers keeps its MAC: packets to a dead host are
//! lost either way, and packets to a live one that lost our question are not.

use core::net::IpAddr;
use std::collections::HashMap;

use vtepd_tables::{InterfaceIndex, Tag};
use vtepd_wire::{IntoBytes, Mac, arp, ethernet, ipv4, ipv6, nd};

use crate::event::{SmallFrame, small_frame};

/// Milliseconds that an answer is good for (RFC 4861, section 10: 30 s).
const REACHABLE_MS: u64 = 30_000;
/// Milliseconds between questions at first (RFC 4861, section 10: RetransTimer).
const FIRST_RETRY_MS: u64 = 1_000;
/// Milliseconds between questions to a next hop that stays silent.
const LAST_RETRY_MS: u64 = 8_000;
/// Milliseconds that a next hop keeps a new MAC at least, as Linux has it (`locktime`).
const LOCK_MS: u64 = 1_000;
/// Questions to the known MAC before all are asked.
const UNICAST_QUESTIONS: u8 = 3;

/// A next hop on the underlay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NextHop {
    /// The interface it is behind.
    pub interface: InterfaceIndex,
    /// Its address.
    pub address: IpAddr,
}

/// As whom we ask on an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// The interface's MAC.
    pub mac: Mac,
    /// The interface's address, of the family asked for.
    pub address: IpAddr,
    /// The underlay's tag.
    pub tag: Option<Tag>,
}

/// What is known of a next hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HopState {
    /// It has not answered yet; nothing can be sent.
    Incomplete,
    /// It answered within the last half minute.
    Reachable,
    /// It has been silent for longer; its MAC is still used.
    Stale,
}

struct Hop {
    asker: Asker,
    mac: Option<Mac>,
    heard_at: u64,
    /// When its MAC last became another one.
    changed_at: u64,
    /// Questions since it was last heard.
    asked: u8,
    ask_at: u64,
}

impl Hop {
    fn state(&self, now: u64) -> HopState {
        match self.mac {
            None => HopState::Incomplete,
            Some(_) if now < self.heard_at + REACHABLE_MS => HopState::Reachable,
            Some(_) => HopState::Stale,
        }
    }
}

/// All next hops in use. Times are milliseconds on any one clock.
#[derive(Default)]
pub struct Resolver {
    hops: HashMap<NextHop, Hop>,
}

impl Resolver {
    /// Replaces the next hops in use; those that stay keep what is known of them.
    pub fn set(&mut self, wanted: impl IntoIterator<Item = (NextHop, Asker)>, now: u64) {
        let mut known = std::mem::take(&mut self.hops);
        for (next_hop, asker) in wanted {
            let fresh = Hop {
                asker,
                mac: None,
                heard_at: 0,
                changed_at: 0,
                asked: 0,
                ask_at: now,
            };
            let hop = match known.remove(&next_hop) {
                Some(hop) => Hop { asker, ..hop },
                None => fresh,
            };
            self.hops.entry(next_hop).or_insert(hop);
        }
    }

    /// The MAC to send to.
    pub fn mac(&self, next_hop: NextHop) -> Option<Mac> {
        self.hops.get(&next_hop)?.mac
    }

    /// Somebody said who it is. `true` when that gives a next hop a new MAC.
    pub fn heard(&mut self, next_hop: NextHop, mac: Mac, now: u64) -> bool {
        let Some(hop) = self.hops.get_mut(&next_hop) else {
            return false;
        };
        let known = hop.mac;
        if known.is_some() && known != Some(mac) {
            // Two hosts that both say they are it would have us build tunnels
            // anew for each word of theirs.
            if now < hop.changed_at + LOCK_MS {
                hop.ask_at = hop.ask_at.min(hop.changed_at + LOCK_MS);
                return false;
            }
            hop.changed_at = now;
        }
        hop.heard_at = now;
        hop.asked = 0;
        hop.ask_at = now + REACHABLE_MS;
        hop.mac = Some(mac);
        known != Some(mac)
    }

    /// The questions that are due.
    pub fn questions(&mut self, now: u64) -> Vec<(InterfaceIndex, SmallFrame)> {
        let due = self.hops.iter_mut().filter(|(_, hop)| hop.ask_at <= now);
        due.filter_map(|(next_hop, hop)| {
            let doublings = hop.asked.saturating_sub(if hop.mac.is_some() {
                UNICAST_QUESTIONS
            } else {
                0
            });
            let wait = FIRST_RETRY_MS << doublings.min(3);
            hop.ask_at = now + wait.min(LAST_RETRY_MS);
            let known = hop.mac.filter(|_| hop.asked < UNICAST_QUESTIONS);
            hop.asked = hop.asked.saturating_add(1);
            Some((
                next_hop.interface,
                question(&hop.asker, next_hop.address, known)?,
            ))
        })
        .collect()
    }

    /// Every next hop with its MAC, its state and the milliseconds since it was heard.
    pub fn list(&self, now: u64) -> Vec<(NextHop, Option<Mac>, HopState, u64)> {
        let mut list: Vec<_> = self
            .hops
            .iter()
            .map(|(next_hop, hop)| {
                (
                    *next_hop,
                    hop.mac,
                    hop.state(now),
                    now.saturating_sub(hop.heard_at),
                )
            })
            .collect();
        list.sort_by_key(|(next_hop, ..)| *next_hop);
        list
    }
}

/// Who has `address`? Asked of `known`, or of all.
fn question(asker: &Asker, address: IpAddr, known: Option<Mac>) -> Option<SmallFrame> {
    match (asker.address, address) {
        (IpAddr::V4(own), IpAddr::V4(target)) => {
            let request = arp::Packet::request(asker.mac, own, target);
            let header = ethernet::Header::new(
                known.unwrap_or(Mac::BROADCAST),
                asker.mac,
                ethernet::ETHERTYPE_ARP,
            );
            Some(small_frame(
                &[header.as_bytes(), request.as_bytes()].concat(),
                asker.tag,
            ))
        }
        (IpAddr::V6(own), IpAddr::V6(target)) => {
            let destination = if known.is_some() {
                target
            } else {
                ipv6::solicited_node(target)
            };
            let message = nd::solicitation(own, destination, target, asker.mac);
            let header = ethernet::Header::new(
                known.unwrap_or_else(|| Mac::multicast_of_v6(destination)),
                asker.mac,
                ethernet::ETHERTYPE_IPV6,
            );
            let ip = ipv6::Header {
                version_class_flow: (6 << 28).into(),
                payload_length: (message.len() as u16).into(),
                next_header: ipv4::PROTOCOL_ICMPV6,
                hop_limit: nd::HOP_LIMIT,
                source: own.octets(),
                destination: destination.octets(),
            };
            Some(small_frame(
                &[header.as_bytes(), ip.as_bytes(), &message].concat(),
                asker.tag,
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vtepd_wire::craft;

    const OUR_MAC: Mac = Mac([2, 0, 0, 0, 1, 1]);
    const ITS_MAC: Mac = Mac([2, 0, 0, 0, 1, 2]);

    fn hop(address: &str) -> NextHop {
        NextHop {
            interface: InterfaceIndex(0),
            address: address.parse().unwrap(),
        }
    }

    fn asker(address: &str) -> Asker {
        Asker {
            mac: OUR_MAC,
            address: address.parse().unwrap(),
            tag: None,
        }
    }

    fn resolver() -> Resolver {
        let mut resolver = Resolver::default();
        resolver.set([(hop("192.0.2.12"), asker("192.0.2.11"))], 0);
        resolver
    }

    #[test]
    fn it_asks_at_once_and_then_ever_less_often() {
        let mut resolver = resolver();
        let expected =
            craft::ethernet(Mac::BROADCAST, OUR_MAC).arp_request("192.0.2.11", "192.0.2.12");
        let mut asked_at = vec![];
        for now in (0..40_000).step_by(500) {
            for (interface, frame) in resolver.questions(now) {
                assert_eq!(
                    (interface, frame.as_slice()),
                    (InterfaceIndex(0), expected.as_slice())
                );
                asked_at.push(now);
            }
        }
        assert_eq!(
            asked_at,
            [0, 1000, 3000, 7000, 15_000, 23_000, 31_000, 39_000]
        );
    }

    #[test]
    fn an_answer_is_kept_confirmed_and_kept_when_it_stays_out() {
        let mut resolver = resolver();
        resolver.questions(0);
        assert!(resolver.heard(hop("192.0.2.12"), ITS_MAC, 100));
        assert!(
            !resolver.heard(hop("192.0.2.12"), ITS_MAC, 200),
            "nothing new"
        );
        assert!(
            !resolver.heard(hop("192.0.2.99"), ITS_MAC, 200),
            "nobody's next hop"
        );
        assert!(resolver.questions(30_000).is_empty());
        for (now, destination) in [
            (30_200, ITS_MAC),
            (31_200, ITS_MAC),
            (32_200, ITS_MAC),
            (33_200, Mac::BROADCAST),
        ] {
            let questions = resolver.questions(now);
            assert_eq!(questions[0].1[..6], destination.0, "at {now}");
        }
        assert_eq!(resolver.mac(hop("192.0.2.12")), Some(ITS_MAC));
        assert_eq!(resolver.list(33_200)[0].2, HopState::Stale);
        assert!(
            resolver.heard(hop("192.0.2.12"), OUR_MAC, 34_000),
            "a new MAC"
        );
        assert_eq!(resolver.list(34_000)[0].2, HopState::Reachable);
    }

    #[test]
    fn two_that_claim_an_address_change_it_once_a_second_at_most() {
        let mut resolver = resolver();
        let mut changes = 0;
        for now in 10_000..13_000 {
            let mac = if now % 2 == 0 { ITS_MAC } else { OUR_MAC };
            changes += u32::from(resolver.heard(hop("192.0.2.12"), mac, now));
        }
        assert!((3..=5).contains(&changes), "{changes}");
    }

    #[test]
    fn next_hops_that_stay_in_use_keep_their_mac() {
        let mut resolver = resolver();
        resolver.heard(hop("192.0.2.12"), ITS_MAC, 100);
        let wanted =
            ["192.0.2.12", "192.0.2.13"].map(|address| (hop(address), asker("192.0.2.11")));
        resolver.set(wanted, 200);
        assert_eq!(resolver.mac(hop("192.0.2.12")), Some(ITS_MAC));
        assert_eq!(resolver.mac(hop("192.0.2.13")), None);
        assert_eq!(resolver.questions(200).len(), 1);
        resolver.set([], 300);
        assert_eq!(resolver.mac(hop("192.0.2.12")), None);
    }

    #[test]
    fn ipv6_next_hops_are_solicited_with_the_tag_of_the_underlay() {
        let mut resolver = Resolver::default();
        let tag = Tag::new(
            ethernet::ETHERTYPE_VLAN,
            vtepd_wire::VlanId::new(7).unwrap(),
        );
        let asker = Asker {
            tag: Some(tag),
            ..asker("2001:db8::11")
        };
        resolver.set([(hop("2001:db8::12"), asker)], 0);
        let (_, frame) = resolver.questions(0).remove(0);
        craft::verify(&frame).unwrap();
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0, 0, 0x12]);
        assert_eq!(frame[12..16], [0x81, 0, 0, 7]);
    }
}
