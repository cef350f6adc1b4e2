//! What a client is told.

use std::net::Ipv6Addr;

use dhcproto::Encodable;
use dhcproto::v6::{
    self, DhcpOption, DhcpOptions, IAAddr, IANA, IAPD, IATA, MessageType, OptionCode, Status,
    StatusCode, UnknownOption,
};
use vtepd_wire::Malformed;

use super::Lease6;
use super::message::{Association, Message};

const DNS: u16 = 23;
const SEARCH: u16 = 24;
const REFRESH_TIME: u16 = 32;

/// The least refresh time (RFC 8415, 7.6).
const LEAST_REFRESH: u32 = 600;

/// A message in the making.
pub(super) struct Answer<'a> {
    message: &'a Message<'a>,
    lease: &'a Lease6,
    kind: MessageType,
    options: Vec<DhcpOption>,
}

impl<'a> Answer<'a> {
    /// With both identifiers (RFC 8415, 18.3).
    pub fn new(message: &'a Message<'a>, lease: &'a Lease6, kind: MessageType) -> Self {
        let client = message
            .client_id
            .map(|id| DhcpOption::ClientId(id.to_vec()));
        let server = DhcpOption::ServerId(lease.duid().to_vec());
        Self {
            message,
            lease,
            kind,
            options: client.into_iter().chain([server]).collect(),
        }
    }

    fn with(mut self, option: DhcpOption) -> Self {
        self.options.push(option);
        self
    }

    /// What came of the message as a whole.
    pub fn status(self, status: Status, text: &str) -> Self {
        self.with(status_option(status, text))
    }

    /// There is no better server to wait for (RFC 8415, 18.2.1).
    pub fn only_server(self) -> Self {
        self.with(DhcpOption::Preference(255))
    }

    /// The answer to a Solicit that is not an Advertise (RFC 8415, 18.3.1).
    pub fn rapid_commit(self) -> Self {
        self.with(DhcpOption::RapidCommit)
    }

    /// `own` for this association, and an end to any other address that the client names in it
    /// (RFC 8415, 18.3.4).
    pub fn lend(self, association: &Association<'_>, own: Ipv6Addr) -> Self {
        let (preferred, valid) = (self.lease.preferred_seconds, self.lease.valid_seconds);
        let preferred = preferred.min(valid);
        let ended = association
            .addresses()
            .filter(|address| *address != own)
            .map(|address| lent(address, 0, 0));
        let opts = [lent(own, preferred, valid)].into_iter().chain(ended);
        let (t1, t2) = match preferred {
            u32::MAX => (u32::MAX, u32::MAX),
            // Half and four fifths (RFC 8415, 21.4).
            _ => (preferred / 2, (u64::from(preferred) * 4 / 5) as u32),
        };
        self.with(DhcpOption::IANA(IANA {
            id: association.id,
            t1,
            t2,
            opts: opts.collect(),
        }))
    }

    /// Nothing for this association, and why.
    pub fn refuse(self, association: &Association<'_>, status: Status) -> Self {
        let text = match status {
            Status::NotOnLink => "the address is not of this network",
            Status::NoBinding => "nothing was given to this association",
            _ => "the port has no other address",
        };
        let opts: DhcpOptions = [status_option(status, text)].into_iter().collect();
        let id = association.id;
        let option = if association.is_for_prefixes() {
            DhcpOption::IAPD(IAPD {
                id,
                t1: 0,
                t2: 0,
                opts,
            })
        } else if association.is_temporary() {
            DhcpOption::IATA(IATA { id, opts })
        } else {
            DhcpOption::IANA(IANA {
                id,
                t1: 0,
                t2: 0,
                opts,
            })
        };
        self.with(option)
    }

    /// When to ask again, for clients without an address to renew (RFC 8415, 21.23).
    pub fn refresh_time(self) -> Self {
        if !self.is_wanted(REFRESH_TIME) {
            return self;
        }
        let seconds = self.lease.valid_seconds.max(LEAST_REFRESH);
        self.with(unknown(REFRESH_TIME, seconds.to_be_bytes().to_vec()))
    }

    /// Name servers, search list and what else is configured, as far as the client asks.
    pub fn configuration(mut self) -> Self {
        let lease = self.lease;
        let mut values: Vec<(u16, Vec<u8>)> = lease
            .options
            .iter()
            .filter(|(code, _)| !matches!(*code, 1..=20 | 25 | 26 | REFRESH_TIME))
            .cloned()
            .collect();
        let dns = lease.dns.iter().flat_map(Ipv6Addr::octets).collect();
        for (code, value) in [(DNS, dns), (SEARCH, search(&lease.search))] {
            if !values.iter().any(|(configured, _)| *configured == code) {
                values.push((code, value));
            }
        }
        for (code, value) in values {
            if self.is_wanted(code) && !value.is_empty() {
                self.options.push(unknown(code, value));
            }
        }
        self
    }

    fn is_wanted(&self, code: u16) -> bool {
        let requested = self.message.requested.as_ref();
        requested.is_none_or(|codes| codes.contains(&code))
    }

    /// The message's bytes.
    ///
    /// # Errors
    /// Total length: what is configured does not fit an option.
    pub fn finish(self) -> Result<Vec<u8>, Malformed> {
        let mut message = v6::Message::new_with_id(self.kind, self.message.transaction);
        message.set_opts(self.options.into_iter().collect());
        message.to_vec().map_err(|_| Malformed::TotalLength)
    }
}

fn lent(addr: Ipv6Addr, preferred_life: u32, valid_life: u32) -> DhcpOption {
    DhcpOption::IAAddr(IAAddr {
        addr,
        preferred_life,
        valid_life,
        opts: DhcpOptions::new(),
    })
}

fn status_option(status: Status, text: &str) -> DhcpOption {
    DhcpOption::StatusCode(StatusCode {
        status,
        msg: text.to_owned(),
    })
}

fn unknown(code: u16, value: Vec<u8>) -> DhcpOption {
    DhcpOption::Unknown(UnknownOption::new(OptionCode::from(code), value))
}

/// Domain names as RFC 8415, 10 has them: never compressed, which is why `dhcproto` does not write them.
fn search(domains: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for domain in domains {
        let name = domain.trim_end_matches('.');
        let labels = name.split('.');
        let is_domain = labels.clone().all(|label| (1..=63).contains(&label.len()));
        if name.len() > 253 || !is_domain {
            continue;
        }
        for label in labels {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
    }
    bytes
}
