//! What Open vSwitch is told to do: one flow for each MAC or address, as Neutron's agent
//! programs it, in as few passes as it can be done.
//!
//! ```text
//!   0 where from ─┬─ tunnel ──► 4 VNI → VLAN ─┬─► 60 VLAN, MAC → access port
//!                 │                           └─► 5 a router's MAC → translate, to the next hop
//!                 ├─ access ──► 20 VLAN, MAC → VNI, VTEP
//!                 │             21 a router's MAC: VLAN, address → MACs, VNI, VTEP
//!                 └─ access ──► 5, where the router translates
//! ```
//!
//! What flows have to do is read out of the frames: of one that goes in and of that which must
//! come out. So there is no second idea of who is where.

use std::collections::BTreeSet;

use core::net::Ipv4Addr;

use vtepd_perf::frames::fabric::Fabric;
use vtepd_perf::frames::nat::{Cloud, NEXT_HOP_MAC, VLAN};
use vtepd_perf::frames::state::Side;
use vtepd_perf::frames::{Direction, Flows};
use vtepd_wire::Mac;

use super::switch::{ACCESS_PORT, OUTSIDE_PORT, SECOND_ACCESS_PORT, tunnel_port};

/// Bytes of the headers around an inner frame.
const OUTER: usize = 14 + 20 + 8 + 8;

/// Flows for every frame of a workload.
pub fn one_way(flows: &dyn Flows) -> Vec<String> {
    let fabric = flows.fabric();
    let mut lines = BTreeSet::from([format!(
        "table=0,in_port={ACCESS_PORT},actions=resubmit(,20)"
    )]);
    lines.extend((0..fabric.vteps).map(from_tunnel));
    for flow in 0..flows.count() {
        let (sent, expected) = (flows.frame(flow), flows.expected(flow));
        match flows.direction() {
            Direction::Decap => lines.extend(delivered(&sent, &expected)),
            Direction::Encap => lines.extend(sent_away(fabric, &sent, &expected)),
        }
    }
    lines.into_iter().collect()
}

fn from_tunnel(vtep: u32) -> String {
    let port = tunnel_port(vtep);
    format!("table=0,in_port={port},actions=resubmit(,4)")
}

/// To a station on the access port. What another host has routed gets the gateway's MAC.
fn delivered(sent: &[u8], expected: &[u8]) -> [String; 2] {
    let (vlan, mac) = (vlan(expected), mac(expected, 0));
    let vni = vni(sent);
    let (from, shown) = (self::mac(sent, OUTER + 6), self::mac(expected, 6));
    let (routed, restore) = if from == shown {
        (String::new(), String::new())
    } else {
        (format!(",dl_src={from}"), format!("mod_dl_src:{shown},"))
    };
    [
        format!("table=4,tun_id={vni},actions=mod_vlan_vid:{vlan},resubmit(,60)"),
        format!(
            "table=60,dl_vlan={vlan},dl_dst={mac}{routed},actions={restore}output:{ACCESS_PORT}"
        ),
    ]
}

/// To a station behind a VTEP: as it is, or routed if it comes out with another MAC.
fn sent_away(fabric: Fabric, sent: &[u8], expected: &[u8]) -> Vec<String> {
    let (from, to) = (vlan(sent), mac(sent, 0));
    let (vni, inner) = (vni(expected), mac(expected, OUTER));
    let port = tunnel_port(vtep(fabric, expected));
    let away = format!("strip_vlan,set_field:{vni}->tun_id,output:{port}");
    if inner == to {
        return vec![format!(
            "table=20,dl_vlan={from},dl_dst={to},actions={away}"
        )];
    }
    let (host, address) = (mac(expected, OUTER + 6), destination(sent));
    vec![
        format!("table=20,ip,dl_vlan={from},dl_dst={to},actions=resubmit(,21)"),
        format!(
            "table=21,ip,dl_vlan={from},nw_dst={address},actions=dec_ttl,mod_dl_src:{host},mod_dl_dst:{inner},{away}"
        ),
    ]
}

/// Flows for what stations send outside by way of routers that share addresses.
pub fn translated(cloud: &Cloud) -> Vec<String> {
    let fabric = cloud.fabric();
    let (outside, inside) = match cloud.inside {
        Side::Remote => (ACCESS_PORT, (0..fabric.vteps).map(from_tunnel).collect()),
        Side::Local => {
            let access = |port| format!("table=0,in_port={port},actions=resubmit(,5)");
            let both = [ACCESS_PORT, SECOND_ACCESS_PORT];
            (OUTSIDE_PORT, both.map(access).to_vec())
        }
    };
    let mut lines: Vec<String> = inside;
    for network in 0..fabric.networks {
        let vlan = fabric.vlan(network).unwrap_or_default();
        let (vni, zone) = (fabric.vni(network), network + 1);
        let gateway = cloud.gateway_mac(network);
        let own: Vec<Ipv4Addr> = cloud.addresses_of(network).collect();
        let (first, last) = (own[0], own[own.len() - 1]);
        if cloud.inside == Side::Remote {
            lines.push(format!(
                "table=4,tun_id={vni},actions=mod_vlan_vid:{vlan},resubmit(,5)"
            ));
        }
        let mac = cloud.outside_mac(network);
        // Going on without a look at the state that was found spares a second pass, which
        // Neutron's agent takes.
        let translate = format!("ct(commit,zone={zone},nat(src={first}-{last}:1024-65535))");
        let away = format!(
            "dec_ttl,mod_dl_src:{mac},mod_dl_dst:{NEXT_HOP_MAC},mod_vlan_vid:{VLAN},output:{outside}"
        );
        lines.push(format!(
            "table=5,ip,dl_vlan={vlan},dl_dst={gateway},actions=strip_vlan,{translate},{away}"
        ));
    }
    lines
}

