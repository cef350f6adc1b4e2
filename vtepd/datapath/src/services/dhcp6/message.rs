//! What a client says.

use std::net::Ipv6Addr;

use dhcproto::v6::MessageType;
use vtepd_wire::Malformed;

const CLIENT_ID: u16 = 1;
const SERVER_ID: u16 = 2;
const ADDRESSES: u16 = 3;
const TEMPORARY_ADDRESSES: u16 = 4;
const ADDRESS: u16 = 5;
const REQUESTED: u16 = 6;
const RAPID_COMMIT: u16 = 14;
const PREFIXES: u16 = 25;

/// Most bytes of a client's DUID (RFC 8415, 11.1).
const MOST_DUID: usize = 130;
/// More associations than this in one message are not looked at.
const MOST_ASSOCIATIONS: usize = 16;

/// A message from a client.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub kind: MessageType,
    pub transaction: [u8; 3],
    pub client_id: Option<&'a [u8]>,
    pub server_id: Option<&'a [u8]>,
    /// The codes it asks for; `None`: it does not say.
    pub requested: Option<Vec<u16>>,
    pub rapid_commit: bool,
    /// What it wants addresses or prefixes for, in its order.
    pub associations: Vec<Association<'a>>,
    /// There were more associations than are looked at.
    pub asks_more: bool,
}

/// Something that a client wants addresses or prefixes for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Association<'a> {
    /// Its option code.
    code: u16,
    /// The client's number for it.
    pub id: u32,
    options: &'a [u8],
}

impl Association<'_> {
    pub const fn is_for_addresses(&self) -> bool {
        self.code == ADDRESSES
    }

    pub const fn is_temporary(&self) -> bool {
        self.code == TEMPORARY_ADDRESSES
    }

    pub const fn is_for_prefixes(&self) -> bool {
        self.code == PREFIXES
    }

    /// Addresses in it, as the client has or wants them.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> {
        let addresses = !self.is_for_prefixes();
        walk(self.options)
            .filter_map(Result::ok)
            .filter(move |(code, _)| addresses && *code == ADDRESS)
            .filter_map(|(_, body)| body.first_chunk::<16>().copied())
            .map(Ipv6Addr::from)
    }

    /// Is there an address for which this is true?
    pub fn holds(&self, is: impl Fn(Ipv6Addr) -> bool) -> bool {
        self.addresses().any(is)
    }
}

impl<'a> Message<'a> {
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let [kind, a, b, c, options @ ..] = payload else {
            return Err(Malformed::Truncated);
        };
        let mut message = Self {
            kind: MessageType::from(*kind),
            transaction: [*a, *b, *c],
            client_id: None,
            server_id: None,
            requested: None,
            rapid_commit: false,
            associations: Vec::new(),
            asks_more: false,
        };
        // A relay's message is another header; nobody reads on.
        if matches!(
            message.kind,
            MessageType::RelayForw | MessageType::RelayRepl
        ) {
            return Ok(message);
        }
        for option in walk(options) {
            let (code, body) = option?;
            message.take(code, body)?;
        }
        Ok(message)
    }

    fn take(&mut self, code: u16, body: &'a [u8]) -> Result<(), Malformed> {
        match code {
            CLIENT_ID if (1..=MOST_DUID).contains(&body.len()) => self.client_id = Some(body),
            CLIENT_ID => return Err(Malformed::Option),
            SERVER_ID => self.server_id = Some(body),
            REQUESTED => {
                let (codes, _) = body.as_chunks();
                self.requested = Some(codes.iter().map(|code| u16::from_be_bytes(*code)).collect());
            }
            RAPID_COMMIT => self.rapid_commit = true,
            ADDRESSES | TEMPORARY_ADDRESSES | PREFIXES => {
                let (id, rest) = body.split_first_chunk().ok_or(Malformed::Option)?;
                // T1 and T2 are the server's to say.
                let times = if code == TEMPORARY_ADDRESSES { 0 } else { 8 };
                let options = rest.get(times..).ok_or(Malformed::Option)?;
                walk(options).try_for_each(|option| option.map(drop))?;
                if self.associations.len() == MOST_ASSOCIATIONS {
                    self.asks_more = true;
                    return Ok(());
                }
                self.associations.push(Association {
                    code,
                    id: u32::from_be_bytes(*id),
                    options,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// All addresses in all associations.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.associations.iter().flat_map(Association::addresses)
    }
}

/// Options one after another: code and body; ends after the first error.
fn walk(bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Malformed>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let option = split(rest);
        rest = option.map_or(&[], |(_, _, after)| after);
        Some(
            option
                .map(|(code, body, _)| (code, body))
                .ok_or(Malformed::Option),
        )
    })
}

fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (code, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((u16::from_be_bytes(*code), body, rest))
}
