//! The one error of this crate's parsers.

use core::fmt;

/// Why bytes are not the header they claim to be.
///
/// The caller adds where: a drop reason names the layer as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// The bytes end before the header does.
    Truncated,
    /// The version field is not that of the protocol the frame announced.
    Version,
    /// A header length field is smaller than the fixed header, or reaches past the packet.
    HeaderLength,
    /// A total or payload length field is smaller than the header, or larger than what arrived.
    TotalLength,
    /// The checksum does not hold.
    Checksum,
    /// An IPv6 extension header out of its place, or more than [`crate::ipv6::MAX_EXTENSIONS`].
    Extension,
    /// An option of length zero, or one that reaches past its header.
    Option,
    /// A field holds a value that the protocol forbids there.
    Field,
}

impl Malformed {
    /// One word for counters and traces.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Version => "version",
            Self::HeaderLength => "header-length",
            Self::TotalLength => "total-length",
            Self::Checksum => "checksum",
            Self::Extension => "extension",
            Self::Option => "option",
            Self::Field => "field",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the packet ends inside a header",
            Self::Version => "the IP version does not match the ethertype",
            Self::HeaderLength => "the header length field is below the minimum or past the packet",
            Self::TotalLength => {
                "the length field is below the header or above what arrived on the wire"
            }
            Self::Checksum => "the checksum does not hold",
            Self::Extension => "an IPv6 extension header is misplaced, or there are too many",
            Self::Option => "an option has length zero or reaches past its header",
            Self::Field => "a field holds a value that the protocol forbids there",
        })
    }
}

impl core::error::Error for Malformed {}
