//! What the device did, or shall do, to a frame: tags it took off, checksums, the RSS hash.

use crate::{Mbuf, segment::BUFFER_FLAGS, sys};

/// What the receiving device says about a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxChecksum {
    /// It was not looked at: verify in software if it matters.
    Unknown,
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
    /// It is not filled in, but the data is known to be intact: the sender is on the same machine
    /// and left it to a device (virtio, vhost). It must be filled in before the frame leaves by a
    /// wire.
    Absent,
}

/// The transport checksum a transmitting device shall fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxL4 {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Checksums for the transmitting device to fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxChecksum {
    /// Bytes from the start of the frame to the IP header, at most 127.
    pub l2_len: u8,
    /// Length of the IP header with options or extensions, at most 511.
    pub l3_len: u16,
    /// IPv6 rather than IPv4.
    pub ipv6: bool,
    /// Fill in the IPv4 header checksum, which must be 0.
    pub ip: bool,
    /// Fill in the transport checksum, which must hold that of the pseudo-header.
    pub l4: Option<TxL4>,
}

impl Mbuf {
    /// The tag control information (priority, drop eligible, VLAN id) of a tag that the device
    /// took off the frame; it is no longer in the data.
    #[inline]
    pub fn rx_vlan_stripped(&self) -> Option<u16> {
        let head = self.head();
        (head.ol_flags() & sys::SHIM_RX_VLAN_STRIPPED != 0).then(|| head.vlan_tci())
    }

    /// The outer tag, of a device that took off two.
    #[inline]
    pub fn rx_outer_vlan_stripped(&self) -> Option<u16> {
        let head = self.head();
        (head.ol_flags() & sys::SHIM_RX_QINQ_STRIPPED != 0).then(|| head.vlan_tci_outer())
    }

    /// What the device says of the IPv4 header checksum and of the transport checksum.
    #[inline]
    pub fn rx_checksum(&self) -> (RxChecksum, RxChecksum) {
        let flags = self.head().ol_flags();
        let ip = match flags & sys::SHIM_RX_IP_CKSUM_MASK {
            sys::SHIM_RX_IP_CKSUM_GOOD => RxChecksum::Good,
            sys::SHIM_RX_IP_CKSUM_BAD => RxChecksum::Bad,
            sys::SHIM_RX_IP_CKSUM_NONE => RxChecksum::Absent,
            _ => RxChecksum::Unknown,
        };
        let l4 = match flags & sys::SHIM_RX_L4_CKSUM_MASK {
            sys::SHIM_RX_L4_CKSUM_GOOD => RxChecksum::Good,
            sys::SHIM_RX_L4_CKSUM_BAD => RxChecksum::Bad,
            sys::SHIM_RX_L4_CKSUM_NONE => RxChecksum::Absent,
            _ => RxChecksum::Unknown,
        };
        (ip, l4)
    }

    /// Whether the transport checksum is still to be filled in (RFC 1071 over the payload), be it
    /// that a local sender left it out or that it was asked of the transmitting device.
    #[inline]
    pub fn needs_checksum(&self) -> bool {
        let flags = self.head().ol_flags();
        flags & sys::SHIM_RX_L4_CKSUM_MASK == sys::SHIM_RX_L4_CKSUM_NONE
            || flags & (sys::SHIM_TX_UDP_CKSUM | sys::SHIM_TX_TCP_CKSUM) != 0
    }

    /// Whether it is several packets of the wire in one: received merged, or to be cut by the
    /// transmitting device. It may be longer than any MTU.
    #[inline]
    pub fn is_merged(&self) -> bool {
        self.head().ol_flags() & (sys::SHIM_RX_LRO | sys::SHIM_TX_TCP_SEG) != 0
    }

    /// The device's hash over the flow, when it made one. Which fields it covers, and the key,
    /// are the device's.
    #[inline]
    pub fn rss_hash(&self) -> Option<u32> {
        let head = self.head();
        (head.ol_flags() & sys::SHIM_RX_RSS_HASH != 0).then(|| head.rss())
    }

    /// Forgets all of it. To be done when headers are put on or taken off, for then it no longer
    /// describes the frame, and a transmitting device would act on it.
    #[inline]
    pub fn clear_offloads(&mut self) {
        let head = self.head();
        head.set_ol_flags(head.ol_flags() & BUFFER_FLAGS);
        head.set_packet_type(0);
        head.set_tx_offload(0);
    }

    /// Asks the transmitting device to fill in checksums. Only for a port whose
    /// [`Offloads::tx_checksum`](crate::Offloads) is on; others send the frame as it is. False, and
    /// nothing done, when a length is out of range.
    #[inline]
    pub fn set_tx_checksum(&mut self, request: TxChecksum) -> bool {
        let TxChecksum {
            l2_len,
            l3_len,
            ipv6,
            ip,
            l4,
        } = request;
        let (l2_len, l3_len) = (u64::from(l2_len), u64::from(l3_len));
        if l2_len >> sys::SHIM_TX_L2_LEN_BITS != 0 || l3_len >> sys::SHIM_TX_L3_LEN_BITS != 0 {
            return false;
        }
        let head = self.head();
        let mut flags = head.ol_flags() & BUFFER_FLAGS;
        flags |= if ipv6 {
            sys::SHIM_TX_IPV6
        } else {
            sys::SHIM_TX_IPV4
        };
        if ip && !ipv6 {
            flags |= sys::SHIM_TX_IP_CKSUM;
        }
        flags |= match l4 {
            Some(TxL4::Tcp) => sys::SHIM_TX_TCP_CKSUM,
            Some(TxL4::Udp) => sys::SHIM_TX_UDP_CKSUM,
            None => 0,
        };
        head.set_ol_flags(flags);
        head.set_tx_offload(
            l2_len << sys::SHIM_TX_L2_LEN_SHIFT | l3_len << sys::SHIM_TX_L3_LEN_SHIFT,
        );
        true
    }
}
