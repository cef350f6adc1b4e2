//! The small numbers by which tables refer to each other.

use core::fmt;
use core::num::NonZeroU16;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(transparent)]
        pub struct $name(NonZeroU16);

        impl $name {
            /// The largest legal index.
            pub const MAX: u16 = $max;

            /// `None` for 0, which means "none", and above [`MAX`](Self::MAX).
            #[inline]
            pub const fn new(index: u16) -> Option<Self> {
                match NonZeroU16::new(index) {
                    Some(index) if index.get() <= Self::MAX => Some(Self(index)),
                    _ => None,
                }
            }

            /// The number.
            #[inline(always)]
            pub const fn get(self) -> u16 {
                self.0.get()
            }

            /// The number as an array index.
            #[inline(always)]
            pub const fn as_usize(self) -> usize {
                self.0.get() as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

index! {
    /// A network of this daemon. With a MAC it fills a 64-bit key; 0 and
    /// 65535 are left to the tables, which mark vacant slots with them.
    NetworkIndex, u16::MAX - 1
}

index! {
    /// A way out: an access port, a VLAN segment, a remote VTEP, a multicast group.
    AdjacencyIndex, u16::MAX
}

index! {
    /// A VRF: the address space of a router.
    VrfIndex, u16::MAX
}

impl VrfIndex {
    /// One that has no routes: of gateways on an external network that no single router owns.
    pub const NOWHERE: Self = Self(NonZeroU16::MAX);
}

/// An interface of this daemon: the position in the configuration's device list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct InterfaceIndex(pub u8);

impl InterfaceIndex {
    /// Interfaces that there may be.
    pub const COUNT: usize = 256;

    /// The number as an array index.
    #[inline(always)]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for InterfaceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
