//! Who is who in the tests, and frames between them.

use vtepd_wire::craft::{self, Ethernet, Packet};

/// The host's own MAC and addresses on the underlay.
pub const OUR_MAC: &str = "02:00:00:00:01:11";
pub const US: &str = "192.0.2.11";
pub const US6: &str = "2001:db8::11";
/// The next hop of every tunnel.
pub const ROUTER_MAC: &str = "02:00:00:00:01:fe";
/// Other hosts.
pub const PEER: &str = "192.0.2.12";
pub const PEER6: &str = "2001:db8::12";
pub const PEER_TAGLESS: &str = "192.0.2.13";
/// Somebody on the underlay who is no VTEP.
pub const STRANGER: &str = "192.0.2.99";
pub const STRANGER6: &str = "2001:db8::99";

pub const RED_VNI: u32 = 1671;

/// On an untagged access interface of this host.
pub const VM1: &str = "fa:16:3e:00:00:01";
pub const VM1_IP: &str = "10.0.0.1";
pub const VM1_IP6: &str = "fd00::1";
/// On another one.
pub const VM2: &str = "fa:16:3e:00:00:02";
pub const VM2_IP: &str = "10.0.0.2";
pub const VM2_IP6: &str = "fd00::2";
/// On a tagged one.
pub const VM3: &str = "fa:16:3e:00:00:03";
pub const VM3_IP: &str = "10.0.0.3";
/// Behind [`PEER`].
pub const VM4: &str = "fa:16:3e:00:00:04";
pub const VM4_IP: &str = "10.0.0.4";
pub const VM4_IP6: &str = "fd00::4";
/// Behind [`PEER6`].
pub const VM5: &str = "fa:16:3e:00:00:05";
pub const VM5_IP6: &str = "fd00::5";
/// Nowhere.
pub const NOBODY: &str = "fa:16:3e:00:00:99";

pub const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";

/// A UDP frame over IPv4 with a payload of `len` bytes.
pub fn udp(to: &str, from: &str, len: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
    craft::ethernet(to, from)
        .ipv4("10.0.0.21", "10.0.0.22")
        .udp(4001, 4002, &payload)
}

/// The same over IPv6.
pub fn udp6(to: &str, from: &str, len: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
    craft::ethernet(to, from)
        .ipv6("fd00::21", "fd00::22")
        .udp(4001, 4002, &payload)
}

/// The beginning of a frame of the underlay to us.
pub fn to_us() -> Ethernet {
    craft::ethernet(OUR_MAC, ROUTER_MAC)
}

/// The beginning of an IPv4 packet from [`PEER`].
pub fn from_peer() -> Packet {
    to_us().ipv4(PEER, US)
}

/// The beginning of an IPv6 packet from [`PEER6`].
pub fn from_peer6() -> Packet {
    to_us().ipv6(PEER6, US6)
}

/// A frame of the network RED in VXLAN from [`PEER`].
pub fn tunnelled(inner: &[u8]) -> Vec<u8> {
    from_peer().vxlan(50_000, RED_VNI, inner)
}

/// The same from [`PEER6`].
pub fn tunnelled6(inner: &[u8]) -> Vec<u8> {
    from_peer6().vxlan(50_000, RED_VNI, inner)
}

/// A frame with an 802.1Q tag behind its MACs.
pub fn tagged(vlan: u16, frame: &[u8]) -> Vec<u8> {
    tagged_with(0x8100, vlan, frame)
}

/// A frame with a tag behind its MACs.
pub fn tagged_with(tpid: u16, tci: u16, frame: &[u8]) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    [macs, &tpid.to_be_bytes(), &tci.to_be_bytes(), rest].concat()
}

/// Where the parts of a tunnel packet over untagged IPv4 without options begin.
pub mod v4 {
    pub const IP: usize = 14;
    pub const UDP: usize = 34;
    pub const VXLAN: usize = 42;
    pub const INNER: usize = 50;
}

/// And over IPv6.
pub mod v6 {
    pub const IP: usize = 14;
    pub const UDP: usize = 54;
    pub const VXLAN: usize = 62;
    pub const INNER: usize = 70;
}

/// A frame with a byte changed and the IPv4 header checksum put right.
pub fn with_ip_byte(mut frame: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    frame[at] = value;
    seal_ipv4(&mut frame);
    frame
}

/// Puts the checksum of an untagged frame's IPv4 header right.
pub fn seal_ipv4(frame: &mut [u8]) {
    let len = usize::from(frame[v4::IP] & 15) * 4;
    frame[24..26].fill(0);
    let sum = vtepd_wire::checksum::Sum::new().add_bytes(&frame[v4::IP..v4::IP + len]);
    frame[24..26].copy_from_slice(&sum.finish().to_be_bytes());
}
