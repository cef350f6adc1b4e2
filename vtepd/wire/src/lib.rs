//! Header views over byte slices, checksums and flow hashes.
//!
//! What comes in is bytes of a frame; what goes out is a reference to a header that lies in
//! those bytes, a number computed from them, or a [`Malformed`]. Nothing is allocated, nothing
//! is copied, and nothing here knows of mbufs, tables or workers.
//!
//! ```text
//!  destination  source  [tag [tag]] ethertype │ IPv4 / IPv6 [ext…] │ UDP │ VXLAN │ inner frame
//!  └──────────── ethernet::Header ──────────┘   ipv4:: ipv6::       udp:: vxlan::
//! ```
//!
//! # Reading and writing in place
//!
//! Every header is a `#[repr(C)]` structure of alignment 1 whose integers are stored in network
//! order ([`U16`], [`U32`]), so a header is *looked at*, not decoded:
//!
//! ```
//! use vtepd_wire::{FromBytes, Mac, ethernet};
//!
//! let mut frame = [0u8; 60];
//! let Ok((header, _rest)) = ethernet::Header::mut_from_prefix(&mut frame) else { return };
//! header.destination = Mac::BROADCAST;
//! header.ethertype.set(ethernet::ETHERTYPE_ARP);
//! assert_eq!(frame[..6], [0xff; 6]);
//! ```
//!
//! The one failure of `ref_from_prefix` and `mut_from_prefix` is that the bytes are too few.
//! Whether the *values* make sense is asked apart ([`ipv4::check`], [`ipv6::check`],
//! [`udp::check`], [`nd::check_solicitation`] …), because a bridge must carry frames that a
//! router may not.
//!
//! # Where to look
//!
//! | to | see |
//! |---|---|
//! | name things | [`Mac`], [`Vni`], [`VlanId`] |
//! | step over a frame | [`frame`] |
//! | read link and network headers | [`ethernet`], [`arp`], [`ipv4`], [`ipv6`] |
//! | read what they carry | [`udp`], [`tcp`], [`icmp`], [`icmpv6`], [`nd`], [`igmp`], [`mld`], [`vxlan`] |
//! | answer as a router | [`icmp_error`], [`icmpv6_error`], [`nd`], [`nd::router`], [`arp`] |
//! | cut a packet to an MTU | [`ipv4::fragments`] |
//! | know what asks a DHCP server | [`dhcp`] |
//! | sum or patch a checksum | [`checksum`] |
//! | carry congestion marks through a tunnel | [`ecn`] |
//! | spread flows, index tables | [`flow`], [`hash`] |
//! | build test frames | `craft` (feature `build`) |

#![cfg_attr(not(any(test, feature = "build")), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

pub mod arp;
pub mod checksum;
#[cfg(any(test, feature = "build"))]
pub mod craft;
pub mod dhcp;
pub mod ecn;
pub mod ethernet;
pub mod flow;
pub mod frame;
pub mod hash;
pub mod icmp;
pub mod icmp_error;
pub mod icmpv6;
pub mod icmpv6_error;
pub mod igmp;
pub mod ipv4;
pub mod ipv6;
pub mod mac;
mod malformed;
pub mod mld;
pub mod nd;
#[cfg(test)]
mod oracle;
pub mod tcp;
pub mod udp;
pub mod vni;
pub mod vxlan;

pub use ethernet::VlanId;
pub use mac::{Mac, MacBits};
pub use malformed::Malformed;
pub use vni::Vni;
/// What callers need of `zerocopy`, so that they depend on this crate alone.
pub use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};
