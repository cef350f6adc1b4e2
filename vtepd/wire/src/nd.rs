//! Neighbour discovery (RFC 4861): solicitations, advertisements and their options; routers' are in
//! [`router`].

use core::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::Sum;
use crate::icmpv6::{self, NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_SOLICITATION};
use crate::ipv4::PROTOCOL_ICMPV6;
use crate::{Mac, Malformed, ipv6};

pub mod router;

/// Hop limit of every message here: one that crossed a router is forged (RFC 4861, 3.1).
pub const HOP_LIMIT: u8 = 255;
/// Option: the sender's link-layer address.
pub const OPTION_SOURCE_LINK_LAYER: u8 = 1;
/// Option: the target's link-layer address.
pub const OPTION_TARGET_LINK_LAYER: u8 = 2;

/// Flag of an [`Advertisement`]: the sender is a router.
pub const FLAG_ROUTER: u32 = 0x8000_0000;
/// Flag of an [`Advertisement`]: the answer to a solicitation.
pub const FLAG_SOLICITED: u32 = 0x4000_0000;
/// Flag of an [`Advertisement`]: replaces what is known already.
pub const FLAG_OVERRIDE: u32 = 0x2000_0000;

/// Who has the target? (4.3). Options follow.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Solicitation {
    /// [`NEIGHBOUR_SOLICITATION`].
    pub kind: u8,
    /// 0.
    pub code: u8,
    /// Over pseudo header and message.
    pub checksum: U16,
    /// Zero.
    pub reserved: U32,
    /// The address asked for; never a multicast one.
    pub target: [u8; 16],
}

impl Solicitation {
    /// Bytes on the wire, options not counted.
    pub const LEN: usize = 24;

    /// The address asked for.
    #[inline]
    #[must_use]
    pub const fn target_addr(&self) -> Ipv6Addr {
        Ipv6Addr::from_octets(self.target)
    }
}

/// The target is here (4.4). Options follow.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Advertisement {
    /// [`NEIGHBOUR_ADVERTISEMENT`].
    pub kind: u8,
    /// 0.
    pub code: u8,
    /// Over pseudo header and message.
    pub checksum: U16,
    /// [`FLAG_ROUTER`], [`FLAG_SOLICITED`], [`FLAG_OVERRIDE`].
    pub flags: U32,
    /// The address told about; never a multicast one.
    pub target: [u8; 16],
}

impl Advertisement {
    /// Bytes on the wire, options not counted.
    pub const LEN: usize = 24;

    /// The address told about.
    #[inline]
    #[must_use]
    pub const fn target_addr(&self) -> Ipv6Addr {
        Ipv6Addr::from_octets(self.target)
    }

    /// Are all of `flags` set?
    #[inline]
    #[must_use]
    pub const fn has(&self, flags: u32) -> bool {
        self.flags.get() & flags == flags
    }
}

/// A link-layer address option for Ethernet (4.6.1).
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct LinkLayerOption {
    /// [`OPTION_SOURCE_LINK_LAYER`] or [`OPTION_TARGET_LINK_LAYER`].
    pub kind: u8,
    /// 1, in units of 8 bytes.
    pub length: u8,
    /// The address.
    pub mac: Mac,
}

impl LinkLayerOption {
    /// Bytes on the wire.
    pub const LEN: usize = 8;

    /// An option of this kind.
    #[inline]
    #[must_use]
    pub const fn new(kind: u8, mac: Mac) -> Self {
        Self {
            kind,
            length: 1,
            mac,
        }
    }
}

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscoveryOption<'a> {
    /// What it is.
    pub kind: u8,
    /// What follows its type and length bytes: 6, 14, 22 … bytes.
    pub body: &'a [u8],
}

impl DiscoveryOption<'_> {
    /// The MAC address of a link-layer option of this kind.
    #[inline]
    #[must_use]
    pub fn link_layer(&self, kind: u8) -> Option<Mac> {
        if self.kind != kind {
            return None;
        }
        self.body.try_into().ok().map(Mac)
    }
}

/// Options one after another; ends after the first error.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

