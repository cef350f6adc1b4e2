//! Stations of the same network that send to each other: `decap` and `encap`.

use vtepd_wire::{Mac, craft};

use super::fabric::{Fabric, OWN_VTEP, UPLINK_MAC};
use super::flows::{Direction, Flows, Label};
use super::state::{self, Options, Side};
use super::tunnel;

/// Bytes of an inner frame, without the checksum that devices take off.
pub const INNER: usize = 64;
/// Ports of one transaction.
pub(super) const BATCH: u32 = 10_000;

/// Frames of `macs` flows: station i and its peer.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Who there is.
    pub fabric: Fabric,
    /// Which way.
    pub direction: Direction,
    /// Flows, and destination MACs: each is one of both.
    pub macs: u32,
    /// Of the order and of the ports.
    pub seed: u64,
    /// Whether sources are learned.
    pub learning: bool,
}

impl Flows for Workload {
    fn label(&self) -> Label {
        let learning = if self.learning { "on" } else { "off" };
        let name = match self.direction {
            Direction::Decap => "decap",
            Direction::Encap => "encap",
        };
        Label::new(name, self.macs, format!("learning {learning}"))
    }

    fn fabric(&self) -> Fabric {
        self.fabric
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn count(&self) -> u32 {
        self.macs
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn frame(&self, flow: u32) -> Vec<u8> {
        let inner = self.inner(flow);
        match self.direction {
            Direction::Decap => tunnel::sent(
                self.fabric,
                self.fabric.vtep_of(flow),
                self.fabric.network_of(flow),
                source_port(flow),
                &inner,
            ),
            Direction::Encap => self.tagged(flow, &inner),
        }
    }

    fn expected(&self, flow: u32) -> Vec<u8> {
        let inner = self.inner(flow);
        match self.direction {
            Direction::Decap => self.tagged(flow, &inner),
            Direction::Encap => tunnel::expected(
                self.fabric,
                self.fabric.vtep_of(flow),
                self.fabric.network_of(flow),
                &inner,
            ),
        }
    }

    fn transactions(&self) -> Box<dyn Iterator<Item = String> + '_> {
        let options = Options {
            learning: self.learning,
            bound: true,
        };
        let side = match self.direction {
            Direction::Decap => Side::Local,
            Direction::Encap => Side::Remote,
        };
        let first = state::infrastructure(self.fabric, options).to_string();
        let ports = (0..self.macs).step_by(BATCH as usize).map(move |first| {
            let stations = first..(first + BATCH).min(self.macs);
            state::ports(self.fabric, side, stations, false)
        });
        Box::new(std::iter::once(first).chain(ports))
    }

    fn learned(&self) -> Option<u32> {
        // Each flow's source and its destination.
        self.learning.then_some(2 * self.macs)
    }
}

impl Workload {
    /// The inner frame of a flow, untagged.
    fn inner(&self, flow: u32) -> Vec<u8> {
        let fabric = self.fabric;
        let local = (fabric.local_mac(flow), fabric.local_address(flow));
        let remote = (fabric.remote_mac(flow), fabric.remote_address(flow));
        let (from, to): ((Mac, _), (Mac, _)) = match self.direction {
            Direction::Decap => (remote, local),
            Direction::Encap => (local, remote),
        };
        // The flow's number in the payload makes each frame another one.
        let mut payload = [0; INNER - 14 - 20 - 8];
        payload[..4].copy_from_slice(&flow.to_be_bytes());
        craft::ethernet(to.0, from.0)
            .ipv4(from.1, to.1)
            .udp(source_port(flow), 4000, &payload)
    }

