//! Where frames enter and leave on this box: an interface, with an 802.1Q or 802.1ad tag or without.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Interface, Kind};
use crate::id::Id;
use crate::refusal::{Code, Refusal};
use crate::state::{Handle, View};

/// A VLAN identifier: 1 to 4094 (0 and 4095 are reserved, IEEE 802.1Q §9.6).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "u64", into = "u16")]
#[schema(value_type = u16, minimum = 1, maximum = 4094)]
pub struct Vid(NonZeroU16);

impl Vid {
    /// The identifier, if it is in range.
    #[must_use]
    pub fn new(vid: u16) -> Option<Self> {
        NonZeroU16::new(vid)
            .filter(|vid| vid.get() <= 4094)
            .map(Self)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u64> for Vid {
    type Error = String;

    fn try_from(vid: u64) -> Result<Self, String> {
        u16::try_from(vid)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| format!("a VLAN id is 1 to 4094, not {vid}"))
    }
}

impl From<Vid> for u16 {
    fn from(vid: Vid) -> Self {
        vid.get()
    }
}

/// The EtherType that announces a VLAN tag.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
)]
pub enum Tpid {
    /// Customer tag, 0x8100.
    #[default]
    #[serde(rename = "802.1q")]
    Dot1Q,
    /// Service tag, 0x88a8.
    #[serde(rename = "802.1ad")]
    Dot1Ad,
}

impl Tpid {
    /// The EtherType.
    #[must_use]
    pub fn ethertype(self) -> u16 {
        match self {
            Self::Dot1Q => 0x8100,
            Self::Dot1Ad => 0x88a8,
        }
    }

    /// For documents, which leave the default out.
    pub(crate) fn unless_default(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// A VLAN tag on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// The VLAN.
    pub vid: Vid,
    /// The tag's EtherType.
    pub tpid: Tpid,
}

/// An interface and the tag that frames carry there (`None`: untagged).
///
/// Each belongs to one network or to the underlay, never to two. Nor may a VLAN id be used on an interface with both tag
/// types: drivers that take tags off (`net_af_packet`) hand every tag up as 802.1Q, and the two could not be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attachment {
    /// The interface.
    pub interface: Handle<Interface>,
    /// The outermost tag of frames on it.
    pub tag: Option<Tag>,
}

impl Attachment {
    /// Resolves the fields `interface`, `vlan` and `tpid`, which stand under the pointer `at`.
    pub(crate) fn resolve(
        interface: &Id,
        vlan: Option<Vid>,
        tpid: Option<Tpid>,
        view: View<'_>,
        at: &str,
    ) -> Result<Self, Refusal> {
        let tag = match (vlan, tpid) {
            (Some(vid), tpid) => Some(Tag {
                vid,
                tpid: tpid.unwrap_or_default(),
            }),
            (None, None) => None,
            (None, Some(_)) => {
                let message = "a tag type without a tag: give `vlan` too, or leave `tpid` out";
                return Err(Refusal::invalid(format!("{at}/tpid"), message));
            }
        };
        let interface = find::<Interface>(interface, view, &format!("{at}/interface"))?;
        Ok(Self { interface, tag })
    }

    /// The same interface and VLAN with the other tag type, which may not be in use beside this one.
    pub(crate) fn with_other_tpid(self) -> Option<Self> {
        let Tag { vid, tpid } = self.tag?;
        let tpid = match tpid {
            Tpid::Dot1Q => Tpid::Dot1Ad,
            Tpid::Dot1Ad => Tpid::Dot1Q,
        };
        let tag = Some(Tag { vid, tpid });
        Some(Self { tag, ..self })
    }

    /// As a sentence names it: `interface eth1, VLAN 100`.
    pub(crate) fn describe(self, view: View<'_>) -> String {
        let interface = view.id_of(self.interface);
        match self.tag {
            None => format!("interface {interface}, untagged"),
            Some(Tag {
                vid,
                tpid: Tpid::Dot1Q,
            }) => {
                format!("interface {interface}, VLAN {}", vid.get())
            }
            Some(Tag {
                vid,
                tpid: Tpid::Dot1Ad,
            }) => {
                format!("interface {interface}, 802.1ad VLAN {}", vid.get())
            }
        }
    }
}

/// Looks up a reference from the field `at`.
pub(super) fn find<K: Kind>(key: &K::Key, view: View<'_>, at: &str) -> Result<Handle<K>, Refusal> {
    view.find::<K>(key).ok_or_else(|| {
        let (name, kind) = (K::NAME, K::SINGULAR);
        let message = format!(
            "there is no {kind} {key}: create {name}/{key} first or in the same transaction"
        );
        Refusal::new(Code::UnknownReference, message).at(at)
    })
}
