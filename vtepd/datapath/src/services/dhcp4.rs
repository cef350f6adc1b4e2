//! A DHCPv4 server for the one host behind a port (RFC 2131).
//!
//! ```text
//!  DISCOVER ─► OFFER      REQUEST ─► ACK, or NAK for another address than the port's
//!  INFORM   ─► ACK        RELEASE, DECLINE ─► nothing
//! ```
//!
//! The port says what its host gets ([`Lease4`]), so the states of RFC 2131 (selecting, rebooting,
//! renewing, rebinding) differ only in where the client says which address it means.

mod reply;
mod request;

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;
use ipnet::Ipv4Net;
use vtepd_wire::Mac;
use vtepd_wire::dhcp::{V4_CLIENT_PORT, V4_SERVER_PORT};

use self::request::Request;
use super::datagram::{self, Datagram, End};
use super::{Ignored, Kind, Outcome};

/// What the host behind a port is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease4 {
    /// The port's MAC address. A client with another hardware address gets no answer.
    pub client_mac: Mac,
    /// The host's address and its subnet's length.
    pub address: Ipv4Net,
    /// What the server calls itself, and answers from.
    pub server: Ipv4Addr,
    /// The MAC address that answers come from.
    pub server_mac: Mac,
    /// Where a host loads its system from ("siaddr"); by default the TFTP server, when that is given as an
    /// address.
    pub next_server: Option<Ipv4Addr>,
    /// The default router (option 3, and a default route in options 121 and 249).
    pub router: Option<Ipv4Addr>,
    /// Name servers (option 6).
    pub dns: Vec<Ipv4Addr>,
    /// MTU of the network, bytes of IP (option 26).
    pub mtu: u16,
    /// How long the address holds; `u32::MAX` is for ever.
    pub lease_seconds: u32,
    /// Routes beside the default one: destination and next hop (options 121 and 249).
    pub routes: Vec<(Ipv4Net, Ipv4Addr)>,
    /// The host's name (option 12).
    pub hostname: Option<String>,
    /// Further options by code, in place of ours where the code is the same. What the protocol itself needs
    /// (0, 50, 51, 53, 54, 55, 57, 61, 82, 255) is not taken from here.
    pub options: Vec<(u8, Vec<u8>)>,
}

/// Answers what a host sent to UDP port 67; `frame` is as it arrived, without VLAN tags.
///
/// # Errors
/// Why there is nothing to send or to report.
pub fn serve(frame: &[u8], lease: &Lease4) -> Result<Outcome, Ignored> {
    let datagram = datagram::parse_v4(frame)?;
    if (datagram.source.port, datagram.destination.port) != (V4_CLIENT_PORT, V4_SERVER_PORT) {
        return Err(Ignored::Unexpected);
    }
    let to = datagram.destination.address;
    if !to.is_broadcast() && to != lease.server {
        return Err(Ignored::OtherServer);
    }
    let request = Request::parse(&datagram)?;
    if request.client_mac != lease.client_mac {
        return Err(Ignored::OtherClient);
    }
    if request.server.is_some_and(|server| server != lease.server) {
        return Err(Ignored::OtherServer);
    }
    match request.kind {
        MessageType::Discover => Ok(answer(&request, lease, MessageType::Offer)),
        MessageType::Request => requested(&request, lease),
        MessageType::Inform if request.client.is_unspecified() => Err(Ignored::Unexpected),
        MessageType::Inform => Ok(inform(&request, lease)),
        MessageType::Release => Ok(Outcome {
            kind: Kind::Released(request.client.into()),
            reply: None,
        }),
        MessageType::Decline => {
            let address = request.requested.ok_or(Ignored::Unexpected)?;
            Ok(Outcome {
                kind: Kind::Declined(address.into()),
                reply: None,
            })
        }
        _ => Err(Ignored::Unexpected),
    }
}

/// RFC 2131, 4.3.2: a client that selects or reboots names its address in option 50, one that renews or
/// rebinds in "ciaddr".
fn requested(request: &Request, lease: &Lease4) -> Result<Outcome, Ignored> {
    let named = (!request.client.is_unspecified()).then_some(request.client);
    let wanted = request.requested.or(named).ok_or(Ignored::Unexpected)?;
    // Only this server knows the port, so what it does not know is wrong, also after a reboot.
    let kind = if wanted == lease.address.addr() {
        MessageType::Ack
    } else {
        MessageType::Nak
    };
    Ok(answer(request, lease, kind))
}

/// Where an answer goes (RFC 2131, 4.1); without a relay there are three ways.
fn answer(request: &Request, lease: &Lease4, kind: MessageType) -> Outcome {
    let everybody = (Mac::BROADCAST, Ipv4Addr::BROADCAST);
    let (mac, address) = match kind {
        MessageType::Nak => everybody,
        // A client that renews has its address and listens to it; an offer's has none yet.
        MessageType::Ack if !request.client.is_unspecified() => (lease.client_mac, request.client),
        _ if request.broadcast => everybody,
        _ => (lease.client_mac, lease.address.addr()),
    };
    let outcome = match kind {
        MessageType::Offer => Kind::Offered,
        MessageType::Nak => Kind::Refused,
        _ => Kind::Leased,
    };
    let payload = match kind {
        MessageType::Nak => reply::refusal(request, lease),
        _ => reply::lease(request, lease, kind),
    };
    Outcome {
        kind: outcome,
        reply: payload.and_then(|payload| framed(lease, mac, address, &payload)),
    }
}

/// A client that has an address by other means gets the rest (RFC 2131, 4.3.5).
fn inform(request: &Request, lease: &Lease4) -> Outcome {
    let payload = reply::information(request, lease);
    Outcome {
        kind: Kind::Informed,
        reply: payload
            .and_then(|payload| framed(lease, lease.client_mac, request.client, &payload)),
    }
}

fn framed(lease: &Lease4, mac: Mac, address: Ipv4Addr, payload: &[u8]) -> Option<Vec<u8>> {
    let answer = Datagram {
        source: End {
            mac: lease.server_mac,
            address: lease.server,
            port: V4_SERVER_PORT,
        },
        destination: End {
            mac,
            address,
            port: V4_CLIENT_PORT,
        },
        payload,
    };
    answer.frame()
}

#[cfg(test)]
mod tests;
