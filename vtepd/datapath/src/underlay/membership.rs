//! Joining the underlay's multicast groups: the control thread's side of IGMP
//! (RFC 3376; RFC 2236 when the router speaks no newer version) and MLD (RFC 3810).

use core::net::IpAddr;

use vtepd_tables::{InterfaceIndex, Tag};
use vtepd_wire::{IntoBytes, Mac, igmp, mld};

use crate::event::{SmallFrame, small_frame};

/// Unsolicited reports of a join (RFC 3376, section 8.14: the robustness variable).
const REPORTS: u8 = 2;
/// Milliseconds between them (RFC 3376, section 8.11).
const REPORT_INTERVAL_MS: u64 = 1_000;

/// A group that is wanted on an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The interface.
    pub interface: InterfaceIndex,
    /// Its MAC.
    pub mac: Mac,
    /// Its address, of the group's family.
    pub source: IpAddr,
    /// The underlay's tag.
    pub tag: Option<Tag>,
    /// The group.
    pub group: IpAddr,
}

struct Joined {
    member: Member,
    reports_left: u8,
    report_at: u64,
}

/// The groups we are in. Times are milliseconds on any one clock.
#[derive(Default)]
pub struct Membership {
    joined: Vec<Joined>,
}

impl Membership {
    /// Replaces the groups; what must be said at once is returned.
    pub fn set(&mut self, wanted: &[Member], now: u64) -> Vec<(InterfaceIndex, SmallFrame)> {
        let (stay, left): (Vec<_>, Vec<_>) = self
            .joined
            .drain(..)
            .partition(|joined| wanted.contains(&joined.member));
        self.joined = stay;
        for member in wanted {
            if !self.joined.iter().any(|joined| joined.member == *member) {
                self.joined.push(Joined {
                    member: *member,
                    reports_left: REPORTS,
                    report_at: now,
                });
            }
        }
        let leaves = left.iter().filter(|gone| !self.is_joined(&gone.member));
        leaves
            .filter_map(|gone| report(&gone.member, igmp::CHANGE_TO_INCLUDE))
            .collect()
    }

    /// Whether the group is still wanted on the interface, if under another address.
    fn is_joined(&self, member: &Member) -> bool {
        let same =
            |other: &Member| other.interface == member.interface && other.group == member.group;
        self.joined.iter().any(|joined| same(&joined.member))
    }

    /// The reports of joins that are due.
    pub fn reports(&mut self, now: u64) -> Vec<(InterfaceIndex, SmallFrame)> {
        let due = self
            .joined
            .iter_mut()
            .filter(|joined| joined.reports_left > 0 && joined.report_at <= now);
        due.filter_map(|joined| {
            joined.reports_left -= 1;
            joined.report_at = now + REPORT_INTERVAL_MS;
            report(&joined.member, igmp::CHANGE_TO_EXCLUDE)
        })
        .collect()
    }

    /// The answer to a router that asks for `group`, or for all of one family.
    /// It is given at once: delays protect a link of thousands of hosts from
    /// answers all at the same time (RFC 3376, 5.2), and a VTEP is in few groups.
    pub fn answer(
        &self,
        interface: InterfaceIndex,
        group: Option<IpAddr>,
        ipv6: bool,
        version: u8,
    ) -> Vec<(InterfaceIndex, SmallFrame)> {
        let members = self
            .joined
            .iter()
            .map(|joined| &joined.member)
            .filter(|member| {
                member.interface == interface
                    && member.group.is_ipv6() == ipv6
                    && group.is_none_or(|group| group == member.group)
            });
        members
            .filter_map(|member| match (member.source, member.group) {
                (IpAddr::V4(source), IpAddr::V4(group)) if version < 3 => {
                    let frame = igmp::v2_report(member.mac, source, group);
                    Some((member.interface, small_frame(frame.as_bytes(), member.tag)))
                }
                _ => report(member, igmp::MODE_IS_EXCLUDE),
            })
            .collect()
    }
}

fn report(member: &Member, kind: u8) -> Option<(InterfaceIndex, SmallFrame)> {
    let frame = match (member.source, member.group) {
        (IpAddr::V4(source), IpAddr::V4(group)) => small_frame(
            igmp::v3_report(member.mac, source, kind, group).as_bytes(),
            member.tag,
        ),
        (IpAddr::V6(source), IpAddr::V6(group)) => small_frame(
            mld::v2_report(member.mac, source, kind, group).as_bytes(),
            member.tag,
        ),
        _ => return None,
    };
    Some((member.interface, frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vtepd_wire::craft;

    fn member(source: &str, group: &str) -> Member {
        Member {
            interface: InterfaceIndex(3),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            source: source.parse().unwrap(),
            tag: None,
            group: group.parse().unwrap(),
        }
    }

    /// The record types of IGMPv3 reports among frames.
    fn kinds(frames: &[(InterfaceIndex, SmallFrame)]) -> Vec<u8> {
        for (interface, frame) in frames {
            assert_eq!(*interface, InterfaceIndex(3));
            craft::verify(frame).unwrap();
        }
        frames.iter().map(|(_, frame)| frame[14 + 24 + 8]).collect()
    }

    #[test]
    fn a_join_is_reported_twice_and_a_leave_once() {
        let mut membership = Membership::default();
        let wanted = [member("192.0.2.11", "239.1.1.1")];
        assert!(membership.set(&wanted, 0).is_empty());
        assert_eq!(kinds(&membership.reports(0)), [igmp::CHANGE_TO_EXCLUDE]);
        assert!(membership.reports(999).is_empty());
        assert_eq!(kinds(&membership.reports(1000)), [igmp::CHANGE_TO_EXCLUDE]);
        assert!(membership.reports(9000).is_empty());
        assert!(membership.set(&wanted, 9000).is_empty());
        assert!(membership.reports(9000).is_empty(), "nothing changed");
        assert_eq!(
            kinds(&membership.set(&[], 10_000)),
            [igmp::CHANGE_TO_INCLUDE]
        );
    }

    #[test]
    fn queries_are_answered_for_what_they_ask() {
        let mut membership = Membership::default();
        let wanted = [
            member("192.0.2.11", "239.1.1.1"),
            member("192.0.2.11", "239.1.1.2"),
            member("2001:db8::11", "ff05::1"),
        ];
        membership.set(&wanted, 0);
        let here = InterfaceIndex(3);
        assert_eq!(
            kinds(&membership.answer(here, None, false, 3)),
            [igmp::MODE_IS_EXCLUDE; 2]
        );
        assert_eq!(
            membership
                .answer(here, Some(wanted[1].group), false, 3)
                .len(),
            1
        );
        assert_eq!(membership.answer(here, None, true, 2).len(), 1);
        assert!(
            membership
                .answer(InterfaceIndex(4), None, false, 3)
                .is_empty()
        );
        let (_, v2) = membership
            .answer(here, Some(wanted[0].group), false, 2)
            .remove(0);
        assert_eq!(v2[14 + 24], igmp::V2_REPORT);
    }
}
