//! Stations behind routers that translate, all by number: what they send, what is answered,
//! and what must come out.
//!
//! ```text
//!   station s ── VXLAN or VLAN ── network n │ router n │ VLAN 4000 ── next hop ── remotes, 198.19.0.0/17
//!    s mod networks = n                       ├─ its addresses, 198.18.0.2 …       (SNAT)
//!                                             └─ one for each station, 198.18.2.0 … (floating IPs)
//! ```
//!
//! With SNAT the outside address and port are the daemon's choice. They are read out of what
//! came out, and must be one of the router's addresses and a port of the same class, the same
//! for each packet of a flow, and no other flow's towards the same remote. All else is
//! compared byte by byte, and so is what comes of the answers, which are made from it.

use core::net::Ipv4Addr;
use std::collections::HashMap;

use vtepd_wire::{Mac, craft};

use super::fabric::{ACCESS, Fabric, SECOND_ACCESS, SECOND_UPLINK, SECOND_UPLINK_MAC, numbered};
use super::order::order;
use super::state::Side;
use super::workload::{INNER, source_port};
use super::{same, tunnel};

/// What becomes of the stations' addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Translation {
    /// Many stations share the router's address. The ports of a router's stations are all
    /// different, so that each can be kept.
    Snat,
    /// The same with several addresses for each router, and ports that each station counts
    /// up on its own: many must be exchanged.
    SnatOfMany,
    /// Each station has an address outside.
    FloatingIp,
}

/// A cloud that translates, and the flows of its stations to the outside.
#[derive(Clone, Copy, Debug)]
pub struct Cloud {
    /// How.
    pub translation: Translation,
    /// Where the stations are.
    pub inside: Side,
    /// Flows. With floating IPs, each has a station of its own.
    pub flows: u32,
    /// Of the order.
    pub seed: u64,
    /// The most frames that are sent over and over: [`MOST_KEPT`] or fewer.
    pub most_kept: usize,
}

/// An address and port outside that stands for one inside.
pub type Outside = (Ipv4Addr, u16);

/// What each flow was translated to, by number.
pub type Mapping = Vec<Outside>;

/// The external network's VLAN, beyond those of the stations.
pub const VLAN: u16 = 4000;
/// The prefix length of the external network, from [`EXTERNAL`] on.
pub const EXTERNAL_PREFIX: u8 = 16;
/// Addresses for benchmarks (RFC 2544, RFC 6890): the lower half is the external network, the
/// upper half lies behind its next hop.
pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// The next hop.
pub const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Its MAC.
pub const NEXT_HOP_MAC: Mac = Mac([2, 0x50, 0, 0, 0, 1]);
/// The MAC of the host's gateway for floating IPs.
pub const FLOATING_MAC: Mac = Mac([2, 0x50, 0, 0, 0, 2]);
const REMOTES: u32 = 0xc613_0000;
/// Where floating IPs begin in the external network.
const FLOATING: u32 = 512;
/// The most floating IPs.
pub const MOST_FLOATING: u32 = 65_535 - FLOATING;

/// The most frames that are kept in memory and sent over and over; with 2.4 kB each. Where
/// there are more flows, these are of flows chosen at random: many times what caches hold.
pub const MOST_KEPT: usize = 1_000_000;

/// Routers, each with a network, while they have room.
const NETWORKS: u32 = 16;
/// Flows of a router whose ports are all different and from 1024 on.
const FLOWS_EACH: u32 = 62_500;
const FIRST_PORT: u32 = 1024;
/// Flows of an address where ports meet: two thirds of those there are.
const FLOWS_OF_ADDRESS: u32 = 42_000;
/// The ports that stations take for their connections, from one on to the last.
const EPHEMERAL: u32 = 0x8000;
/// The stations of a network begin at so many different ones, evenly spread: a station's 256
/// connections are as many as lie between two of them.
const BEGINNINGS: u32 = 128;
/// Stations of a network at most.
const STATIONS: u32 = 1024;
/// The port of all remotes.
const REMOTE_PORT: u16 = 443;

/// Where a frame of the external network has its source, address and port.
const SOURCE: core::ops::Range<usize> = 14 + 4 + 12..14 + 4 + 16;
const PORT: core::ops::Range<usize> = 14 + 4 + 20..14 + 4 + 22;