/// The options in `bytes`, which follow the fixed part of a message to its end.
#[inline]
#[must_use]
pub const fn options(bytes: &[u8]) -> Options<'_> {
    Options { rest: bytes }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<DiscoveryOption<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let &[kind, units, ..] = self.rest else {
            let leftover = !core::mem::take(&mut self.rest).is_empty();
            return leftover.then_some(Err(Malformed::Option));
        };
        let length = usize::from(units) * 8;
        // Length zero would make the walk endless: the message is discarded (4.6).
        match (self.rest.get(2..length), self.rest.get(length..)) {
            (Some(body), Some(rest)) if units != 0 => {
                self.rest = rest;
                Some(Ok(DiscoveryOption { kind, body }))
            }
            _ => {
                self.rest = &[];
                Some(Err(Malformed::Option))
            }
        }
    }
}

/// Is this a solicitation to act on (7.1.1)? Returns it with the sender's MAC address, if told.
///
/// `message` is the whole ICMPv6 message, behind extension headers and without padding.
///
/// # Errors
/// Truncated, checksum, option, or field: hop limit below 255, code, multicast target, or what a
/// sender without an address must not do.
pub fn check_solicitation<'a>(
    ip: &ipv6::Header,
    message: &'a [u8],
) -> Result<(&'a Solicitation, Option<Mac>), Malformed> {
    let (solicitation, rest) =
        Solicitation::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    check_common(ip, message, solicitation.code)?;
    let source = link_layer(rest, OPTION_SOURCE_LINK_LAYER)?;
    let target = solicitation.target_addr();
    if solicitation.kind != NEIGHBOUR_SOLICITATION || target.is_multicast() {
        return Err(Malformed::Field);
    }
    // Duplicate address detection: to the group of the target, and nothing to learn.
    let to_group = ip.destination_addr() == ipv6::solicited_node(target);
    if ip.source_addr().is_unspecified() && (!to_group || source.is_some()) {
        return Err(Malformed::Field);
    }
    Ok((solicitation, source))
}

/// Is this an advertisement to act on (7.1.2)? Returns it with the target's MAC address, if told.
///
/// `message` is the whole ICMPv6 message, behind extension headers and without padding.
///
/// # Errors
/// Truncated, checksum, option, or field: hop limit below 255, code, multicast target, or the
/// solicited flag on a message to a group.
pub fn check_advertisement<'a>(
    ip: &ipv6::Header,
    message: &'a [u8],
) -> Result<(&'a Advertisement, Option<Mac>), Malformed> {
    let (advertisement, rest) =
        Advertisement::ref_from_prefix(message).map_err(|_| Malformed::Truncated)?;
    check_common(ip, message, advertisement.code)?;
    let target_mac = link_layer(rest, OPTION_TARGET_LINK_LAYER)?;
    let to_group = ip.destination_addr().is_multicast();
    if advertisement.kind != NEIGHBOUR_ADVERTISEMENT
        || advertisement.target_addr().is_multicast()
        || (to_group && advertisement.has(FLAG_SOLICITED))
    {
        return Err(Malformed::Field);
    }
    Ok((advertisement, target_mac))
}

fn check_common(ip: &ipv6::Header, message: &[u8], code: u8) -> Result<(), Malformed> {
    if ip.hop_limit != HOP_LIMIT || code != 0 {
        return Err(Malformed::Field);
    }
    let length = u32::try_from(message.len()).map_err(|_| Malformed::TotalLength)?;
    if !icmpv6::checksum_ok(ip.pseudo_header(PROTOCOL_ICMPV6, length), message) {
        return Err(Malformed::Checksum);
    }
    Ok(())
}

/// The last link-layer option of this kind; every option is checked.
fn link_layer(bytes: &[u8], kind: u8) -> Result<Option<Mac>, Malformed> {
    options(bytes).try_fold(None, |found, option| {
        option.map(|option| option.link_layer(kind).or(found))
    })
}

