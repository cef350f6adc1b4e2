//! Addresses that a router does not forward from or to.

use core::net::Ipv4Addr;

/// May no packet come from this address: network 0, loopback, a group, class E, broadcast
/// (RFC 1812, 5.3.7; RFC 6890, 2.2.2)? Drop, and send no error.
///
/// The documentation blocks of RFC 6890 are not among them: whole labs are numbered from them.
/// A subnet's broadcast address takes the subnet to know.
#[inline]
#[must_use]
pub const fn is_martian_source(address: Ipv4Addr) -> bool {
    // 224.0.0.0/4, 240.0.0.0/4 and 255.255.255.255 are all that lies above.
    let [first, ..] = address.octets();
    matches!(first, 0 | 127 | 224..)
}

/// Is this no address to send a packet to: network 0, loopback, class E, broadcast
/// (RFC 1812, 5.3.7)? Groups are not martians: whether they are routed is the caller's question.
#[inline]
#[must_use]
pub const fn is_martian_destination(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    matches!(first, 0 | 127 | 240..)
}

/// 169.254.0.0/16: means something on one link only, so a router must not forward a packet from or to
/// it, whatever its TTL (RFC 3927, 2.7). A service on the link, such as metadata, may still answer.
#[inline]
#[must_use]
pub const fn is_link_local(address: Ipv4Addr) -> bool {
    address.is_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1812_section_5_3_7_martians() {
        for (address, source, destination) in [
            ([0, 0, 0, 0], true, true),
            ([0, 255, 255, 255], true, true),
            ([1, 0, 0, 0], false, false),
            ([126, 255, 255, 255], false, false),
            ([127, 0, 0, 1], true, true),
            ([128, 0, 0, 0], false, false),
            ([169, 254, 169, 254], false, false),
            ([192, 0, 2, 1], false, false),
            ([223, 255, 255, 255], false, false),
            ([224, 0, 0, 1], true, false),
            ([239, 255, 255, 255], true, false),
            ([240, 0, 0, 0], true, true),
            ([255, 255, 255, 255], true, true),
        ] {
            let address = Ipv4Addr::from(address);
            assert_eq!(is_martian_source(address), source, "{address}");
            assert_eq!(is_martian_destination(address), destination, "{address}");
        }
    }

    #[test]
    fn rfc3927_section_2_7_link_local() {
        assert!(is_link_local(Ipv4Addr::new(169, 254, 0, 1)));
        assert!(!is_link_local(Ipv4Addr::new(169, 253, 255, 255)));
    }
}