impl Cloud {
    /// Its networks, one for each router, and VTEPs.
    #[must_use]
    pub fn fabric(&self) -> Fabric {
        let networks = match self.translation {
            Translation::Snat => self.flows.div_ceil(FLOWS_EACH).max(NETWORKS),
            _ => NETWORKS,
        };
        Fabric {
            networks,
            ..Fabric::SMALL
        }
    }

    /// The outside addresses of a router.
    pub fn addresses_of(&self, network: u32) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let each = match self.translation {
            Translation::SnatOfMany => (self.flows / NETWORKS).div_ceil(FLOWS_OF_ADDRESS).max(1),
            _ => 1,
        };
        (0..each).map(move |number| outside(2 + network * each + number))
    }

    /// How many outside addresses all routers have.
    #[must_use]
    pub fn addresses(&self) -> u32 {
        self.fabric().networks * self.addresses_of(0).count() as u32
    }

    /// How many stations there are.
    #[must_use]
    pub fn stations(&self) -> u32 {
        match self.translation {
            Translation::FloatingIp => self.flows,
            _ => self.flows.min(self.fabric().networks * STATIONS),
        }
    }

    /// The sessions that the flows need.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        match self.translation {
            Translation::FloatingIp => 0,
            _ => self.flows,
        }
    }

    /// The MAC of a router's gateway in its network.
    #[must_use]
    pub fn gateway_mac(&self, network: u32) -> Mac {
        numbered(0x30, network)
    }

    /// The MAC of a router's gateway in the external network.
    #[must_use]
    pub fn outside_mac(&self, network: u32) -> Mac {
        numbered(0x31, network)
    }

    /// The address of the gateways in their networks, with its prefix length.
    #[must_use]
    pub fn gateway(&self) -> &'static str {
        match self.inside {
            Side::Local => "10.0.0.1/9",
            Side::Remote => "10.128.0.1/9",
        }
    }

    /// True if the stations' own host translates, with a MAC of its own: the floating IPs of
    /// its own stations.
    #[must_use]
    pub fn is_distributed(&self) -> bool {
        self.translation == Translation::FloatingIp && self.inside == Side::Local
    }

    /// The floating IP of a station.
    #[must_use]
    pub fn floating_ip(&self, station: u32) -> Ipv4Addr {
        outside(FLOATING + station)
    }

    /// The flow of each frame.
    #[must_use]
    pub fn order(&self) -> Vec<u32> {
        order(self.flows, self.seed)
    }

    /// The flow of each frame that is sent over and over.
    #[must_use]
    pub fn kept(&self) -> Vec<u32> {
        let mut order = self.order();
        match self.second() {
            Some(SECOND_ACCESS) => order.retain(|flow| self.home(self.station(*flow)) == ACCESS),
            _ => order.truncate(self.most_kept),
        }
        order
    }

    /// The frames of all flows beside those, as they come by the second device.
    pub fn beside(&self) -> impl Iterator<Item = Vec<u8>> {
        let is_beside =
            |flow: &u32| self.inside == Side::Remote || self.home(self.station(*flow)) != ACCESS;
        let order = self.order().into_iter().filter(is_beside);
        order.map(|flow| match self.inside {
            Side::Remote => self.sent_beside(flow),
            Side::Local => self.sent(flow),
        })
    }

    /// The device by which flows begin whose frames are not kept, if there are such: a second
    /// underlay, or a second access device with stations of its own, as each is at home on one.
    #[must_use]
    pub fn second(&self) -> Option<&'static str> {
        let name = match self.inside {
            Side::Remote => SECOND_UPLINK,
            Side::Local => SECOND_ACCESS,
        };
        self.has_others().then_some(name)
    }

    /// The access device that a local station is at home on.
    #[must_use]
    pub fn home(&self, station: u32) -> &'static str {
        let each = self.flows.div_ceil(self.stations());
        let first = self.most_kept / each as usize;
        match self.has_others() && station as usize >= first {
            true => SECOND_ACCESS,
            false => ACCESS,
        }
    }

    /// True if there are flows beside those whose frames are kept.
    #[must_use]
    pub fn has_others(&self) -> bool {
        self.flows as usize > self.most_kept
    }

    fn station(&self, flow: u32) -> u32 {
        flow % self.stations()
    }

    fn network(&self, flow: u32) -> u32 {
        self.fabric().network_of(self.station(flow))
    }

    fn station_of(&self, flow: u32) -> (Mac, Ipv4Addr) {
        let (fabric, station) = (self.fabric(), self.station(flow));
        match self.inside {
            Side::Local => (fabric.local_mac(station), fabric.local_address(station)),
            Side::Remote => (fabric.remote_mac(station), fabric.remote_address(station)),
        }
    }

    fn port(&self, flow: u32) -> u16 {
        let port = match self.translation {
            Translation::Snat => FIRST_PORT + flow / self.fabric().networks,
            _ => {
                let beginning = self.station(flow) / self.fabric().networks % BEGINNINGS;
                let first = beginning * (EPHEMERAL / BEGINNINGS);
                let count = flow / self.stations();
                EPHEMERAL | ((first + count) % EPHEMERAL)
            }
        };
        port as u16
    }

    /// What a flow is translated to where its port is kept: by floating IPs always, and by a router
    /// with one address and one worker, which has all ports to itself.
    #[must_use]
    pub fn kept_outside(&self, flow: u32) -> Outside {
        let address = match self.translation {
            Translation::FloatingIp => self.floating_ip(self.station(flow)),
            // Every router has one.
            _ => self
                .addresses_of(self.network(flow))
                .next()
                .unwrap_or(EXTERNAL),
        };
        (address, self.port(flow))
    }

    fn remote(&self, flow: u32) -> Ipv4Addr {
        Ipv4Addr::from(REMOTES | flow & 0x7fff)
    }

    /// What the TTL is after it, of 64 before.
    fn ttl(&self) -> u8 {
        // A floating IP of a distributed router costs two, as in Neutron.
        if self.is_distributed() { 62 } else { 63 }
    }

    fn source_mac(&self, flow: u32) -> Mac {
        match self.is_distributed() {
            true => FLOATING_MAC,
            false => self.outside_mac(self.network(flow)),
        }
    }

    /// The frame that a flow sends.
    #[must_use]
    pub fn sent(&self, flow: u32) -> Vec<u8> {
        let (mac, address) = self.station_of(flow);
        let inner = craft::ethernet(self.gateway_mac(self.network(flow)), mac)
            .ipv4(address, self.remote(flow))
            .udp(self.port(flow), REMOTE_PORT, &payload(flow));
        let (fabric, network) = (self.fabric(), self.network(flow));
        match self.inside {
            Side::Local => tunnel::tagged(fabric, network, &inner),
            Side::Remote => {
                let vtep = fabric.vtep_of(self.station(flow));
                tunnel::sent(fabric, vtep, network, source_port(flow), &inner)
            }
        }
    }

    /// The same as it comes by the second underlay.
    #[must_use]
    pub fn sent_beside(&self, flow: u32) -> Vec<u8> {
        let mut frame = self.sent(flow);
        frame[..6].copy_from_slice(&SECOND_UPLINK_MAC.0);
        frame
    }

    /// The same as it must leave, translated to that.
    #[must_use]
    pub fn translated(&self, flow: u32, (address, port): Outside) -> Vec<u8> {
        craft::ethernet(NEXT_HOP_MAC, self.source_mac(flow))
            .vlan(VLAN)
            .ipv4(address, self.remote(flow))
            .ttl(self.ttl())
            .udp(port, REMOTE_PORT, &payload(flow))
    }

    /// The answer to that.
    #[must_use]
    pub fn answer(&self, flow: u32, (address, port): Outside) -> Vec<u8> {
        craft::ethernet(self.source_mac(flow), NEXT_HOP_MAC)
            .vlan(VLAN)
            .ipv4(self.remote(flow), address)
            .udp(REMOTE_PORT, port, &payload(flow))
    }

    /// The answer as the station must get it; of a tunnel, without [what follows from no
    /// rule](tunnel::take_off_choices).
    #[must_use]
    pub fn delivered(&self, flow: u32) -> Vec<u8> {
        let (mac, address) = self.station_of(flow);
        let inner = craft::ethernet(mac, self.gateway_mac(self.network(flow)))
            .ipv4(self.remote(flow), address)
            .ttl(self.ttl())
            .udp(REMOTE_PORT, self.port(flow), &payload(flow));
        let (fabric, network) = (self.fabric(), self.network(flow));
        match self.inside {
            Side::Local => tunnel::tagged(fabric, network, &inner),
            Side::Remote => {
                let vtep = fabric.vtep_of(self.station(flow));
                tunnel::expected(fabric, vtep, network, &inner)
            }
        }
    }

    /// Compares what came out for one frame of each flow in [order](Self::order), and says what
    /// each was translated to.
    ///
    /// # Errors
    /// The first difference; a frame is missing; two flows share a tuple.
    pub fn check_sent<E: core::fmt::Display>(
        &self,
        received: impl Iterator<Item = Result<Vec<u8>, E>>,
    ) -> Result<Mapping, String> {
        let mut mapping: Vec<Option<Outside>> = vec![None; self.flows as usize];
        self.check(received, |flow, frame| {
            let chosen = chosen(frame).ok_or("it is too short")?;
            let seen = mapping[flow as usize].get_or_insert(chosen);
            if *seen != chosen {
                return Err(format!(
                    "it was translated to {seen:?} and is to {chosen:?}"
                ));
            }
            if !self.may_choose(flow, chosen) {
                return Err(format!("translated to {chosen:?}"));
            }
            same(frame, &self.translated(flow, chosen))
        })?;
        let mapping: Mapping = mapping.into_iter().flatten().collect();
        self.check_unique(&mapping)?;
        Ok(mapping)
    }

    /// Compares what came out for the answers, in the same order.
    ///
    /// # Errors
    /// The first difference; a frame is missing.
    pub fn check_answers<E: core::fmt::Display>(
        &self,
        received: impl Iterator<Item = Result<Vec<u8>, E>>,
    ) -> Result<(), String> {
        let mut ports = HashMap::new();
        self.check(received, |flow, frame| {
            if self.inside == Side::Remote {
                let port = tunnel::take_off_choices(frame)?;
                if *ports.entry(flow).or_insert(port) != port {
                    return Err(format!("outer source port {port}"));
                }
            }
            same(frame, &self.delivered(flow))
        })
    }

    fn check<E: core::fmt::Display>(
        &self,
        mut received: impl Iterator<Item = Result<Vec<u8>, E>>,
        mut check: impl FnMut(u32, &mut [u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let order = self.order();
        for (position, flow) in order.iter().enumerate() {
            let Some(frame) = received.next() else {
                return Err(format!("{position} frames came out of {}", order.len()));
            };
            let mut frame = frame.map_err(|error| error.to_string())?;
            craft::verify(&frame)
                .map_err(|what| format!("does not hold: {what:?}"))
                .and_then(|()| check(*flow, &mut frame))
                .map_err(|what| format!("frame {position} (flow {flow}): {what}"))?;
        }
        match received.next() {
            None => Ok(()),
            Some(_) => Err("more frames came out than went in".to_owned()),
        }
    }

    /// Whether a flow may be translated to that.
    fn may_choose(&self, flow: u32, (address, port): Outside) -> bool {
        match self.translation {
            // RFC 4787, REQ-3: a port keeps its class.
            Translation::Snat | Translation::SnatOfMany => {
                port >= 1024
                    && self
                        .addresses_of(self.network(flow))
                        .any(|own| own == address)
            }
            Translation::FloatingIp => {
                address == self.floating_ip(self.station(flow)) && port == self.port(flow)
            }
        }
    }

    /// Nobody outside can take two flows for one.
    fn check_unique(&self, mapping: &Mapping) -> Result<(), String> {
        let ends = mapping.iter().zip(0..).map(|((address, port), flow)| {
            let outside = u64::from(address.to_bits()) << 16 | u64::from(*port);
            (outside, self.remote(flow), flow)
        });
        let mut ends: Vec<_> = ends.collect();
        ends.sort_unstable();
        let is_same =
            |pair: &&[(u64, Ipv4Addr, u32)]| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1);
        match ends.windows(2).find(is_same) {
            None => Ok(()),
            Some(pair) => Err(format!(
                "flows {} and {} look the same outside: {:?}",
                pair[0].2, pair[1].2, mapping[pair[0].2 as usize]
            )),
        }
    }

    /// Flows whose port was exchanged for another.
    #[must_use]
    pub fn exchanged(&self, mapping: &Mapping) -> usize {
        let ports = mapping.iter().zip(0..);
        ports
            .filter(|((_, port), flow)| *port != self.port(*flow))
            .count()
    }
}