/// A whole solicitation with the sender's MAC address, checksummed: who has `target`? Send it from
/// `source` to [`ipv6::solicited_node`], or to the target itself to see whether it is still there,
/// with [`HOP_LIMIT`].
#[must_use]
pub fn solicitation(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    mac: Mac,
) -> [u8; MESSAGE_LEN] {
    message(
        source,
        destination,
        Solicitation {
            kind: NEIGHBOUR_SOLICITATION,
            code: 0,
            checksum: U16::ZERO,
            reserved: U32::ZERO,
            target: target.octets(),
        },
        LinkLayerOption::new(OPTION_SOURCE_LINK_LAYER, mac),
    )
}

/// A whole advertisement, checksummed: `target` is at `mac`. Send it from `source` to whoever asked,
/// or to all nodes (`ff02::1`, without [`FLAG_SOLICITED`]), with [`HOP_LIMIT`].
#[must_use]
pub fn advertisement(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    target: Ipv6Addr,
    mac: Mac,
    flags: u32,
) -> [u8; MESSAGE_LEN] {
    message(
        source,
        destination,
        Solicitation {
            kind: NEIGHBOUR_ADVERTISEMENT,
            code: 0,
            checksum: U16::ZERO,
            reserved: U32::new(flags),
            target: target.octets(),
        },
        LinkLayerOption::new(OPTION_TARGET_LINK_LAYER, mac),
    )
}

/// Bytes of a message with one link-layer option: what [`solicitation`] and [`advertisement`] build.
pub const MESSAGE_LEN: usize = Solicitation::LEN + LinkLayerOption::LEN;

/// Both messages have the same shape, the flags of one being the reserved field of the other.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Message {
    fixed: Solicitation,
    option: LinkLayerOption,
}