    fn tagged(&self, flow: u32, inner: &[u8]) -> Vec<u8> {
        tunnel::tagged(self.fabric, self.fabric.network_of(flow), inner)
    }
}

/// The source port of a flow's inner and, towards us, outer packets. Like everything in the
/// frames a formula of additions, shifts and masks: traffic generators make the same flows by
/// counting, and cannot hash.
pub(super) fn source_port(flow: u32) -> u16 {
    49152 | flow as u16 & 0x3fff
}

/// What each VTEP says of itself on the underlay: ARP replies, so that a daemon
/// whose questions go nowhere can send.
pub fn introductions(fabric: Fabric) -> impl Iterator<Item = Vec<u8>> {
    (0..fabric.vteps).map(move |vtep| {
        let mac = fabric.vtep_mac(vtep);
        craft::ethernet(UPLINK_MAC, mac).arp_reply(fabric.vtep(vtep), OWN_VTEP)
    })
}

/// A frame of no network, which is dropped: it takes time until what precedes the
/// frames that count has been acted upon.
#[must_use]
pub fn unbound() -> Vec<u8> {
    craft::ethernet([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 3])
        .vlan(4000)
        .payload(0x88b5, &[0; 46])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::Value;
    use vtepd_wire::frame;

    use super::*;

    const TAG: usize = 4;
    const OUTER: usize = 14 + 20 + 8 + 8;

    const FEW: u32 = 1000;

    fn workload(direction: Direction, macs: u32) -> Workload {
        Workload {
            fabric: Fabric::SMALL,
            direction,
            macs,
            seed: 7,
            learning: false,
        }
    }

    #[test]
    fn frames_hold_and_have_the_promised_length() {
        for (direction, len) in [
            (Direction::Decap, INNER + OUTER),
            (Direction::Encap, INNER + TAG),
        ] {
            let workload = workload(direction, FEW);
            for (sent, flow) in workload.sent().zip(workload.order()) {
                craft::verify(&sent).unwrap();
                craft::verify(&workload.expected(flow)).unwrap();
                assert_eq!(sent.len(), len);
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_frames_and_another_one_others() {
        let one = workload(Direction::Encap, FEW);
        assert!(one.sent().eq(one.sent()));
        assert!(!one.sent().eq(Workload { seed: 8, ..one }.sent()));
    }

    #[test]
    fn every_station_a_frame_is_for_is_in_the_state() {
        let fabric = Fabric::SMALL;
        let options = Options {
            learning: true,
            bound: true,
        };
        let infrastructure = &state::infrastructure(fabric, options)["put"];
        for (direction, side) in [
            (Direction::Decap, Side::Local),
            (Direction::Encap, Side::Remote),
        ] {
            let body = state::ports(fabric, side, 0..FEW, true);
            let body: Value = serde_json::from_str(&body).unwrap();
            let ports = body["put"]["ports"].as_object().unwrap();
            let by_mac: HashMap<&str, &Value> = ports
                .values()
                .map(|port| (port["mac"].as_str().unwrap(), port))
                .collect();
            assert_eq!(by_mac.len(), FEW as usize);
            let workload = workload(direction, FEW);
            for flow in 0..FEW {
                let inner = workload.inner(flow);
                let mac = Mac(*inner.first_chunk().unwrap()).to_string();
                let port = by_mac[mac.as_str()];
                let network = &infrastructure["networks"][port["network"].as_str().unwrap()];
                let expected = workload.expected(flow);
                match direction {
                    Direction::Decap => {
                        let vlan = network["bindings"][0]["vlan"].as_u64();
                        assert_eq!(port["vlan"].as_u64(), vlan);
                        let link = frame::link(&expected).unwrap();
                        assert_eq!(link.tag_count, 1);
                        assert_eq!(u64::from(expected[15]), vlan.unwrap() & 255);
                    }
                    Direction::Encap => {
                        let host = &infrastructure["hosts"][port["host"].as_str().unwrap()];
                        let vtep = host["vtep"].as_str().unwrap();
                        let destination: [u8; 4] = expected[30..34].try_into().unwrap();
                        assert_eq!(vtep, core::net::Ipv4Addr::from(destination).to_string());
                        let vni = u32::from_be_bytes([0, expected[46], expected[47], expected[48]]);
                        assert_eq!(network["segment"]["vni"], vni);
                    }
                }
            }
        }
    }

    #[test]
    fn a_wrong_byte_a_wrong_port_and_one_frame_too_many_are_found() {
        let workload = workload(Direction::Encap, FEW);
        let mut good = workload.expected(3);
        good[34..36].copy_from_slice(&50_000u16.to_be_bytes());
        let flows: &dyn Flows = &workload;
        let check = |frame: &[u8], ports: &mut _| flows.check_frame(3, frame.to_vec(), ports);
        let mut ports = HashMap::new();
        assert_eq!(check(&good, &mut ports), Ok(()));
        let mut other_port = good.clone();
        other_port[35] ^= 1;
        assert!(check(&other_port, &mut ports).unwrap_err().contains("port"));
        let mut other_vni = good.clone();
        other_vni[48] ^= 1;
        assert!(
            check(&other_vni, &mut ports)
                .unwrap_err()
                .contains("byte 48")
        );
        let all = workload.order().len();
        let decap = Workload {
            direction: Direction::Decap,
            ..workload
        };
        let out = || {
            decap
                .order()
                .into_iter()
                .map(|flow| Ok(decap.expected(flow)))
        };
        let decap: &dyn Flows = &decap;
        assert_eq!(decap.check(&mut out()), Ok(all as u64));
        let more = decap.check(&mut out().chain(out().take(1)));
        assert!(more.unwrap_err().contains("more"));
    }

    #[test]
    fn a_gap_in_repeated_frames_is_found() {
        let decap = workload(Direction::Decap, FEW);
        let all = decap.order().len();
        let out = || {
            let order = decap.order();
            (0..all * 2 + 7).map(move |at| Ok(decap.expected(order[at % all])))
        };
        let flows: &dyn Flows = &decap;
        assert_eq!(flows.check_repeated(&mut out()), Ok(all as u64 * 2 + 7));
        for missing in [0, 5, all, all * 2] {
            let mut gap = out().take(missing).chain(out().skip(missing + 1));
            assert!(flows.check_repeated(&mut gap).is_err());
        }
        assert!(flows.check_repeated(&mut out().take(0)).is_err());
    }

    #[test]
    fn introductions_hold() {
        assert_eq!(introductions(Fabric::SMALL).count(), 16);
        introductions(Fabric::SMALL).for_each(|frame| craft::verify(&frame).unwrap());
        craft::verify(&unbound()).unwrap();
    }
}
