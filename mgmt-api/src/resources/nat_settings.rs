//! `nat-settings`: how long sessions last, what is answered, and what a tenant may use. There is one, named `default`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::{Key, Kind, NatLimitsSpec, Spec};
use crate::refusal::Refusal;
use crate::state::{Claim, Handle, Staged, StagedTable, State, Table, View};

/// The longest time that can be set: a week.
const MAX_SECONDS: u32 = 604_800;
/// The smallest and the largest block of ports.
const PORT_BLOCKS: std::ops::RangeInclusive<u16> = 16..=4096;

/// The name of the only settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingsKey;

/// A name that is not that of the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the only settings are named default")]
pub struct SettingsKeyError;

const NAME: &str = "default";

impl fmt::Display for SettingsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

impl FromStr for SettingsKey {
    type Err = SettingsKeyError;

    fn from_str(text: &str) -> Result<Self, SettingsKeyError> {
        (text == NAME).then_some(Self).ok_or(SettingsKeyError)
    }
}

impl Serialize for SettingsKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Key for SettingsKey {
    fn to_bytes(&self, bytes: &mut Vec<u8>) {
        bytes.extend(NAME.as_bytes());
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes == NAME.as_bytes()).then_some(Self)
    }
}

/// Settings of address translation as written in the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = NatSettings)]
pub struct NatSettingsSpec {
    /// `default`; in a write it may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// How long what is not used lasts, in seconds.
    pub timeouts: NatTimeouts,
    /// Whether timeouts may be shorter than the RFCs demand: connections that are idle may break.
    #[schema(default = false)]
    pub short_timeouts: bool,
    /// Whether packets from outside keep a session of UDP or ICMP alive (RFC 4787, REQ-6). Those of TCP do.
    #[schema(default = true)]
    pub inbound_refresh: bool,
    /// What becomes of a SYN from outside that nobody waits for.
    pub unsolicited_syn: UnsolicitedSyn,
    /// Limits of each tenant that has none of its own in `tenants`.
    pub limits: NatLimitsSpec,
    /// Ports are dealt to stations in blocks of so many, a power of two from 16 to 4096, so that the log has a line for each
    /// block; 0: one by one.
    #[schema(default = 0, maximum = 4096)]
    pub port_block: u16,
}

impl Default for NatSettingsSpec {
    fn default() -> Self {
        NatSettings::default().to_spec()
    }
}

/// How long what is not used lasts, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NatTimeouts {
    /// Connections (RFC 5382, REQ-5: at least 2 hours 4 minutes).
    #[schema(minimum = 1, maximum = 604_800, default = 7440)]
    pub tcp_established: u32,
    /// Connections that open or close, or have been reset (RFC 5382, REQ-5: at least 4 minutes).
    #[schema(minimum = 1, maximum = 604_800, default = 240)]
    pub tcp_transitory: u32,
    /// UDP (RFC 4787, REQ-5: at least 2 minutes).
    #[schema(minimum = 1, maximum = 604_800, default = 300)]
    pub udp: u32,
    /// Queries of ICMP (RFC 5508, REQ-2: at least 60 s).
    #[schema(minimum = 1, maximum = 604_800, default = 60)]
    pub icmp: u32,
    /// How long a port is not given to another station after its last session (RFC 6888, REQ-8: 120 s).
    #[schema(maximum = 604_800, default = 120)]
    pub rest: u32,
    /// How long fragments wait for their first one, and are known by it.
    #[schema(minimum = 1, maximum = 604_800, default = 5)]
    pub fragment: u32,
}

impl Default for NatTimeouts {
    fn default() -> Self {
        Self {
            tcp_established: 7440,
            tcp_transitory: 240,
            udp: 300,
            icmp: 60,
            rest: 120,
            fragment: 5,
        }
    }
}

/// What becomes of a SYN from outside that nobody waits for (RFC 5382, REQ-4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnsolicitedSyn {
    /// It is dropped.
    #[default]
    Silent,
    /// It waits for six seconds whether a SYN goes the other way; if not, its sender is told.
    Unreachable,
}

/// Limits of one tenant (RFC 6888, REQ-4 and REQ-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = NatLimitsInForce)]
pub struct NatLimits {
    /// Sessions at a time.
    pub sessions: u32,
    /// New sessions in a second.
    pub sessions_per_second: u32,
    /// Ports of outside addresses at a time.
    pub ports: u32,
    /// Fragmented datagrams and held packets at a time.
    pub fragments: u32,
}

impl Default for NatLimits {
    fn default() -> Self {
        Self {
            sessions: 1 << 18,
            sessions_per_second: 50_000,
            ports: 64_512,
            fragments: 256,
        }
    }
}

/// Settings of address translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatSettings {
    /// How long what is not used lasts.
    pub timeouts: NatTimeouts,
    /// Whether timeouts may be shorter than the RFCs demand.
    pub short_timeouts: bool,
    /// Whether packets from outside keep a session of UDP or ICMP alive.
    pub inbound_refresh: bool,
    /// What becomes of a SYN from outside that nobody waits for.
    pub unsolicited_syn: UnsolicitedSyn,
    /// Limits of tenants that have none of their own.
    pub limits: NatLimits,
    /// Ports in a block: 0, or a power of two from 16 to 4096.
    pub port_block: u16,
}

