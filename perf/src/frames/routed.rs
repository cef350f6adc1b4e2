//! Routers and their routes as documents, and the packets of one routed path.
//!
//! ```text
//!   station 10.1.0.5 ── acc0, VLAN 101 ── red │ router │ blue ── up0, VLAN 102 ─┬─ next hop 0
//!     to 203.0.113.0/24                                                        └─ next hop 1
//! ```

use core::fmt::Write as _;
use core::net::Ipv4Addr;
use std::collections::HashSet;
use std::ops::Range;

use ipnet::Ipv4Net;
use serde_json::{Value, json};
use vtepd_wire::craft;

use super::Random;
use super::fabric::{ACCESS, LOCAL_HOST, UPLINK};

/// Next hops that routes are dealt to.
pub const NEXT_HOPS: u32 = 8;
/// Routers of one transaction.
pub const ROUTERS: u32 = 100;

/// Prefixes as on the Internet: most are /24, the rest shorter (roughly as in the CIDR
/// report of 2025). All different, in no order.
#[must_use]
pub fn prefixes(count: usize, seed: u64) -> Vec<Ipv4Net> {
    let mut random = Random::new(seed);
    let mut seen = HashSet::with_capacity(count);
    let mut prefixes = Vec::with_capacity(count);
    while prefixes.len() < count {
        let len = match random.below(100) {
            0..61 => 24,
            61..72 => 23,
            72..83 => 22,
            83..88 => 21,
            88..93 => 20,
            93..96 => 19,
            96..98 => 18,
            _ => 16,
        };
        // Unicast, no martians, and not where the routers' own subnets are.
        let address = 20 << 24 | random.below(100 << 24) as u32;
        let prefix = Ipv4Net::new_assert(Ipv4Addr::from(address), len).trunc();
        if seen.insert(prefix) {
            prefixes.push(prefix);
        }
    }
    prefixes
}

/// A next hop on a router's subnet.
#[must_use]
pub fn next_hop(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 2)) + number % NEXT_HOPS)
}

/// What all routers need: interfaces, and this host with a DVR host MAC.
#[must_use]
pub fn ground() -> Value {
    json!({ "put": {
        "interfaces": { UPLINK: {}, ACCESS: {} },
        "hosts": { LOCAL_HOST: { "dvr_mac": "fa:16:3f:00:00:01" } },
    } })
}

/// The transaction that makes routers, each with a network of its own and as many routes in
/// its list as `routes` says.
#[must_use]
pub fn routers(numbers: Range<u32>, prefixes: &[Ipv4Net], routes: u32) -> String {
    let mut networks = String::new();
    let mut routers = String::new();
    for number in numbers {
        let comma = if networks.is_empty() { "" } else { "," };
        let [.., high, low] = number.to_be_bytes();
        // Writing to a string does not fail.
        let _ = write!(
            networks,
            "{comma}\"n{number}\":{{\"segment\":{{\"type\":\"vxlan\",\"vni\":{}}}}}",
            1000 + number
        );
        let _ = write!(
            routers,
            "{comma}\"r{number}\":{{\"interfaces\":[{{\"network\":\"n{number}\",\
             \"mac\":\"fa:16:3e:01:{high:02x}:{low:02x}\",\"addresses\":[\"10.0.0.1/24\"]}}],\"routes\":["
        );
        for route in 0..routes {
            let comma = if route == 0 { "" } else { "," };
            let prefix = prefixes[(number * routes + route) as usize % prefixes.len()];
            let via = next_hop(route);
            let _ = write!(
                routers,
                "{comma}{{\"destination\":\"{prefix}\",\"via\":\"{via}\"}}"
            );
        }
        routers.push_str("]}");
    }
    format!("{{\"put\":{{\"networks\":{{{networks}}},\"routers\":{{{routers}}}}}}}")
}

/// The transaction that puts routes of a router beside its list; `by` says to which next
/// hops.
#[must_use]
pub fn routes(router: u32, prefixes: &[Ipv4Net], by: u32) -> String {
    let mut body = String::with_capacity(prefixes.len() * 50);
    body.push_str("{\"put\":{\"routes\":{");
    for (number, prefix) in prefixes.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let via = next_hop(number as u32 + by);
        let _ = write!(
            body,
            "{comma}\"r{router}/{prefix}\":{{\"via\":[\"{via}\"]}}"
        );
    }
    body.push_str("}}}");
    body
}

const STATION: &str = "fa:16:3e:00:01:05";
const GATEWAYS: [&str; 2] = ["fa:16:3e:01:00:01", "fa:16:3e:01:00:02"];
const HOPS: [&str; 2] = ["fa:16:3e:00:02:05", "fa:16:3e:00:02:06"];
const VLANS: [u16; 2] = [101, 102];
/// Bytes of a frame on the way in: 64 and the tag.
const PAYLOAD: usize = 64 - 14 - 20 - 8;

