//! What a client says.

use std::net::Ipv4Addr;

use dhcproto::v4::{HType, MessageType, Opcode, OptionCode, borrowed};
use vtepd_wire::{Mac, Malformed, ipv4};

use crate::services::Ignored;
use crate::services::datagram::Datagram;

/// The least that a client takes, bytes of the IP packet (RFC 2131, 2), and what it takes when it does
/// not say.
const LEAST_SIZE: u16 = 576;
/// Bytes of IP and UDP header before the message.
const OVERHEAD: usize = 28;
/// Most bytes that are returned to who sent them: one option.
const MOST_RETURNED: usize = 255;
/// Bytes of a MAC address.
const HARDWARE_LEN: u8 = 6;

/// A message from a client on this link.
#[derive(Debug)]
pub(super) struct Request {
    pub kind: MessageType,
    pub xid: u32,
    pub client_mac: Mac,
    /// "ciaddr": the address that the client has and answers for. Of a DHCPINFORM without one, where
    /// the packet came from.
    pub client: Ipv4Addr,
    /// The client cannot take unicast before it has an address.
    pub broadcast: bool,
    /// Option 50.
    pub requested: Option<Ipv4Addr>,
    /// Option 54.
    pub server: Option<Ipv4Addr>,
    /// Option 55: what to tell, most wanted first. `None`: the client does not say.
    pub parameters: Option<Vec<u8>>,
    /// How long the answer may be, bytes of UDP payload (option 57).
    pub room: usize,
    /// Option 61, to be returned (RFC 6842).
    pub client_id: Option<Vec<u8>>,
    /// Option 82, to be returned (RFC 3046, 2.2).
    pub relay_information: Option<Vec<u8>>,
}

impl Request {
    pub fn parse(datagram: &Datagram<'_, Ipv4Addr>) -> Result<Self, Ignored> {
        let message = borrowed::Message::new(datagram.payload).map_err(|_| Malformed::Truncated)?;
        if message.opcode() != Opcode::BootRequest {
            return Err(Ignored::Unexpected);
        }
        if message.htype() != HType::Eth || message.hlen() != HARDWARE_LEN {
            return Err(Ignored::OtherClient);
        }
        if !message.giaddr().is_unspecified() {
            return Err(Ignored::Relayed);
        }
        let client_mac = message.chaddr().first_chunk().copied().map(Mac);
        let mut request = Self {
            kind: MessageType::Unknown(0),
            xid: message.xid(),
            client_mac: client_mac.ok_or(Malformed::Truncated)?,
            client: message.ciaddr(),
            broadcast: message.flags().broadcast(),
            requested: None,
            server: None,
            parameters: None,
            room: usize::from(LEAST_SIZE) - OVERHEAD,
            client_id: None,
            relay_information: None,
        };
        for option in message.opts() {
            request.take(option.code(), option.data())?;
        }
        // Plain BOOTP has no message type.
        if request.kind == MessageType::Unknown(0) {
            return Err(Ignored::Unexpected);
        }
        request.settle(datagram.source.address);
        Ok(request)
    }

    fn take(&mut self, code: OptionCode, data: &[u8]) -> Result<(), Malformed> {
        match code {
            OptionCode::MessageType => {
                let [kind] = *data else {
                    return Err(Malformed::Option);
                };
                self.kind = kind.into();
            }
            OptionCode::RequestedIpAddress => self.requested = Some(address(data)?),
            OptionCode::ServerIdentifier => self.server = Some(address(data)?),
            OptionCode::ParameterRequestList => self.parameters = Some(data.to_vec()),
            OptionCode::MaxMessageSize => {
                let size = u16::from_be_bytes(data.try_into().map_err(|_| Malformed::Option)?);
                self.room = usize::from(size.max(LEAST_SIZE)) - OVERHEAD;
            }
            OptionCode::ClientIdentifier => self.client_id = Some(data.to_vec()),
            OptionCode::RelayAgentInformation => self.relay_information = Some(data.to_vec()),
            _ => {}
        }
        Ok(())
    }

    /// Addresses that clients fill in though they must not, or leave out though they should.
    fn settle(&mut self, source: Ipv4Addr) {
        match self.kind {
            // "MUST be 0" (RFC 2131, table 5); an answer there would get nowhere.
            MessageType::Discover => self.client = Ipv4Addr::UNSPECIFIED,
            MessageType::Inform if self.client.is_unspecified() => self.client = source,
            _ => {}
        }
        if ipv4::is_martian_source(self.client) {
            self.client = Ipv4Addr::UNSPECIFIED;
        }
        // Both fit the least message beside what it must hold, or the relay's goes: there is no relay here.
        let fits = |data: &Vec<u8>| (1..=MOST_RETURNED).contains(&data.len());
        self.client_id = self.client_id.take().filter(fits);
        let beside = self.client_id.as_ref().map_or(0, Vec::len);
        self.relay_information = self
            .relay_information
            .take()
            .filter(|data| fits(data) && data.len() + beside <= MOST_RETURNED);
    }
}

fn address(data: &[u8]) -> Result<Ipv4Addr, Malformed> {
    let bytes: [u8; 4] = data.try_into().map_err(|_| Malformed::Option)?;
    Ok(bytes.into())
}
