//! A DHCPv6 server for the one host behind a port (RFC 8415): its address, or only what else it
//! asks for.
//!
//! ```text
//!  Solicit ─► Advertise, or Reply with rapid commit
//!  Request, Renew, Rebind, Confirm, Release, Decline, Information-request ─► Reply
//! ```
//!
//! The first identity association of a message gets the port's address; there is no other.

mod message;
mod reply;

use std::net::{IpAddr, Ipv6Addr};

use dhcproto::v6::{MessageType, Status};
use ipnet::Ipv6Net;
use vtepd_wire::dhcp::{V6_CLIENT_PORT, V6_SERVER_PORT, V6_SERVERS};
use vtepd_wire::{Mac, ipv6};

use self::message::{Association, Message};
use self::reply::Answer;
use super::datagram::{self, Datagram, End};
use super::{Ignored, Kind, Outcome};

/// What the host behind a port is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease6 {
    /// The port's MAC address. Frames from another get no answer.
    pub client_mac: Mac,
    /// The MAC address that answers come from; the server's DUID and link-local address are made of it.
    pub server_mac: Mac,
    /// The host's address and its subnet's length; `None` where addresses are not told by DHCPv6.
    pub address: Option<Ipv6Net>,
    /// Name servers (option 23).
    pub dns: Vec<Ipv6Addr>,
    /// Domains in which names are searched (option 24); one that is no domain name is left out.
    pub search: Vec<String>,
    /// How long the address is used for new connections; `u32::MAX` is for ever.
    pub preferred_seconds: u32,
    /// How long the address holds, not below the former.
    pub valid_seconds: u32,
    /// Further options by code, in place of ours where the code is the same. What the protocol itself needs (1 to
    /// 20, 25, 26) is not taken from here.
    pub options: Vec<(u16, Vec<u8>)>,
}

impl Lease6 {
    /// DUID-LL (RFC 8415, 11.4): the same after a restart, without anything stored.
    fn duid(&self) -> [u8; 10] {
        let [a, b, c, d, e, f] = self.server_mac.0;
        [0, 3, 0, 1, a, b, c, d, e, f]
    }

    fn own(&self) -> Option<Ipv6Addr> {
        self.address.map(|address| address.addr())
    }
}

/// Answers what a host sent to UDP port 547; `frame` is as it arrived, without VLAN tags.
///
/// # Errors
/// Why there is nothing to send.
pub fn serve(frame: &[u8], lease: &Lease6) -> Result<Outcome, Ignored> {
    let datagram = datagram::parse_v6(frame)?;
    if (datagram.source.port, datagram.destination.port) != (V6_CLIENT_PORT, V6_SERVER_PORT) {
        return Err(Ignored::Unexpected);
    }
    if datagram.source.mac != lease.client_mac {
        return Err(Ignored::OtherClient);
    }
    if ipv6::is_martian_source(datagram.source.address) {
        return Err(Ignored::Unexpected);
    }
    let to = datagram.destination.address;
    let own = ipv6::link_local(lease.server_mac);
    if to != V6_SERVERS && to != own {
        return Err(Ignored::OtherServer);
    }
    let message = Message::parse(datagram.payload)?;
    check_identifiers(&message, &lease.duid())?;
    let (kind, reply) = if to == V6_SERVERS {
        answer(&message, lease)?
    } else {
        by_unicast(&message, lease)?
    };
    let answer = Datagram {
        source: End {
            mac: lease.server_mac,
            address: own,
            port: V6_SERVER_PORT,
        },
        destination: End {
            mac: lease.client_mac,
            address: datagram.source.address,
            port: V6_CLIENT_PORT,
        },
        payload: &reply,
    };
    Ok(Outcome {
        kind,
        reply: answer.frame(),
    })
}

/// Who must be named and who must not (RFC 8415, 16).
fn check_identifiers(message: &Message<'_>, own: &[u8]) -> Result<(), Ignored> {
    use MessageType::{
        Confirm, Decline, InformationRequest, Rebind, RelayForw, RelayRepl, Release, Renew,
        Request, Solicit,
    };
    let client_named = message.client_id.is_some();
    let asks_this_server = match message.kind {
        Solicit | Confirm | Rebind => client_named && message.server_id.is_none(),
        Request | Renew | Release | Decline => client_named && message.server_id.is_some(),
        InformationRequest => message.associations.is_empty() && !message.asks_more,
        RelayForw | RelayRepl => return Err(Ignored::Relayed),
        _ => false,
    };
    if !asks_this_server {
        return Err(Ignored::Unexpected);
    }
    match message.server_id {
        Some(server) if server != own => Err(Ignored::OtherServer),
        _ => Ok(()),
    }
}

/// No client was told that it may (RFC 8415, 18.3.2): four kinds are told so, the others are not answered.
fn by_unicast(message: &Message<'_>, lease: &Lease6) -> Result<(Kind, Vec<u8>), Ignored> {
    use MessageType::{Decline, Release, Renew, Request};
    match message.kind {
        Request | Renew | Release | Decline => {
            let reply = Answer::new(message, lease, MessageType::Reply);
            let reply = reply.status(Status::UseMulticast, "send to ff02::1:2");
            Ok((Kind::Refused, reply.finish()?))
        }
        _ => Err(Ignored::Unexpected),
    }
}

