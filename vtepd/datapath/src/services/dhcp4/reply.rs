//! What a client is told: the message and its options, in the order in which they are wanted.

use std::net::Ipv4Addr;

use dhcproto::Encodable;
use dhcproto::v4::{self, Encoder, MessageType, Opcode, OptionCode};
use ipnet::Ipv4Net;

use super::Lease4;
use super::request::Request;

/// Clients of BOOTP times discard shorter messages (RFC 1542, 2.1).
const LEAST_LEN: usize = 300;
/// Bytes before the options, the magic cookie included.
const FIXED_LEN: usize = 240;
/// Bytes of the "file" field, a zero at the end included.
const FILE_LEN: usize = 128;

const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS: u8 = 6;
const HOSTNAME: u8 = 12;
const MTU: u8 = 26;
const BROADCAST: u8 = 28;
const LEASE_SECONDS: u8 = 51;
const MESSAGE_TYPE: u8 = 53;
const SERVER: u8 = 54;
const MESSAGE: u8 = 56;
const RENEW_SECONDS: u8 = 58;
const REBIND_SECONDS: u8 = 59;
const CLIENT_ID: u8 = 61;
const TFTP_SERVER: u8 = 66;
const BOOT_FILE: u8 = 67;
const RELAY_INFORMATION: u8 = 82;
const CLASSLESS_ROUTES: u8 = 121;
/// What Windows asked for before option 121 was there; the same bytes.
const MICROSOFT_ROUTES: u8 = 249;
const END: u8 = 255;

/// What a client that does not say is told, most useful first.
const USUAL: [u8; 6] = [CLASSLESS_ROUTES, ROUTER, DNS, MTU, HOSTNAME, BROADCAST];

/// A DHCPOFFER or DHCPACK of the address. `None` never happens: it stands for the encoder's error.
pub(super) fn lease(request: &Request, lease: &Lease4, kind: MessageType) -> Option<Vec<u8>> {
    let client = match kind {
        MessageType::Offer => Ipv4Addr::UNSPECIFIED,
        _ => request.client,
    };
    let mut options = Options::new(request, lease, kind);
    options.push(LEASE_SECONDS, &lease.lease_seconds.to_be_bytes());
    // Half and seven eighths of the lease (RFC 2131, 4.4.5), for clients that cannot divide.
    if lease.lease_seconds != u32::MAX {
        let seconds = u64::from(lease.lease_seconds);
        for (code, at) in [
            (RENEW_SECONDS, seconds / 2),
            (REBIND_SECONDS, seconds * 7 / 8),
        ] {
            options.push_or(code, &(at as u32).to_be_bytes());
        }
    }
    options.tell(request);
    encode(request, lease, client, lease.address.addr(), options)
}

/// A DHCPACK without an address or times (RFC 2131, 4.3.5).
pub(super) fn information(request: &Request, lease: &Lease4) -> Option<Vec<u8>> {
    let mut options = Options::new(request, lease, MessageType::Ack);
    options.tell(request);
    let nobody = Ipv4Addr::UNSPECIFIED;
    encode(request, lease, request.client, nobody, options)
}

/// A DHCPNAK: only who refuses, and why (RFC 2131, table 3).
pub(super) fn refusal(request: &Request, lease: &Lease4) -> Option<Vec<u8>> {
    let mut options = Options::new(request, lease, MessageType::Nak);
    options.push(MESSAGE, b"the requested address is not that of this port");
    let nobody = Ipv4Addr::UNSPECIFIED;
    encode(request, lease, nobody, nobody, options)
}

/// Options as long as there is room.
struct Options<'a> {
    lease: &'a Lease4,
    kind: MessageType,
    bytes: Vec<u8>,
    room: usize,
    told: Vec<u8>,
}

impl<'a> Options<'a> {
    /// Begins with what every message has. The end and what is returned to the client or a relay have
    /// their room kept.
    fn new(request: &Request, lease: &'a Lease4, kind: MessageType) -> Self {
        let returned = [&request.client_id, &request.relay_information];
        let returned = returned.into_iter().flatten().map(|data| 2 + data.len());
        let kept = FIXED_LEN + 1 + returned.sum::<usize>();
        let mut options = Self {
            lease,
            kind,
            bytes: Vec::new(),
            room: request.room.saturating_sub(kept),
            told: Vec::new(),
        };
        options.push(MESSAGE_TYPE, &[kind.into()]);
        options.push(SERVER, &lease.server.octets());
        options
    }

    /// The mask, then what the client asks for in its order (RFC 2132, 9.8).
    fn tell(&mut self, request: &Request) {
        self.push_or(SUBNET_MASK, &self.lease.address.netmask().octets());
        let further = self.lease.options.iter().map(|(code, _)| *code);
        let codes = match &request.parameters {
            Some(codes) => codes.clone(),
            None => USUAL.into_iter().chain(further).collect(),
        };
        for code in codes {
            if let Some(value) = value(code, self.lease) {
                self.push(code, &value);
            }
        }
    }

