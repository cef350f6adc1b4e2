//! Everything at once, both ways, in packets of three lengths: `mix`.
//!
//! ```text
//!   access ─► bridged, routed, to the outside by the router's address and by floating IPs, broadcasts ─► underlay
//!   access ◄─ bridged, from another host's router, answers to both ◄──────────────────────────────────── underlay
//! ```
//!
//! One distributed router joins 16 networks; stations 0 to 511 on the access port have
//! floating IPs, the others share the router's address. What is outside is a VLAN of the underlay's
//! device. Each packet's kind, flow and length are drawn at random.

use core::net::Ipv4Addr;
use std::fmt::Write as _;

use serde_json::{Value, json};
use vtepd_wire::{Mac, craft};

use super::dvr::{Routed, dvr_mac, own_dvr_mac};
use super::fabric::{Fabric, Kind, UPLINK, numbered, uuid};
use super::flows::Direction;
use super::nat::{EXTERNAL, EXTERNAL_PREFIX, FLOATING_MAC, NEXT_HOP, NEXT_HOP_MAC, VLAN};
use super::random::Random;
use super::state::{self, Side};
use super::{same, tunnel};

/// Stations on each side, and flows of each kind.
const STATIONS: u32 = 1024;
/// Stations with floating IPs: the first ones.
const FLOATING: u32 = STATIONS / 2;
/// Packets of each way, before they begin again.
const PACKETS: usize = 16_384;
/// One of so many from the access port is a broadcast.
const BROADCASTS: usize = 256;
/// Of 12 packets, 7 are short, 4 are of the least length that every host takes, and one is as
/// long as the network allows (the "simple IMIX", with an MTU of 1450): 342 bytes on average.
const LENGTHS: [usize; 12] = [50, 50, 50, 50, 50, 50, 50, 576, 576, 576, 576, 1450];
/// The first port of flows that share an address.
const FIRST_PORT: u16 = 1024;
const REMOTE_PORT: u16 = 443;
/// Sessions last longer than any run.
const TIMEOUT: u32 = 7200;

/// What happens to a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Bridged,
    Routed,
    Shared,
    Floating,
    Broadcast,
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    what: What,
    flow: u32,
    /// Bytes from its IP header on.
    len: usize,
}

/// All of it.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Of what packets are drawn.
    pub seed: u64,
}

impl Mix {
    fn world(&self, direction: Direction) -> Routed {
        Routed {
            direction,
            routers: 1,
            stations: STATIONS,
            seed: self.seed,
        }
    }

    /// Networks and VTEPs.
    #[must_use]
    pub fn fabric(&self) -> Fabric {
        Fabric::SMALL
    }