fn mac(frame: &[u8], at: usize) -> Mac {
    let mut mac = [0; 6];
    mac.copy_from_slice(&frame[at..at + 6]);
    Mac(mac)
}

/// Of a tagged frame.
fn vlan(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[14], frame[15]]) & 0xfff
}

/// Of a frame in VXLAN over IPv4.
fn vni(frame: &[u8]) -> u32 {
    u32::from_be_bytes([0, frame[46], frame[47], frame[48]])
}

/// Which VTEP a frame in VXLAN over IPv4 goes to.
fn vtep(fabric: Fabric, frame: &[u8]) -> u32 {
    let address = Ipv4Addr::new(frame[30], frame[31], frame[32], frame[33]);
    address.to_bits() - fabric.vtep(0).to_bits()
}

/// Of a tagged IPv4 packet.
fn destination(frame: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(frame[34], frame[35], frame[36], frame[37])
}

#[cfg(test)]
mod tests {
    use vtepd_perf::frames::nat::Translation;
    use vtepd_perf::frames::{Workload, dvr::Routed};

    use super::*;

    fn bridged(direction: Direction) -> Workload {
        Workload {
            fabric: Fabric::SMALL,
            direction,
            macs: 1000,
            seed: 7,
            learning: false,
        }
    }

    fn in_table<'a>(lines: &'a [String], table: &str) -> Vec<&'a String> {
        let begin = format!("table={table},");
        lines
            .iter()
            .filter(|line| line.starts_with(&begin))
            .collect()
    }

    #[test]
    fn there_is_a_flow_for_each_mac_and_one_for_each_network_and_vtep() {
        let fabric = Fabric::SMALL;
        let decap = one_way(&bridged(Direction::Decap));
        assert_eq!(in_table(&decap, "60").len(), 1000);
        assert_eq!(in_table(&decap, "4").len(), 16);
        assert_eq!(in_table(&decap, "0").len(), 17);
        let encap = one_way(&bridged(Direction::Encap));
        assert_eq!(encap.len(), 1000 + 17);
        for (flow, port) in [0, 17, 999].map(|flow| (flow, tunnel_port(fabric.vtep_of(flow)))) {
            let (vlan, mac) = (
                fabric.vlan(fabric.network_of(flow)).unwrap(),
                fabric.remote_mac(flow),
            );
            let line = format!(
                "table=20,dl_vlan={vlan},dl_dst={mac},actions=strip_vlan,set_field:{}->tun_id,output:{port}",
                fabric.vni(fabric.network_of(flow))
            );
            assert!(encap.contains(&line), "{line}");
        }
    }

    #[test]
    fn there_is_a_flow_for_each_address_that_is_routed_to() {
        for routers in [1, 1000] {
            let routed = one_way(&Routed {
                direction: Direction::Encap,
                routers,
                stations: 10_000,
                seed: 7,
            });
            assert_eq!(in_table(&routed, "21").len(), 10_000);
            assert!(
                in_table(&routed, "21")
                    .iter()
                    .all(|line| line.contains("dec_ttl"))
            );
        }
        let back = one_way(&Routed {
            direction: Direction::Decap,
            routers: 1,
            stations: 1000,
            seed: 7,
        });
        assert_eq!(in_table(&back, "60").len(), 1000);
        assert!(
            in_table(&back, "60")
                .iter()
                .all(|line| line.contains("mod_dl_src"))
        );
    }

    #[test]
    fn each_router_translates_to_its_own_addresses() {
        for inside in [Side::Local, Side::Remote] {
            let cloud = Cloud {
                translation: Translation::Snat,
                inside,
                flows: 1000,
                seed: 7,
                most_kept: 1000,
            };
            let lines = translated(&cloud);
            let routers: BTreeSet<_> = in_table(&lines, "5").into_iter().collect();
            assert_eq!(routers.len(), 16);
            for network in 0..16 {
                let own = format!("src={0}-{0}:", cloud.addresses_of(network).next().unwrap());
                assert!(routers.iter().any(|line| line.contains(&own)));
            }
        }
    }
}
