//! The form of a network on the wire between hosts: VXLAN, a VLAN, or the untagged frames of an interface.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attachment::find;
use super::{Attachment, Interface, Tag, Tpid, Vid};
use crate::id::Id;
use crate::refusal::Refusal;
use crate::state::{Handle, View};

/// A segment as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "kebab-case", try_from = "SegmentFields")]
#[schema(as = Segment)]
pub enum SegmentSpec {
    /// VXLAN between VTEPs.
    Vxlan {
        /// The VXLAN network identifier.
        vni: Vni,
    },
    /// A VLAN of an interface.
    Vlan {
        /// The interface.
        interface: Id,
        /// The VLAN on it.
        vlan: Vid,
    },
    /// The untagged frames of an interface.
    Flat {
        /// The interface.
        interface: Id,
    },
}

/// The same with every field in sight: serde reads a tagged enum by way of a buffer, which loses the path
/// of the field at fault.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentFields {
    #[serde(rename = "type")]
    kind: SegmentType,
    vni: Option<Vni>,
    interface: Option<Id>,
    vlan: Option<Vid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SegmentType {
    Vxlan,
    Vlan,
    Flat,
}

impl TryFrom<SegmentFields> for SegmentSpec {
    type Error = &'static str;

    fn try_from(fields: SegmentFields) -> Result<Self, &'static str> {
        let SegmentFields {
            kind,
            vni,
            interface,
            vlan,
        } = fields;
        match (kind, vni, interface, vlan) {
            (SegmentType::Vxlan, Some(vni), None, None) => Ok(Self::Vxlan { vni }),
            (SegmentType::Vlan, None, Some(interface), Some(vlan)) => {
                Ok(Self::Vlan { interface, vlan })
            }
            (SegmentType::Flat, None, Some(interface), None) => Ok(Self::Flat { interface }),
            (SegmentType::Vxlan, ..) => Err("a segment of type vxlan has `vni` and nothing else"),
            (SegmentType::Vlan, ..) => {
                Err("a segment of type vlan has `interface` and `vlan` and nothing else")
            }
            (SegmentType::Flat, ..) => Err(
                "a segment of type flat has `interface` and nothing else: its frames are untagged",
            ),
        }
    }
}

/// A VXLAN network identifier: 1 to 16777215.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "u64", into = "u32")]
#[schema(value_type = u32, minimum = 1, maximum = 16_777_215)]
pub struct Vni(u32);

impl Vni {
    /// The largest: 24 bits (RFC 7348 §5).
    pub const MAX: u32 = (1 << 24) - 1;

    /// The identifier, if it is in range.
    #[must_use]
    pub fn new(vni: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&vni).then_some(Self(vni))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u64> for Vni {
    type Error = String;

    fn try_from(vni: u64) -> Result<Self, String> {
        u32::try_from(vni)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| format!("a VNI is 1 to {}, not {vni}", Self::MAX))
    }
}

impl From<Vni> for u32 {
    fn from(vni: Vni) -> Self {
        vni.get()
    }
}

/// The form of a network on the wire between hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// VXLAN between VTEPs.
    Vxlan(Vni),
    /// A VLAN of an interface.
    Vlan {
        /// The interface.
        interface: Handle<Interface>,
        /// The VLAN on it, with an 802.1Q tag.
        vid: Vid,
    },
    /// The untagged frames of an interface.
    Flat {
        /// The interface.
        interface: Handle<Interface>,
    },
}

impl Segment {
    pub(super) fn resolve(spec: &SegmentSpec, view: View<'_>) -> Result<Self, Refusal> {
        Ok(match spec {
            SegmentSpec::Vxlan { vni } => Self::Vxlan(*vni),
            SegmentSpec::Vlan { interface, vlan } => {
                let interface = find::<Interface>(interface, view, "/segment/interface")?;
                Self::Vlan {
                    interface,
                    vid: *vlan,
                }
            }
            SegmentSpec::Flat { interface } => Self::Flat {
                interface: find::<Interface>(interface, view, "/segment/interface")?,
            },
        })
    }

    pub(super) fn spec(self, view: View<'_>) -> SegmentSpec {
        match self {
            Self::Vxlan(vni) => SegmentSpec::Vxlan { vni },
            Self::Vlan { interface, vid } => SegmentSpec::Vlan {
                interface: view.id_of(interface),
                vlan: vid,
            },
            Self::Flat { interface } => SegmentSpec::Flat {
                interface: view.id_of(interface),
            },
        }
    }

    /// Where a VLAN or flat segment's frames enter and leave; `None` for VXLAN.
    #[must_use]
    pub fn attachment(self) -> Option<Attachment> {
        match self {
            Self::Vxlan(_) => None,
            Self::Vlan { interface, vid } => Some(Attachment {
                interface,
                tag: Some(Tag {
                    vid,
                    tpid: Tpid::Dot1Q,
                }),
            }),
            Self::Flat { interface } => Some(Attachment {
                interface,
                tag: None,
            }),
        }
    }
}