fn message(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    mut fixed: Solicitation,
    option: LinkLayerOption,
) -> [u8; MESSAGE_LEN] {
    let check = Sum::pseudo_v6(
        &source.octets(),
        &destination.octets(),
        PROTOCOL_ICMPV6,
        MESSAGE_LEN as u32,
    )
    .add_bytes(fixed.as_bytes())
    .add_bytes(option.as_bytes())
    .finish();
    fixed.checksum.set(check);
    zerocopy::transmute!(Message { fixed, option })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::{self, hex};

    const VM: &str = "fa:16:3e:9a:b7:d4";
    const VM_IP: &str = "fe80::f816:3eff:fe9a:b7d4";
    const PEER: &str = "2001:db8::10";

    /// The IPv6 header and the message of a frame without extension headers.
    fn split(frame: &[u8]) -> (ipv6::Header, &[u8]) {
        let (ip, message) = ipv6::Header::ref_from_prefix(&frame[14..]).unwrap();
        (*ip, message)
    }

    /// A message of these bytes, with the checksum put right.
    fn sealed(ip: &ipv6::Header, mut message: Vec<u8>) -> Vec<u8> {
        message[2..4].fill(0);
        let sum = ip.pseudo_header(PROTOCOL_ICMPV6, message.len() as u32);
        let check = sum.add_bytes(&message).finish();
        message[2..4].copy_from_slice(&check.to_be_bytes());
        message
    }

    fn solicited(source: &str) -> Vec<u8> {
        let group = ipv6::solicited_node(PEER.parse().unwrap());
        craft::ethernet(Mac::multicast_of_v6(group), VM)
            .ipv6(source, group)
            .solicitation(PEER)
    }

    #[test]
    fn solicitation_tells_target_and_sender() {
        let frame = solicited(VM_IP);
        assert_eq!(frame.len(), 14 + 40 + MESSAGE_LEN);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0, 0, 0x10]);
        let (ip, message) = split(&frame);
        let (solicitation, mac) = check_solicitation(&ip, message).unwrap();
        assert_eq!(solicitation.target_addr().to_string(), PEER);
        assert_eq!(mac.unwrap().to_string(), VM);
        assert_eq!(check_advertisement(&ip, message), Err(Malformed::Field));
    }

    #[test]
    fn advertisement_tells_target_and_flags() {
        let frame = craft::ethernet([2, 0, 0, 0, 0, 1], VM)
            .ipv6(PEER, "2001:db8::1")
            .advertisement(PEER, FLAG_SOLICITED | FLAG_OVERRIDE);
        let (ip, message) = split(&frame);
        let (advertisement, mac) = check_advertisement(&ip, message).unwrap();
        assert_eq!(advertisement.target_addr().to_string(), PEER);
        assert!(advertisement.has(FLAG_SOLICITED | FLAG_OVERRIDE));
        assert!(!advertisement.has(FLAG_ROUTER));
        assert_eq!(mac.unwrap().to_string(), VM);
        assert_eq!(check_solicitation(&ip, message), Err(Malformed::Field));
    }

    #[test]
    fn messages_to_ignore_rfc4861_section_7_1() {
        let frame = solicited(VM_IP);
        let (ip, message) = split(&frame);
        let check = |ip: &ipv6::Header, message: &[u8]| check_solicitation(ip, message).err();

        let routed = ipv6::Header {
            hop_limit: 254,
            ..ip
        };
        assert_eq!(check(&routed, message), Some(Malformed::Field));
        assert_eq!(check(&ip, &message[..23]), Some(Malformed::Truncated));
        let mut bad = message.to_vec();
        bad[23] ^= 1;
        assert_eq!(check(&ip, &bad), Some(Malformed::Checksum));

        let changed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = message.to_vec();
            change(&mut bytes);
            check(&ip, &sealed(&ip, bytes))
        };
        assert_eq!(changed(&|_| ()), None);
        assert_eq!(changed(&|b| b[1] = 1), Some(Malformed::Field), "code");
        assert_eq!(changed(&|b| b[8] = 0xff), Some(Malformed::Field), "target");
        assert_eq!(changed(&|b| b[25] = 0), Some(Malformed::Option), "length 0");
        assert_eq!(changed(&|b| b[25] = 2), Some(Malformed::Option), "too long");
        assert_eq!(changed(&|b| b.push(0)), Some(Malformed::Option), "leftover");

        let to_all = craft::ethernet([0x33, 0x33, 0, 0, 0, 1], VM)
            .ipv6(PEER, "ff02::1")
            .advertisement(PEER, FLAG_SOLICITED);
        let (ip, message) = split(&to_all);
        assert_eq!(check_advertisement(&ip, message), Err(Malformed::Field));
    }

    #[test]
    fn duplicate_address_detection_rfc4861_section_7_1_1() {
        // A sender without address must not tell its MAC address ...
        let frame = solicited("::");
        let (ip, message) = split(&frame);
        assert_eq!(check_solicitation(&ip, message), Err(Malformed::Field));
        // ... and must ask the group of the target.
        let probe = sealed(&ip, message[..Solicitation::LEN].to_vec());
        let (_, mac) = check_solicitation(&ip, &probe).unwrap();
        assert_eq!(mac, None);
        let elsewhere = ipv6::Header {
            destination: Ipv6Addr::LOCALHOST.octets(),
            ..ip
        };
        let probe = sealed(&elsewhere, probe);
        assert_eq!(
            check_solicitation(&elsewhere, &probe),
            Err(Malformed::Field)
        );
    }

    #[test]
    fn options_end_after_the_first_error() {
        let bytes = hex("0101 fa163e9ab7d4 0e01 112233445566 0500 000000000000");
        let mut walk = options(&bytes);
        let first = walk.next().unwrap().unwrap();
        assert_eq!(
            first
                .link_layer(OPTION_SOURCE_LINK_LAYER)
                .unwrap()
                .to_string(),
            VM
        );
        assert_eq!(first.link_layer(OPTION_TARGET_LINK_LAYER), None);
        let nonce = walk.next().unwrap().unwrap();
        assert_eq!((nonce.kind, nonce.body.len()), (14, 6));
        assert_eq!(walk.next(), Some(Err(Malformed::Option)));
        assert_eq!(walk.next(), None);
        let long = hex("0102 fa163e9ab7d4 0000000000000000");
        let option = options(&long).next().unwrap().unwrap();
        assert_eq!(
            option.link_layer(OPTION_SOURCE_LINK_LAYER),
            None,
            "not Ethernet's"
        );
    }
}