/// Whether a frame of ours is one that was forwarded, and not a question for a neighbour,
/// tagged or not.
#[must_use]
pub fn is_forwarded(frame: &[u8]) -> bool {
    let ethertype = match frame.get(12..14) {
        Some([0x81, 0]) => frame.get(16..18),
        ethertype => ethertype,
    };
    ethertype != Some(&[8, 6])
}

/// The source of a frame of the external network.
fn chosen(frame: &[u8]) -> Option<Outside> {
    let address: [u8; 4] = frame.get(SOURCE)?.try_into().ok()?;
    let port = frame.get(PORT)?.try_into().ok()?;
    Some((address.into(), u16::from_be_bytes(port)))
}

/// An address of the external network.
fn outside(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(EXTERNAL.to_bits() + number)
}

/// The flow's number makes each frame another one.
fn payload(flow: u32) -> [u8; INNER - 14 - 20 - 8] {
    let mut payload = [0; INNER - 14 - 20 - 8];
    payload[..4].copy_from_slice(&flow.to_be_bytes());
    payload
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const ALL: [Translation; 3] = [
        Translation::Snat,
        Translation::SnatOfMany,
        Translation::FloatingIp,
    ];

    fn cloud(translation: Translation, inside: Side, flows: u32) -> Cloud {
        Cloud {
            translation,
            inside,
            flows,
            seed: 7,
            most_kept: MOST_KEPT,
        }
    }

    /// What a daemon does that exchanges every port, or none.
    fn translated(cloud: &Cloud, flow: u32) -> Outside {
        match cloud.translation {
            Translation::FloatingIp => (cloud.floating_ip(cloud.station(flow)), cloud.port(flow)),
            _ => {
                let mut own = cloud.addresses_of(cloud.network(flow));
                (own.next().unwrap(), 2000 + (flow / 16) as u16)
            }
        }
    }

    fn out(cloud: &Cloud) -> Vec<Vec<u8>> {
        let order = cloud.order().into_iter();
        order
            .map(|flow| cloud.translated(flow, translated(cloud, flow)))
            .collect()
    }

    fn check(cloud: &Cloud, frames: Vec<Vec<u8>>) -> Result<Mapping, String> {
        cloud.check_sent(frames.into_iter().map(Ok::<_, String>))
    }

    #[test]
    fn frames_hold_and_have_the_promised_length() {
        for translation in ALL {
            for (inside, around) in [(Side::Local, 4), (Side::Remote, tunnel::OUTER)] {
                let cloud = cloud(translation, inside, 1000);
                for flow in 0..1000 {
                    let outside = translated(&cloud, flow);
                    let inside = [cloud.sent(flow), cloud.delivered(flow)];
                    let outside = [cloud.translated(flow, outside), cloud.answer(flow, outside)];
                    for frame in &inside {
                        assert_eq!(frame.len(), INNER + around);
                        craft::verify(frame).unwrap();
                        assert!(is_forwarded(frame));
                    }
                    for frame in &outside {
                        assert_eq!(frame.len(), INNER + 4);
                        craft::verify(frame).unwrap();
                        assert!(is_forwarded(frame));
                    }
                }
            }
        }
    }

    #[test]
    fn every_flow_has_an_inside_of_its_own_and_a_port_of_the_usual_class() {
        for translation in ALL {
            for flows in [1, 1000, 64_000, 200_000] {
                if translation == Translation::FloatingIp && flows > MOST_FLOATING {
                    continue;
                }
                let cloud = cloud(translation, Side::Remote, flows);
                let mut seen = HashSet::new();
                for flow in 0..flows {
                    assert!(cloud.port(flow) >= 1024);
                    let inside = (
                        cloud.network(flow),
                        cloud.station_of(flow),
                        cloud.port(flow),
                    );
                    assert!(seen.insert(inside), "{translation:?} {flow}");
                }
            }
        }
    }

    #[test]
    fn ports_differ_where_they_shall_be_kept_and_meet_where_not() {
        for (translation, most) in [(Translation::Snat, 1), (Translation::SnatOfMany, 100)] {
            let cloud = cloud(translation, Side::Local, 1_000_000);
            let mut times: HashMap<_, u32> = HashMap::new();
            for flow in 0..cloud.flows {
                *times
                    .entry((cloud.network(flow), cloud.port(flow)))
                    .or_default() += 1;
            }
            let greatest = times.values().copied().max().unwrap();
            assert!(greatest <= most && (most == 1) == (greatest == 1));
        }
    }

    #[test]
    fn where_ports_are_kept_no_two_flows_look_the_same() {
        for translation in [Translation::Snat, Translation::FloatingIp] {
            let cloud = cloud(translation, Side::Remote, 64_000);
            let mapping: Mapping = (0..64_000).map(|flow| cloud.kept_outside(flow)).collect();
            let mut both = mapping.iter().zip(0..);
            assert!(both.all(|(outside, flow)| cloud.may_choose(flow, *outside)));
            assert_eq!(cloud.exchanged(&mapping), 0);
            cloud.check_unique(&mapping).unwrap();
        }
    }

    #[test]
    fn addresses_are_enough_and_nobody_elses() {
        for flows in [1, 64_000, 1_000_000, 4_000_000] {
            for translation in [Translation::Snat, Translation::SnatOfMany] {
                let cloud = cloud(translation, Side::Remote, flows);
                assert!(cloud.addresses() * 64_512 >= flows);
                assert!(cloud.addresses() < FLOATING);
                let networks = cloud.fabric().networks;
                assert!((0..networks).all(|network| cloud.fabric().vlan(network) < Some(VLAN)));
                let all: HashSet<_> = (0..networks).flat_map(|n| cloud.addresses_of(n)).collect();
                assert_eq!(all.len(), cloud.addresses() as usize);
                assert!(!all.contains(&NEXT_HOP));
            }
        }
        let most = cloud(Translation::FloatingIp, Side::Local, MOST_FLOATING);
        let last = most.floating_ip(MOST_FLOATING - 1);
        assert_eq!(last, Ipv4Addr::new(198, 18, 255, 254));
    }

    #[test]
    fn what_is_right_is_taken_and_says_what_it_was_translated_to() {
        for translation in ALL {
            let cloud = cloud(translation, Side::Remote, 1000);
            let mapping = check(&cloud, out(&cloud)).unwrap();
            assert_eq!(mapping.len(), 1000);
            for (flow, outside) in (0..).zip(&mapping) {
                assert_eq!(*outside, translated(&cloud, flow));
            }
            let exchanged = cloud.exchanged(&mapping);
            assert_eq!(exchanged == 0, translation == Translation::FloatingIp);
        }
    }

    #[test]
    fn what_is_wrong_is_found() {
        let cloud = cloud(Translation::Snat, Side::Remote, 1000);
        let order = cloud.order();
        let found = |what: &str, change: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut frames = out(&cloud);
            change(&mut frames);
            let error = check(&cloud, frames).unwrap_err();
            assert!(error.contains(what), "{error}");
        };
        let put = |frames: &mut Vec<Vec<u8>>, at: usize, to: Outside| {
            let flow = order[at];
            for (frame, own) in frames.iter_mut().zip(&order) {
                if *own == flow {
                    *frame = cloud.translated(flow, to);
                }
            }
        };
        found("came out of", &|frames| drop(frames.pop()));
        found("more frames", &|frames| frames.push(frames[0].clone()));
        found("does not hold", &|frames| frames[3][SOURCE.start] ^= 1);
        found("translated to", &|frames| put(frames, 3, (NEXT_HOP, 2000)));
        let own = translated(&cloud, order[3]);
        found("translated to", &|frames| put(frames, 3, (own.0, 80)));
        found("byte 9", &|frames| frames[3][9] ^= 1);
        // In the second round only.
        let flow = order[1000];
        found("it was translated", &|frames| {
            frames[1000] = cloud.translated(flow, (translated(&cloud, flow).0, 65_000));
        });
    }

    #[test]
    fn two_flows_that_look_the_same_outside_are_found() {
        let cloud = cloud(Translation::Snat, Side::Local, 64_000);
        let mut mapping: Mapping = (0..64_000).map(|flow| translated(&cloud, flow)).collect();
        cloud.check_unique(&mapping).unwrap();
        let same_remote = |flow: &u32| cloud.remote(*flow) == cloud.remote(0);
        // 64,000 flows to 32,768 remotes: most have one in common with another flow.
        let (one, other) = (0..64_000)
            .find_map(|one| {
                let other =
                    (one + 1..64_000).find(|other| cloud.remote(*other) == cloud.remote(one));
                Some((one, other?))
            })
            .unwrap();
        mapping[other as usize] = mapping[one as usize];
        assert!(cloud.check_unique(&mapping).is_err());
        // The same port for another remote is right, and what is done when there are no more.
        let another = (1..64_000)
            .find(|flow| !same_remote(flow) && *flow != other)
            .unwrap();
        mapping[other as usize] = translated(&cloud, other);
        mapping[another as usize] = mapping[0];
        cloud.check_unique(&mapping).unwrap();
    }

    #[test]
    fn answers_are_compared_in_order_and_by_their_outer_ports() {
        for inside in [Side::Local, Side::Remote] {
            let cloud = cloud(Translation::FloatingIp, inside, 1000);
            let frames = || -> Vec<Vec<u8>> {
                let order = cloud.order().into_iter();
                let port = |mut frame: Vec<u8>, flow: u32| {
                    if inside == Side::Remote {
                        frame[34..36].copy_from_slice(&source_port(flow).to_be_bytes());
                    }
                    frame
                };
                order
                    .map(|flow| port(cloud.delivered(flow), flow))
                    .collect()
            };
            let check =
                |frames: Vec<Vec<u8>>| cloud.check_answers(frames.into_iter().map(Ok::<_, String>));
            check(frames()).unwrap();
            let mut swapped = frames();
            swapped.swap(4, 5);
            assert!(check(swapped).is_err());
            let mut other = frames();
            let at = other[1000].len() - 1;
            other[1000][at] ^= 1;
            assert!(check(other).is_err());
        }
    }

    #[test]
    fn of_many_flows_some_are_kept_and_all_begin() {
        let few = cloud(Translation::Snat, Side::Remote, 1000);
        assert!(!few.has_others() && few.kept() == few.order());
        let many = cloud(Translation::Snat, Side::Remote, 1_500_000);
        assert!(many.has_others());
        assert_eq!(many.kept(), many.order()[..MOST_KEPT]);
        let beside = many.sent_beside(7);
        craft::verify(&beside).unwrap();
        assert_eq!(beside[6..], many.sent(7)[6..]);
        assert_eq!(many.beside().count(), 1_500_000);
        let local = Cloud {
            most_kept: 100_000,
            ..cloud(Translation::Snat, Side::Local, 1_000_000)
        };
        let kept = local.kept();
        assert!((95_000..=100_000).contains(&kept.len()));
        // No station is on both.
        assert_eq!(local.beside().count() + kept.len(), 1_000_000);
        let kept: HashSet<u32> = kept.iter().map(|flow| local.station(*flow)).collect();
        assert!(kept.iter().all(|station| local.home(*station) == ACCESS));
        assert_ne!(beside[..6], many.sent(7)[..6]);
    }

    #[test]
    fn questions_for_neighbours_are_told_apart() {
        let question =
            craft::ethernet([255; 6], [2, 0, 0, 0, 0, 1]).arp_request("0.0.0.0", NEXT_HOP);
        assert!(!is_forwarded(&question));
        let tagged = craft::ethernet([255; 6], [2, 0, 0, 0, 0, 1]).vlan(VLAN);
        assert!(!is_forwarded(&tagged.arp_request("0.0.0.0", NEXT_HOP)));
    }
}
