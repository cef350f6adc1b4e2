//! Metadata: what a station asks of 169.254.169.254 goes to a proxy on this host, in the
//! name of an address that stands for that station alone, and comes back the same way.
//! Tenants may have the same addresses; towards the proxy nobody has.
//!
//! ```text
//!   station 10.0.0.5:40000 ─► 169.254.169.254:80      in its network
//!        │ ask                              ▲
//!        ▼                                  │ answer
//!        240.7.3.9:40000 ─► PROXY:PORT      │         on the proxy's link
//!                           PROXY:PORT ─► 240.7.3.9:40000
//! ```
//!
//! Nothing is kept of a connection: each segment says by itself whose it is.
//!
//! | file | side | what |
//! |---|---|---|
//! | `ask` | worker, stage 2 | from stations to the proxy |
//! | `answer` | worker, stage 1 | from the proxy to stations |
//! | `link` | worker, stage 1 | ARP on the proxy's link |
//!
//! Stations come to it by their gateway, or on their link: ARP for the address is answered
//! by every host with the same [`MAC`], which so leads to the station's own host wherever it
//! moves. The MAC of the proxy is found as those of the underlay's next hops are
//! ([`crate::underlay::resolver`]).

mod answer;
mod ask;
mod link;

use core::net::{Ipv4Addr, SocketAddrV4};

use vtepd_wire::checksum::Delta;
use vtepd_wire::ipv4::PROTOCOL_TCP;
use vtepd_wire::{FromBytes, Mac, ethernet, ipv4, tcp};

pub(crate) use answer::receive;

/// Where clouds tell instances about themselves.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// The TCP port there.
pub const PORT: u16 = 80;

/// Who has [`ADDRESS`] on the link of stations, on every host: locally administered, with
/// the address in it.
pub const MAC: Mac = Mac([0x02, 0x00, 169, 254, 169, 254]);

/// Where IP begins in an untagged frame.
const L3: usize = ethernet::Header::LEN;

/// From whom to whom a TCP segment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ends {
    source: SocketAddrV4,
    destination: SocketAddrV4,
}

/// The ends of a packet whose lengths were checked, if it is a whole TCP segment. There
/// are no IP options in HTTP's packets, and without them all is where it always is.
fn ends(packet: &[u8], checked: ipv4::Checked) -> Option<Ends> {
    let (ip, rest) = ipv4::Header::ref_from_prefix(packet).ok()?;
    let (tcp, _) = tcp::Header::ref_from_prefix(rest).ok()?;
    let whole = checked.header_len == ipv4::Header::LEN
        && checked.total_len >= ipv4::Header::LEN + tcp::Header::LEN
        && ip.protocol == PROTOCOL_TCP
        && !ip.is_fragment();
    whole.then(|| Ends {
        source: SocketAddrV4::new(ip.source_addr(), tcp.source.get()),
        destination: SocketAddrV4::new(ip.destination_addr(), tcp.destination.get()),
    })
}

/// Changes the ends of a packet that has them, and patches both checksums (RFC 1624).
fn rewrite(packet: &mut [u8], new: Ends) -> Option<()> {
    let (ip, rest) = ipv4::Header::mut_from_prefix(packet).ok()?;
    let (tcp, _) = tcp::Header::mut_from_prefix(rest).ok()?;
    let (source, destination) = (new.source, new.destination);
    let addresses = Delta::new()
        .u32(ip.source_addr().to_bits(), source.ip().to_bits())
        .u32(ip.destination_addr().to_bits(), destination.ip().to_bits());
    let all = addresses
        .u16(tcp.source.get(), source.port())
        .u16(tcp.destination.get(), destination.port());
    ip.checksum.set(addresses.apply(ip.checksum.get()));
    tcp.checksum.set(all.apply(tcp.checksum.get()));
    ip.source = source.ip().octets();
    ip.destination = destination.ip().octets();
    tcp.source.set(source.port());
    tcp.destination.set(destination.port());
    Some(())
}