    /// Sessions that are opened.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        STATIONS
    }

    /// The packets of a way, in order.
    #[must_use]
    pub fn packets(&self, direction: Direction) -> Vec<Packet> {
        let mut random = Random::new(self.seed ^ direction as u64);
        let kinds = [What::Bridged, What::Routed, What::Shared, What::Floating];
        let mut packets = Vec::with_capacity(PACKETS);
        for number in 0..PACKETS {
            let what = match direction {
                Direction::Encap if number % BROADCASTS == 0 => What::Broadcast,
                _ => kinds[random.below(kinds.len())],
            };
            let flow = match what {
                // Every session is opened, whatever is drawn.
                What::Shared => number as u32 % STATIONS,
                What::Floating => random.below(FLOATING as usize) as u32,
                _ => random.below(STATIONS as usize) as u32,
            };
            let len = LENGTHS[random.below(LENGTHS.len())];
            packets.push(Packet { what, flow, len });
        }
        // Shared flows that were not drawn.
        for flow in 0..STATIONS {
            let len = LENGTHS[0];
            packets.push(Packet {
                what: What::Shared,
                flow,
                len,
            });
        }
        packets
    }

    /// The station on the access port that a flow to the outside belongs to.
    fn station(packet: Packet) -> u32 {
        match packet.what {
            What::Shared => FLOATING + packet.flow % (STATIONS - FLOATING),
            _ => packet.flow,
        }
    }

    fn outside(packet: Packet) -> Ipv4Addr {
        let number = match packet.what {
            What::Floating => 512 + packet.flow,
            _ => 2,
        };
        Ipv4Addr::from(u32::from(EXTERNAL) + number)
    }

    fn remote(packet: Packet) -> Ipv4Addr {
        Ipv4Addr::from(0xc613_0000 | packet.flow)
    }

    fn port(packet: Packet) -> u16 {
        FIRST_PORT + packet.flow as u16
    }

    /// The MAC outside that stands for the station's.
    fn outside_mac(packet: Packet) -> Mac {
        match packet.what {
            What::Floating => FLOATING_MAC,
            _ => numbered(0x31, 0),
        }
    }

    /// On the way out, a distributed router and its central one cost one each, and a floating IP
    /// costs two, as in Neutron.
    const TTL_OUT: u8 = 62;

    /// On the way back the station's router is not passed, but by a floating IP.
    fn ttl_back(packet: Packet) -> u8 {
        if packet.what == What::Floating {
            62
        } else {
            63
        }
    }

    fn payload(packet: Packet) -> Vec<u8> {
        let mut payload = vec![0; packet.len - 20 - 8];
        payload[..4].copy_from_slice(&packet.flow.to_be_bytes());
        payload
    }

    /// A packet between stations of the fabric.
    fn inner(
        &self,
        direction: Direction,
        packet: Packet,
        (to, from): (Mac, Mac),
        ttl: u8,
    ) -> Vec<u8> {
        let (world, fabric) = (self.world(direction), self.fabric());
        let (here, there) = match direction {
            Direction::Encap => (Side::Local, Side::Remote),
            Direction::Decap => (Side::Remote, Side::Local),
        };
        let network = fabric.network_of(packet.flow);
        let from_network = match packet.what {
            What::Routed => world.from(packet.flow),
            _ => network,
        };
        let destination = match packet.what {
            What::Broadcast => Ipv4Addr::BROADCAST,
            _ => world.address(there, network, packet.flow),
        };
        craft::ethernet(to.0, from.0)
            .ipv4(world.address(here, from_network, packet.flow), destination)
            .ttl(ttl)
            .udp(Self::port(packet), 4000, &Self::payload(packet))
    }

    /// A packet of a station to the outside, as it leaves the station.
    fn leaving(&self, packet: Packet) -> Vec<u8> {
        let (world, fabric) = (self.world(Direction::Encap), self.fabric());
        let station = Self::station(packet);
        let network = fabric.network_of(station);
        let inner = craft::ethernet(world.gateway_mac(network), fabric.local_mac(station))
            .ipv4(
                world.address(Side::Local, network, station),
                Self::remote(packet),
            )
            .udp(Self::port(packet), REMOTE_PORT, &Self::payload(packet));
        tunnel::tagged(fabric, network, &inner)
    }

    /// An answer from outside, as it reaches the station.
    fn arriving(&self, packet: Packet) -> Vec<u8> {
        let (world, fabric) = (self.world(Direction::Encap), self.fabric());
        let station = Self::station(packet);
        let network = fabric.network_of(station);
        // What came by the shared address comes from the central port.
        let from = match packet.what {
            What::Shared => world.central(network).0,
            _ => world.gateway_mac(network),
        };
        let inner = craft::ethernet(fabric.local_mac(station), from)
            .ipv4(
                Self::remote(packet),
                world.address(Side::Local, network, station),
            )
            .ttl(Self::ttl_back(packet))
            .udp(REMOTE_PORT, Self::port(packet), &Self::payload(packet));
        tunnel::tagged(fabric, network, &inner)
    }

    /// The frame that goes in.
    #[must_use]
    pub fn sent(&self, direction: Direction, packet: Packet) -> Vec<u8> {
        let (fabric, flow) = (self.fabric(), packet.flow);
        let (local, remote) = (fabric.local_mac(flow), fabric.remote_mac(flow));
        let network = fabric.network_of(flow);
        let world = self.world(direction);
        let tagged = |network, macs| {
            tunnel::tagged(fabric, network, &self.inner(direction, packet, macs, 64))
        };
        let tunnelled = |macs, ttl| {
            let inner = self.inner(direction, packet, macs, ttl);
            let vtep = fabric.vtep_of(flow);
            tunnel::sent(fabric, vtep, network, 49152 | flow as u16, &inner)
        };
        match (direction, packet.what) {
            (Direction::Encap, What::Bridged) => tagged(network, (remote, local)),
            (Direction::Encap, What::Broadcast) => tagged(network, (Mac::BROADCAST, local)),
            (Direction::Encap, What::Routed) => {
                let from = world.from(flow);
                tagged(from, (world.gateway_mac(from), local))
            }
            (Direction::Decap, What::Routed) => {
                let host = dvr_mac(fabric.vtep_of(flow));
                tunnelled((local, host), 63)
            }
            (Direction::Decap, What::Bridged | What::Broadcast) => tunnelled((local, remote), 64),
            (Direction::Encap, What::Shared | What::Floating) => self.leaving(packet),
            (Direction::Decap, What::Shared | What::Floating) => {
                craft::ethernet(Self::outside_mac(packet), NEXT_HOP_MAC)
                    .vlan(VLAN)
                    .ipv4(Self::remote(packet), Self::outside(packet))
                    .udp(REMOTE_PORT, Self::port(packet), &Self::payload(packet))
            }
        }
    }

    /// The frames that must come out for it; of tunnels, without [what follows from no
    /// rule](tunnel::take_off_choices).
    #[must_use]
    pub fn expected(&self, direction: Direction, packet: Packet) -> Vec<Vec<u8>> {
        let (fabric, flow) = (self.fabric(), packet.flow);
        let (local, remote) = (fabric.local_mac(flow), fabric.remote_mac(flow));
        let network = fabric.network_of(flow);
        let world = self.world(direction);
        let tagged =
            |macs, ttl| tunnel::tagged(fabric, network, &self.inner(direction, packet, macs, ttl));
        let to = |vtep, macs, ttl| {
            let inner = self.inner(direction, packet, macs, ttl);
            tunnel::expected(fabric, vtep, network, &inner)
        };
        let one = match (direction, packet.what) {
            (Direction::Encap, What::Broadcast) => {
                let copies = (0..fabric.vteps).map(|vtep| to(vtep, (Mac::BROADCAST, local), 64));
                return copies.collect();
            }
            (Direction::Encap, What::Bridged) => to(fabric.vtep_of(flow), (remote, local), 64),
            (Direction::Encap, What::Routed) => {
                to(fabric.vtep_of(flow), (remote, own_dvr_mac()), 63)
            }
            (Direction::Encap, What::Shared | What::Floating) => {
                craft::ethernet(NEXT_HOP_MAC, Self::outside_mac(packet))
                    .vlan(VLAN)
                    .ipv4(Self::outside(packet), Self::remote(packet))
                    .ttl(Self::TTL_OUT)
                    .udp(Self::port(packet), REMOTE_PORT, &Self::payload(packet))
            }
            (Direction::Decap, What::Routed) => tagged((local, world.gateway_mac(network)), 63),
            (Direction::Decap, What::Bridged | What::Broadcast) => tagged((local, remote), 64),
            (Direction::Decap, What::Shared | What::Floating) => self.arriving(packet),
        };
        vec![one]
    }

    /// Frames that come out of a way, for one round.
    #[must_use]
    pub fn count(&self, direction: Direction) -> u64 {
        let copies = |packet: &Packet| match packet.what {
            What::Broadcast => u64::from(self.fabric().vteps),
            _ => 1,
        };
        self.packets(direction).iter().map(copies).sum()
    }

    /// Compares what came out of a way for one round.
    ///
    /// # Errors
    /// The first difference; frames are missing.
    pub fn check(
        &self,
        direction: Direction,
        received: impl Iterator<Item = std::io::Result<Vec<u8>>>,
    ) -> Result<u64, String> {
        let mut packets = self.packets(direction).into_iter();
        let mut due: Vec<Vec<u8>> = Vec::new();
        let mut of = None;
        let mut count = 0;
        for (position, frame) in received.enumerate() {
            let mut frame = frame.map_err(|error| error.to_string())?;
            if due.is_empty() {
                let packet = packets.next().ok_or("more frames came out than went in")?;
                (due, of) = (self.expected(direction, packet), Some(packet));
            }
            let wrong = |what: String| format!("frame {position} ({of:?}): {what}");
            craft::verify(&frame).map_err(|what| wrong(format!("does not hold: {what:?}")))?;
            // What goes to a VTEP has no tag; what goes outside has one.
            if direction == Direction::Encap && frame.get(12..14) == Some(&[8, 0]) {
                tunnel::take_off_choices(&mut frame).map_err(wrong)?;
            }
            let at = match due.iter().position(|one| *one == frame) {
                Some(at) => at,
                None if due.len() > 1 => return Err(wrong("it is none of the copies".to_owned())),
                None => same(&frame, &due[0]).map(|()| 0).map_err(wrong)?,
            };
            due.swap_remove(at);
            count += 1;
        }
        match (due.len(), packets.next()) {
            (0, None) => Ok(count),
            (_, packet) => Err(format!("frames are missing from {packet:?} on ({of:?})")),
        }
    }

    /// The transactions that make the stations known.
    #[must_use]
    pub fn transactions(&self) -> Vec<String> {
        let world = self.world(Direction::Encap);
        let mut first = world.infrastructure();
        let put = &mut first["put"];
        put["networks"]["outside"] = json!({
            "segment": { "type": "vlan", "interface": UPLINK, "vlan": VLAN },
            "learning": false,
            "subnets": [{ "cidr": format!("{EXTERNAL}/{EXTERNAL_PREFIX}"), "gateway": NEXT_HOP, "dhcp": false }],
            "external": { "floating_ip_gateways": [{ "mac": FLOATING_MAC.to_string() }] },
        });
        // The next hop would be asked for, and nobody is there to answer: it is named.
        put["ports"]["next-hop"] = json!({
            "network": "outside",
            "mac": NEXT_HOP_MAC.to_string(),
            "addresses": [NEXT_HOP],
            "host": uuid(Kind::Host, 0),
        });
        let shared = Self::outside(Packet {
            what: What::Shared,
            flow: 0,
            len: 0,
        });
        put["routers"]["r0"]["external_gateway"] = json!({
            "network": "outside",
            "gateways": [{ "mac": numbered(0x31, 0).to_string(), "addresses": [format!("{shared}/{EXTERNAL_PREFIX}")] }],
        });
        // Other hosts, if they sent anything outside, would go this way.
        for network in 0..self.fabric().networks {
            let (mac, address) = world.central(network);
            put["routers"]["r0"]["interfaces"][network as usize]["central"] =
                json!({ "mac": mac.to_string(), "addresses": [address] });
        }
        put["nat-settings"]["default"] = json!({
            "timeouts": { "udp": TIMEOUT },
            "limits": { "sessions": 1_000_000, "sessions_per_second": 100_000_000, "ports": 1_000_000 },
        });
        let mut all = vec![Value::to_string(&first)];
        for side in [Side::Local, Side::Remote] {
            all.push(state::ports_at(
                self.fabric(),
                side,
                0..STATIONS,
                |station| {
                    let network = self.fabric().network_of(station);
                    Some(world.address(side, network, station))
                },
            ));
        }
        all.push(self.floating_ips());
        all
    }

    fn floating_ips(&self) -> String {
        let mut body = String::from("{\"put\":{\"floating-ips\":{");
        for flow in 0..FLOATING {
            let comma = if flow == 0 { "" } else { "," };
            let address = Self::outside(Packet {
                what: What::Floating,
                flow,
                len: 0,
            });
            let port = uuid(Kind::Local, flow);
            // Writing to a string does not fail.
            let _ = write!(
                body,
                "{comma}\"f{flow}\":{{\"address\":\"{address}\",\"network\":\"outside\",\"router\":\"r0\",\"port\":\"{port}\"}}"
            );
        }
        body + "}}}"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: [Direction; 2] = [Direction::Encap, Direction::Decap];

    #[test]
    fn frames_hold_and_are_as_long_as_they_should_be_on_average() {
        let mix = Mix { seed: 7 };
        for way in WAYS {
            let packets = mix.packets(way);
            for packet in packets.iter().take(2000) {
                craft::verify(&mix.sent(way, *packet)).unwrap();
                for frame in mix.expected(way, *packet) {
                    craft::verify(&frame).unwrap();
                }
            }
            let drawn = &packets[..PACKETS];
            let mean = drawn.iter().map(|packet| packet.len).sum::<usize>() / PACKETS;
            assert!((325..360).contains(&mean), "{mean}");
        }
    }

    #[test]
    fn what_is_right_passes_and_a_gap_or_a_wrong_byte_does_not() {
        let mix = Mix { seed: 7 };
        for way in WAYS {
            let out: Vec<Vec<u8>> = mix
                .packets(way)
                .iter()
                .flat_map(|packet| {
                    let mut frames = mix.expected(way, *packet);
                    for frame in &mut frames {
                        if way == Direction::Encap && frame[12..14] == [8, 0] {
                            frame[34..36].copy_from_slice(&50_000u16.to_be_bytes());
                        }
                    }
                    frames
                })
                .collect();
            let check = |frames: Vec<Vec<u8>>| mix.check(way, frames.into_iter().map(Ok));
            assert_eq!(check(out.clone()), Ok(mix.count(way)));
            let mut gap = out.clone();
            gap.remove(1000);
            assert!(check(gap).is_err());
            let mut cut = out.clone();
            cut.pop();
            assert!(check(cut).unwrap_err().contains("missing"));
            let mut wrong = out;
            wrong[77][3] ^= 1;
            assert!(check(wrong).is_err());
        }
    }

    #[test]
    fn documents_are_json_and_every_session_is_opened() {
        let mix = Mix { seed: 7 };
        for body in mix.transactions() {
            let _: Value = serde_json::from_str(&body).unwrap();
        }
        let mut opened = vec![false; STATIONS as usize];
        for packet in mix.packets(Direction::Encap) {
            opened[packet.flow as usize] |= packet.what == What::Shared;
        }
        assert!(opened.iter().all(|opened| *opened));
    }
}