/// The transaction that makes the path, by the first next hop.
#[must_use]
pub fn path() -> Value {
    let network = |vni: u32| json!({ "segment": { "type": "vxlan", "vni": vni }, "mtu": 1500 });
    let red = json!({ "network": "red", "mac": STATION, "addresses": ["10.1.0.5"], "interface": ACCESS, "vlan": VLANS[0] });
    let hop = |number: usize| {
        let address = format!("10.2.0.{}", 5 + number);
        json!({ "network": "blue", "mac": HOPS[number], "addresses": [address], "interface": UPLINK, "vlan": VLANS[1] })
    };
    json!({ "put": {
        "networks": { "red": network(1), "blue": network(2) },
        "ports": { "station": red, "hop0": hop(0), "hop1": hop(1) },
        "routers": { "r": { "interfaces": [
            { "network": "red", "mac": GATEWAYS[0], "addresses": ["10.1.0.1/24"] },
            { "network": "blue", "mac": GATEWAYS[1], "addresses": ["10.2.0.1/24"] },
        ] } },
        "routes": { "r/203.0.113.0/24": { "via": ["10.2.0.5"] } },
    } })
}

/// The transaction that has the path go by another next hop.
#[must_use]
pub fn turn(hop: usize) -> String {
    let via = format!("10.2.0.{}", 5 + hop % 2);
    json!({ "put": { "routes": { "r/203.0.113.0/24": { "via": [via] } } } }).to_string()
}

fn packet(number: u32, [to, from]: [&'static str; 2], vlan: u16, ttl: u8) -> Vec<u8> {
    let destination = Ipv4Addr::from(u32::from(Ipv4Addr::new(203, 0, 113, 0)) + number % 256);
    let mut payload = [0; PAYLOAD];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    craft::ethernet(to, from)
        .vlan(vlan)
        .ipv4("10.1.0.5", destination)
        .ttl(ttl)
        .udp(4000, 4001, &payload)
}

/// The numbered packet as the station sends it.
#[must_use]
pub fn sent(number: u32) -> Vec<u8> {
    packet(number, [GATEWAYS[0], STATION], VLANS[0], 64)
}

/// The same as it leaves to a next hop.
#[must_use]
pub fn expected(number: u32, hop: usize) -> Vec<u8> {
    packet(number, [HOPS[hop], GATEWAYS[1]], VLANS[1], 63)
}

/// What came out of `count` packets that were sent over and over: by which next hop each
/// went, and how often that changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ways {
    /// Packets by next hop.
    pub packets: [u64; 2],
    /// Times that a packet went another way than the one before.
    pub turns: u64,
}

/// Compares what came out, in order, none missing.
///
/// # Errors
/// The first packet that is missing, wrong or of neither way.
pub fn check<E: core::fmt::Display>(
    count: u32,
    received: impl Iterator<Item = Result<Vec<u8>, E>>,
) -> Result<Ways, String> {
    let shall: Vec<[Vec<u8>; 2]> = (0..count)
        .map(|number| [0, 1].map(|hop| expected(number, hop)))
        .collect();
    let mut ways = Ways::default();
    let mut last = None;
    for (position, frame) in received.enumerate() {
        let frame = frame.map_err(|error| error.to_string())?;
        let both = &shall[position % count as usize];
        let Some(hop) = both.iter().position(|one| *one == frame) else {
            return Err(format!(
                "frame {position} is not the next one by either next hop: {frame:02x?}"
            ));
        };
        ways.packets[hop] += 1;
        ways.turns += u64::from(last.is_some_and(|last| last != hop));
        last = Some(hop);
    }
    match ways.packets {
        [0, 0] => Err("nothing came out".to_owned()),
        _ => Ok(ways),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_different_and_follow_from_the_seed() {
        let some = prefixes(10_000, 1);
        assert_eq!(some.iter().collect::<HashSet<_>>().len(), 10_000);
        assert_eq!(some, prefixes(10_000, 1));
        assert!(some.iter().all(|prefix| *prefix == prefix.trunc()));
    }

    #[test]
    fn documents_are_json_and_hold_what_they_should() {
        let some = prefixes(1000, 1);
        let parse = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let body = parse(&routers(5..8, &some, 100));
        let put = &body["put"];
        assert_eq!(put["networks"].as_object().unwrap().len(), 3);
        assert_eq!(
            put["routers"]["r7"]["routes"].as_array().unwrap().len(),
            100
        );
        let body = parse(&routes(3, &some, 0));
        assert_eq!(body["put"]["routes"].as_object().unwrap().len(), 1000);
        assert_ne!(routes(3, &some, 0), routes(3, &some, 1));
        assert_ne!(parse(&turn(0)), parse(&turn(1)));
        assert_eq!(turn(0), turn(2));
    }

    #[test]
    fn both_ways_are_right_and_a_gap_or_a_third_way_is_not() {
        let out = |number: u32, hop| Ok::<_, String>(expected(number % 16, hop));
        let frames = (0..40).map(|number| out(number, (number / 10) as usize % 2));
        let ways = check(16, frames).unwrap();
        assert_eq!((ways.packets, ways.turns), ([20, 20], 3));
        let gap = (0..40).filter(|number| *number != 21);
        assert!(check(16, gap.map(|number| out(number, 0))).is_err());
        assert!(check(16, std::iter::once(Ok::<_, String>(sent(0)))).is_err());
        assert!(check(16, std::iter::empty::<Result<_, String>>()).is_err());
    }
}