    /// Ours, unless it is configured otherwise.
    fn push_or(&mut self, code: u8, ours: &[u8]) {
        let configured = configured(code, self.lease);
        self.push(code, configured.unwrap_or(ours));
    }

    /// Leaves out what is too long, and what is there already. More than 255 bytes are cut into several
    /// options (RFC 3396).
    fn push(&mut self, code: u8, value: &[u8]) {
        let length = value.len() + 2 * value.len().div_ceil(255);
        if value.is_empty() || length > self.room || self.told.contains(&code) {
            return;
        }
        self.room -= length;
        self.told.push(code);
        put(&mut self.bytes, code, value);
    }
}

fn put(bytes: &mut Vec<u8>, code: u8, value: &[u8]) {
    for chunk in value.chunks(255) {
        bytes.extend([code, chunk.len() as u8]);
        bytes.extend(chunk);
    }
}

fn configured(code: u8, lease: &Lease4) -> Option<&[u8]> {
    let ours = matches!(code, 0 | 50 | LEASE_SECONDS | MESSAGE_TYPE | SERVER)
        || matches!(code, 55 | 57 | CLIENT_ID | RELAY_INFORMATION | END);
    let found = lease.options.iter().find(|(of, _)| *of == code && !ours);
    found.map(|(_, value)| value.as_slice())
}

fn value(code: u8, lease: &Lease4) -> Option<Vec<u8>> {
    if let Some(value) = configured(code, lease) {
        return Some(value.to_vec());
    }
    match code {
        ROUTER => Some(lease.router?.octets().to_vec()),
        DNS => Some(lease.dns.iter().flat_map(Ipv4Addr::octets).collect()),
        HOSTNAME => Some(lease.hostname.clone()?.into_bytes()),
        MTU => Some(lease.mtu.to_be_bytes().to_vec()),
        BROADCAST if lease.address.prefix_len() < 31 => {
            Some(lease.address.broadcast().octets().to_vec())
        }
        CLASSLESS_ROUTES | MICROSOFT_ROUTES => routes(lease),
        _ => None,
    }
}

/// Prefix length, as many bytes of the prefix as count, next hop. Who takes these ignores option 3, so the
/// default route is among them (RFC 3442).
fn routes(lease: &Lease4) -> Option<Vec<u8>> {
    if lease.routes.is_empty() {
        return None;
    }
    let configured = lease.routes.iter().copied();
    let has_default = lease.routes.iter().any(|(to, _)| to.prefix_len() == 0);
    let default = lease.router.filter(|_| !has_default);
    let default = default.map(|router| (Ipv4Net::default(), router));
    let mut bytes = Vec::new();
    for (destination, via) in configured.chain(default) {
        let length = destination.prefix_len();
        bytes.push(length);
        let octets = destination.network().octets();
        bytes.extend(octets.iter().take(usize::from(length.div_ceil(8))));
        bytes.extend(via.octets());
    }
    Some(bytes)
}

fn encode(
    request: &Request,
    lease: &Lease4,
    client: Ipv4Addr,
    yours: Ipv4Addr,
    options: Options<'_>,
) -> Option<Vec<u8>> {
    let refused = options.kind == MessageType::Nak;
    let mut message = v4::Message::new_with_id(
        request.xid,
        client,
        yours,
        next_server(lease)
            .filter(|_| !refused)
            .unwrap_or(Ipv4Addr::UNSPECIFIED),
        Ipv4Addr::UNSPECIFIED,
        &lease.client_mac.0,
    );
    message.set_opcode(Opcode::BootReply);
    if request.broadcast || refused {
        message.set_flags(v4::Flags::default().set_broadcast());
    }
    // Boot loaders look into the field, hosts at the option: both are told.
    if let Some(file) = configured(BOOT_FILE, lease)
        && file.len() < FILE_LEN
        && !refused
    {
        message.set_fname(file);
    }
    let mut bytes = Vec::with_capacity(LEAST_LEN);
    message.encode(&mut Encoder::new(&mut bytes)).ok()?;
    bytes.extend(options.bytes);
    if let Some(data) = &request.client_id {
        put(&mut bytes, CLIENT_ID, data);
    }
    // Last of all (RFC 3046, 2.1).
    if let Some(data) = &request.relay_information {
        put(&mut bytes, RELAY_INFORMATION, data);
    }
    bytes.push(OptionCode::End.into());
    if bytes.len() < LEAST_LEN {
        bytes.resize(LEAST_LEN, 0);
    }
    Some(bytes)
}

/// "siaddr", where a host loads its system from: the TFTP server, when that is given as an address.
fn next_server(lease: &Lease4) -> Option<Ipv4Addr> {
    let by_option = || {
        let text = str::from_utf8(configured(TFTP_SERVER, lease)?).ok()?;
        text.parse().ok()
    };
    lease.next_server.or_else(by_option)
}
