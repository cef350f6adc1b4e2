//! Where a station lives: behind a remote VTEP, or on an interface of this box.

use super::attachment::find;
use super::{Attachment, Host, Network, Tpid, Vid};
use crate::id::Id;
use crate::refusal::Refusal;
use crate::state::{Claim, Handle, Owner, Place, Used, View};

/// Where frames for a MAC address are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Location {
    /// On another host: behind its VTEP if the network is a VXLAN segment, behind the segment's VLAN otherwise.
    Remote(Handle<Host>),
    /// On this box.
    Local(Attachment),
}

/// The fields that say where, as they stand in a document.
pub(super) struct LocationFields<'a> {
    pub host: Option<&'a Id>,
    pub interface: Option<&'a Id>,
    pub vlan: Option<Vid>,
    pub tpid: Option<Tpid>,
}

impl Location {
    pub(super) fn resolve(fields: &LocationFields<'_>, view: View<'_>) -> Result<Self, Refusal> {
        let local_host = &view.facts().local_host;
        match fields.host.filter(|&host| host != local_host) {
            Some(host) => Self::resolve_remote(host, fields, view),
            None => {
                let interface = fields.interface.ok_or_else(|| {
                    let message = format!(
                        "on this host ({local_host}) it lives on an interface: give `interface` \
                         (and `vlan` if its frames are tagged), or the remote `host` it lives on"
                    );
                    Refusal::invalid("/interface", message)
                })?;
                let at = Attachment::resolve(interface, fields.vlan, fields.tpid, view, "")?;
                Ok(Self::Local(at))
            }
        }
    }

    fn resolve_remote(
        host: &Id,
        fields: &LocationFields<'_>,
        view: View<'_>,
    ) -> Result<Self, Refusal> {
        let local = [
            ("/interface", fields.interface.is_some()),
            ("/vlan", fields.vlan.is_some()),
            ("/tpid", fields.tpid.is_some()),
        ];
        if let Some((field, _)) = local.into_iter().find(|(_, given)| *given) {
            let message = format!(
                "it lives on the remote host {host}, where this host's interfaces mean nothing: \
                 leave out `interface`, `vlan` and `tpid`, or `host`"
            );
            return Err(Refusal::conflict(field, message));
        }
        find::<Host>(host, view, "/host").map(Self::Remote)
    }

    /// What a station of `network` at this place uses.
    pub(super) fn claims(self, network: Handle<Network>, claim: &mut dyn FnMut(Claim)) {
        claim(Claim::Uses(Used::Network(network)));
        match self {
            Self::Remote(host) => {
                claim(Claim::Uses(Used::Host(host)));
                claim(Claim::Member(network, host));
            }
            Self::Local(attachment) => {
                claim(Claim::Uses(Used::Interface(attachment.interface)));
                claim(Claim::Holds(
                    Place::Attachment(attachment),
                    Owner::Network(network),
                ));
            }
        }
    }

    /// The fields again: host, interface, VLAN, tag type.
    pub(super) fn fields(
        self,
        view: View<'_>,
    ) -> (Option<Id>, Option<Id>, Option<Vid>, Option<Tpid>) {
        match self {
            Self::Remote(host) => (Some(view.id_of(host)), None, None, None),
            Self::Local(Attachment { interface, tag }) => (
                None,
                Some(view.id_of(interface)),
                tag.map(|tag| tag.vid),
                tag.and_then(|tag| tag.tpid.unless_default()),
            ),
        }
    }
}