impl Default for NatSettings {
    fn default() -> Self {
        Self {
            timeouts: NatTimeouts::default(),
            short_timeouts: false,
            inbound_refresh: true,
            unsolicited_syn: UnsolicitedSyn::default(),
            limits: NatLimits::default(),
            port_block: 0,
        }
    }
}

impl NatSettings {
    fn to_spec(self) -> NatSettingsSpec {
        let NatLimits {
            sessions,
            sessions_per_second,
            ports,
            fragments,
        } = self.limits;
        NatSettingsSpec {
            id: None,
            timeouts: self.timeouts,
            short_timeouts: self.short_timeouts,
            inbound_refresh: self.inbound_refresh,
            unsolicited_syn: self.unsolicited_syn,
            limits: NatLimitsSpec {
                sessions: Some(sessions),
                sessions_per_second: Some(sessions_per_second),
                ports: Some(ports),
                fragments: Some(fragments),
            },
            port_block: self.port_block,
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        let NatTimeouts {
            tcp_established,
            tcp_transitory,
            udp,
            icmp,
            rest,
            fragment,
        } = self.timeouts;
        // With the least that an RFC says must be.
        let timeouts = [
            (
                "tcp_established",
                tcp_established,
                1,
                Some((7440, "RFC 5382, REQ-5")),
            ),
            (
                "tcp_transitory",
                tcp_transitory,
                1,
                Some((240, "RFC 5382, REQ-5")),
            ),
            ("udp", udp, 1, Some((120, "RFC 4787, REQ-5"))),
            ("icmp", icmp, 1, Some((60, "RFC 5508, REQ-2"))),
            // RFC 6888, REQ-8 leaves it to us when nobody minds late packets.
            ("rest", rest, 0, None),
            ("fragment", fragment, 1, None),
        ];
        for (name, seconds, least, demanded) in timeouts {
            let field = || format!("/timeouts/{name}");
            if !(least..=MAX_SECONDS).contains(&seconds) {
                let message = format!("give {least} to {MAX_SECONDS} seconds, not {seconds}");
                return Err(Refusal::invalid(field(), message));
            }
            if let Some((least, by)) = demanded
                && seconds < least
                && !self.short_timeouts
            {
                let message = format!(
                    "{seconds} seconds are fewer than the {least} that {by} demands, and break what is idle for longer: give \
                     {least} or more, or `short_timeouts` true if that is meant"
                );
                return Err(Refusal::invalid(field(), message));
            }
        }
        let block = self.port_block;
        if block != 0 && !(PORT_BLOCKS.contains(&block) && block.is_power_of_two()) {
            let message = format!(
                "a block of ports is a power of two from {} to {}, or 0 for none, not {block}",
                PORT_BLOCKS.start(),
                PORT_BLOCKS.end()
            );
            return Err(Refusal::invalid("/port_block", message));
        }
        Ok(())
    }
}

impl Spec for NatSettingsSpec {
    fn id(&mut self) -> &mut Option<String> {
        &mut self.id
    }
}

impl Kind for NatSettings {
    const NAME: &'static str = "nat-settings";
    const TAG: u8 = 10;
    const SINGULAR: &'static str = "settings of address translation";
    const ABOUT: &'static str =
        "Settings of address translation, named `default`: timeouts, limits, what is answered.";

    type Key = SettingsKey;
    type Order = SettingsKey;
    type Spec = NatSettingsSpec;

    fn resolve(
        _key: &SettingsKey,
        spec: NatSettingsSpec,
        _view: View<'_>,
    ) -> Result<Self, Refusal> {
        let settings = Self {
            timeouts: spec.timeouts,
            short_timeouts: spec.short_timeouts,
            inbound_refresh: spec.inbound_refresh,
            unsolicited_syn: spec.unsolicited_syn,
            limits: spec.limits.over(NatLimits::default()),
            port_block: spec.port_block,
        };
        settings.check()?;
        Ok(settings)
    }

    fn spec(&self, _view: View<'_>) -> NatSettingsSpec {
        self.to_spec()
    }

    fn key(&self, _view: View<'_>) -> SettingsKey {
        SettingsKey
    }

    fn order(&self) -> SettingsKey {
        SettingsKey
    }

    fn order_of<'k>(key: &'k SettingsKey, _view: View<'_>) -> Option<Cow<'k, SettingsKey>> {
        Some(Cow::Borrowed(key))
    }

    fn claims(&self, _own: Handle<Self>, _claim: &mut dyn FnMut(Claim)) {}

    fn table(state: &State) -> &Table<Self> {
        &state.nat_settings
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.nat_settings
    }
    fn staged(staged: &Staged) -> &StagedTable<Self> {
        &staged.nat_settings
    }
    fn staged_mut(staged: &mut Staged) -> &mut StagedTable<Self> {
        &mut staged.nat_settings
    }
}
