//! Who sends to whom, in what order, and what must come out.

use std::collections::HashMap;

use vtepd_wire::{Mac, craft};

use super::fabric::{Fabric, OWN_VTEP, UPLINK_MAC};
use super::order::order;
use super::random::mix;
use super::same;
use super::tunnel;

/// Bytes of an inner frame, without the checksum that devices take off.
pub const INNER: usize = 64;
/// Which way a workload's packets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From VXLAN to the access port, tagged.
    Decap,
    /// From the access port to VXLAN.
    Encap,
}

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
}

impl Workload {
    /// The flow of each frame.
    #[must_use]
    pub fn order(&self) -> Vec<u32> {
        order(self.macs, self.seed)
    }

    /// What goes in, in order.
    pub fn sent(&self) -> impl Iterator<Item = Vec<u8>> {
        self.order().into_iter().map(|flow| self.frame(flow))
    }

    /// The frame that flow sends.
    #[must_use]
    pub fn frame(&self, flow: u32) -> Vec<u8> {
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

    /// The frame that must come out for what flow sends, our MAC and, on a tunnel,
    /// the source port being left out (zero).
    #[must_use]
    pub fn expected(&self, flow: u32) -> Vec<u8> {
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

    /// Compares what came out with what must have, in order.
    ///
    /// # Errors
    /// The first difference.
    pub fn check<E: core::fmt::Display>(
        &self,
        received: impl Iterator<Item = Result<Vec<u8>, E>>,
    ) -> Result<u64, String> {
        let mut ports = HashMap::new();
        let mut order = self.order().into_iter();
        let mut count = 0;
        for (position, frame) in received.enumerate() {
            let frame = frame.map_err(|error| error.to_string())?;
            let flow = order.next();
            let flow = flow.ok_or("more frames came out than went in")?;
            self.check_frame(flow, frame, &mut ports)
                .map_err(|what| format!("frame {position} (flow {flow}): {what}"))?;
            count += 1;
        }
        Ok(count)
    }

    /// Compares what came out for the frames sent over and over, from the first one
    /// on. It may end anywhere.
    ///
    /// # Errors
    /// The first difference; nothing came out.
    pub fn check_repeated<E: core::fmt::Display>(
        &self,
        received: impl Iterator<Item = Result<Vec<u8>, E>>,
    ) -> Result<u64, String> {
        let order = self.order();
        let mut expected = vec![None; self.macs as usize];
        let mut count = 0;
        for (flow, frame) in order.iter().cycle().zip(received) {
            let frame = frame.map_err(|error| error.to_string())?;
            // Each is checked byte by byte once, and compared from then on.
            match &expected[*flow as usize] {
                Some(seen) if *seen == frame => {}
                Some(_) => return Err(format!("frame {count} (flow {flow}) is not as before")),
                None => {
                    self.check_frame(*flow, frame.clone(), &mut HashMap::new())
                        .map_err(|what| format!("frame {count} (flow {flow}): {what}"))?;
                    expected[*flow as usize] = Some(frame);
                }
            }
            count += 1;
        }
        match count {
            0 => Err("nothing came out".to_owned()),
            count => Ok(count),
        }
    }

    /// Compares one frame with what its flow must give. `ports` remembers the
    /// source port of each flow on the tunnel.
    ///
    /// # Errors
    /// What differs.
    pub fn check_frame(
        &self,
        flow: u32,
        mut frame: Vec<u8>,
        ports: &mut HashMap<u32, u16>,
    ) -> Result<(), String> {
        craft::verify(&frame).map_err(|what| format!("does not hold: {what:?}"))?;
        if self.direction == Direction::Encap {
            let port = tunnel::take_off_choices(&mut frame)?;
            if *ports.entry(flow).or_insert(port) != port {
                return Err(format!("outer source port {port}"));
            }
        }
        same(&frame, &self.expected(flow))
    }
}

/// The source port of a flow's inner and, towards us, outer packets.
pub(super) fn source_port(flow: u32) -> u16 {
    49152 | mix(u64::from(flow)) as u16 >> 2
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
    use super::super::state::{self, Options, Side};
    use super::*;
    use serde_json::Value;
    use vtepd_wire::frame;

    const TAG: usize = 4;
    const OUTER: usize = 14 + 20 + 8 + 8;

    const FEW: u32 = 1000;

    fn workload(direction: Direction, macs: u32) -> Workload {
        Workload {
            fabric: Fabric::SMALL,
            direction,
            macs,
            seed: 7,
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
        let check = |frame: &[u8], ports: &mut _| workload.check_frame(3, frame.to_vec(), ports);
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
                .map(|flow| Ok::<_, String>(decap.expected(flow)))
        };
        assert_eq!(decap.check(out()), Ok(all as u64));
        assert!(
            decap
                .check(out().chain(out().take(1)))
                .unwrap_err()
                .contains("more")
        );
    }

    #[test]
    fn a_gap_in_repeated_frames_is_found() {
        let decap = workload(Direction::Decap, FEW);
        let all = decap.order().len();
        let out = || {
            let order = decap.order();
            (0..all * 2 + 7).map(move |at| Ok::<_, String>(decap.expected(order[at % all])))
        };
        assert_eq!(decap.check_repeated(out()), Ok(all as u64 * 2 + 7));
        for missing in [0, 5, all, all * 2] {
            let gap = out().take(missing).chain(out().skip(missing + 1));
            assert!(decap.check_repeated(gap).is_err());
        }
        assert!(decap.check_repeated(out().take(0)).is_err());
    }

    #[test]
    fn introductions_hold() {
        assert_eq!(introductions(Fabric::SMALL).count(), 16);
        introductions(Fabric::SMALL).for_each(|frame| craft::verify(&frame).unwrap());
        craft::verify(&unbound()).unwrap();
    }
}