fn answer(message: &Message<'_>, lease: &Lease6) -> Result<(Kind, Vec<u8>), Ignored> {
    match message.kind {
        MessageType::Solicit => solicited(message, lease),
        MessageType::Confirm => confirm(message, lease),
        MessageType::Release | MessageType::Decline => give_back(message, lease),
        MessageType::InformationRequest => {
            let reply = Answer::new(message, lease, MessageType::Reply);
            Ok((
                Kind::Informed,
                reply.refresh_time().configuration().finish()?,
            ))
        }
        MessageType::Request => Ok(assign(
            message,
            lease,
            MessageType::Reply,
            Missing::NoAddress,
        )?),
        _ => Ok(assign(
            message,
            lease,
            MessageType::Reply,
            Missing::NoBinding,
        )?),
    }
}

/// What an association is told that there is no address for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It asked for a new one.
    NoAddress,
    /// It has one, as it believes.
    NoBinding,
}

fn solicited(message: &Message<'_>, lease: &Lease6) -> Result<(Kind, Vec<u8>), Ignored> {
    if message.rapid_commit && lease.address.is_some() {
        return assign(message, lease, MessageType::Reply, Missing::NoAddress);
    }
    assign(message, lease, MessageType::Advertise, Missing::NoAddress)
}

/// Each association gets its answer (RFC 8415, 18.3.1, 18.3.2, 18.3.4, 18.3.5, 18.3.9).
fn assign(
    message: &Message<'_>,
    lease: &Lease6,
    kind: MessageType,
    missing: Missing,
) -> Result<(Kind, Vec<u8>), Ignored> {
    let mut reply = Answer::new(message, lease, kind);
    let mut free = lease.address;
    let mut leased = false;
    for association in &message.associations {
        let address = free.filter(|_| association.is_for_addresses());
        reply = match address {
            // Asked for by name, and from another network: it shall begin again.
            Some(own)
                if message.kind == MessageType::Request
                    && association.holds(|address| !own.contains(&address)) =>
            {
                reply.refuse(association, Status::NotOnLink)
            }
            Some(own) => {
                free = None;
                leased = true;
                reply.lend(association, own.addr())
            }
            None => reply.refuse(association, association.missing(missing)),
        };
    }
    if kind == MessageType::Advertise && leased {
        reply = reply.only_server();
    }
    if message.kind == MessageType::Solicit && kind == MessageType::Reply {
        reply = reply.rapid_commit();
    }
    let outcome = match kind {
        _ if !leased => Kind::Refused,
        MessageType::Advertise => Kind::Offered,
        _ => Kind::Leased,
    };
    Ok((outcome, reply.configuration().finish()?))
}

impl Association<'_> {
    const fn missing(&self, missing: Missing) -> Status {
        match missing {
            Missing::NoBinding => Status::NoBinding,
            Missing::NoAddress if self.is_for_prefixes() => Status::NoPrefixAvail,
            Missing::NoAddress => Status::NoAddrsAvail,
        }
    }
}

/// A host that may have moved asks whether its addresses are right where it is (18.3.3). Right is
/// the port's address alone: with another of the subnet it would be taken for a spoofer.
fn confirm(message: &Message<'_>, lease: &Lease6) -> Result<(Kind, Vec<u8>), Ignored> {
    let own = lease.own().ok_or(Ignored::NothingToTell)?;
    let mut addresses = message.addresses().peekable();
    // "MUST NOT send a Reply" when there is nothing to judge.
    addresses.peek().ok_or(Ignored::NothingToTell)?;
    let reply = Answer::new(message, lease, MessageType::Reply);
    let (kind, reply) = if addresses.all(|address| address == own) {
        (Kind::Confirmed, reply.status(Status::Success, "on link"))
    } else {
        let reply = reply.status(Status::NotOnLink, "not an address of this port");
        (Kind::Refused, reply)
    };
    Ok((kind, reply.finish()?))
}

/// Release and Decline (18.3.7, 18.3.8): success over all, "no binding" for what was never lent.
fn give_back(message: &Message<'_>, lease: &Lease6) -> Result<(Kind, Vec<u8>), Ignored> {
    let own = lease.own();
    let is_own = |address: Ipv6Addr| Some(address) == own;
    let mut reply = Answer::new(message, lease, MessageType::Reply).status(Status::Success, "");
    for association in &message.associations {
        if !association.holds(is_own) {
            reply = reply.refuse(association, Status::NoBinding);
        }
    }
    let kind = match own.filter(|own| message.addresses().any(|address| address == *own)) {
        Some(own) if message.kind == MessageType::Decline => Kind::Declined(IpAddr::V6(own)),
        Some(own) => Kind::Released(IpAddr::V6(own)),
        None => Kind::Refused,
    };
    Ok((kind, reply.finish()?))
}

#[cfg(test)]
mod tests;
