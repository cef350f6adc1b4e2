//! Broadcasts of stations, a copy for every VTEP: `flood`.

use serde_json::json;
use vtepd_wire::{Mac, craft};

use super::fabric::{Fabric, Kind, uuid};
use super::flows::{Direction, Flows, Label};
use super::state::{self, Options};
use super::tunnel;
use super::workload::{INNER, source_port};

/// Stations that broadcast.
const STATIONS: u32 = 1024;
/// The most VTEPs.
pub const MOST_VTEPS: u32 = 4096;

/// Stations on the access port that broadcast into their networks.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// VTEPs, each of them in every network.
    pub vteps: u32,
    /// Of the order.
    pub seed: u64,
}

impl Flood {
    fn inner(&self, flow: u32) -> Vec<u8> {
        let fabric = self.fabric();
        // The flow's number in the payload makes each frame another one.
        let mut payload = [0; INNER - 14 - 20 - 8];
        payload[..4].copy_from_slice(&flow.to_be_bytes());
        craft::ethernet(Mac::BROADCAST, fabric.local_mac(flow))
            .ipv4(fabric.local_address(flow), [255; 4])
            .udp(source_port(flow), 4000, &payload)
    }

    fn copy_to(&self, flow: u32, vtep: u32) -> Vec<u8> {
        let fabric = self.fabric();
        tunnel::expected(fabric, vtep, fabric.network_of(flow), &self.inner(flow))
    }
}

impl Flows for Flood {
    fn label(&self) -> Label {
        Label::new("flood", self.vteps, "")
    }

    fn fabric(&self) -> Fabric {
        Fabric {
            vteps: self.vteps,
            ..Fabric::SMALL
        }
    }

    fn direction(&self) -> Direction {
        Direction::Encap
    }

    fn count(&self) -> u32 {
        STATIONS
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn frame(&self, flow: u32) -> Vec<u8> {
        let fabric = self.fabric();
        tunnel::tagged(fabric, fabric.network_of(flow), &self.inner(flow))
    }

    fn copies(&self) -> u32 {
        self.vteps
    }

    fn expected(&self, flow: u32) -> Vec<u8> {
        self.copy_to(flow, 0)
    }

    fn all_expected(&self, flow: u32) -> Vec<Vec<u8>> {
        (0..self.vteps)
            .map(|vtep| self.copy_to(flow, vtep))
            .collect()
    }

    fn transactions(&self) -> Box<dyn Iterator<Item = String> + '_> {
        let fabric = self.fabric();
        let options = Options {
            learning: false,
            bound: true,
        };
        let mut document = state::infrastructure(fabric, options);
        let vteps: Vec<String> = (0..self.vteps).map(|vtep| uuid(Kind::Host, vtep)).collect();
        for network in 0..fabric.networks {
            document["put"]["networks"][uuid(Kind::Network, network)]["hosts"] = json!(vteps);
        }
        Box::new(std::iter::once(document.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vtep_has_its_copy_whatever_the_order_and_none_twice() {
        let flood = Flood { vteps: 16, seed: 7 };
        let flows: &dyn Flows = &flood;
        let out = |reverse: bool| -> Vec<Vec<u8>> {
            let copies = |flow: &u32| {
                let mut copies = flood.all_expected(*flow);
                for copy in &mut copies {
                    craft::verify(copy).unwrap();
                    copy[34..36].copy_from_slice(&source_port(*flow).to_be_bytes());
                }
                if reverse {
                    copies.reverse();
                }
                copies
            };
            flows.order().iter().flat_map(copies).collect()
        };
        let check = |frames: Vec<Vec<u8>>| flows.check(&mut frames.into_iter().map(Ok));
        assert_eq!(check(out(false)), Ok(flows.order().len() as u64 * 16));
        assert!(check(out(true)).is_ok());
        let mut twice = out(false);
        twice[3] = twice[2].clone();
        assert!(check(twice).is_err());
        let mut less = out(false);
        less.remove(100);
        assert!(check(less).is_err());
        let mut cut = out(false);
        cut.pop();
        assert!(check(cut).unwrap_err().contains("missing"));
    }
}
