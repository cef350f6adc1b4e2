//! Packet in, packet out, and what is due when.

use proptest::prelude::*;
use vtepd_wire::craft::{self, hex};
use vtepd_wire::icmpv6::ROUTER_SOLICITATION;
use vtepd_wire::nd::router::{ALL_ROUTERS, RouterHeader};

use super::*;

const VM: Mac = Mac([0xfa, 0x16, 0x3e, 0x9a, 0xb7, 0xd4]);
const VM_LINK_LOCAL: &str = "fe80::f816:3eff:fe9a:b7d4";
const GATEWAY: Mac = Mac([0xfa, 0x16, 0x3e, 0x5b, 0x89, 0x14]);

fn subnet(prefix: &str, mode: AddressMode) -> Subnet {
    Subnet {
        prefix: prefix.parse().unwrap(),
        mode,
        valid_seconds: 86400,
        preferred_seconds: 14400,
    }
}

fn link(subnets: &[Subnet]) -> Link {
    Link {
        mac: GATEWAY,
        mtu: 1450,
        is_default_router: true,
        subnets: subnets.to_vec(),
        routes: Vec::new(),
        dns: vec!["2001:db8::53".parse().unwrap()],
        search: Vec::new(),
    }
}

fn solicitation(source: &str) -> Vec<u8> {
    let option: &[u8] = match source {
        "::" => &[],
        _ => &[1, 1, 0xfa, 0x16, 0x3e, 0x9a, 0xb7, 0xd4],
    };
    craft::ethernet(Mac::multicast_of_v6(ALL_ROUTERS), VM)
        .ipv6(source, ALL_ROUTERS)
        .ttl(nd::HOP_LIMIT)
        .icmp(ROUTER_SOLICITATION, 0, 0, option)
}

/// The fixed part and the options of an advertisement that a host would believe.
fn believed(frame: &[u8]) -> (RouterHeader, Vec<u8>) {
    assert_eq!(craft::verify(frame), Ok(()));
    let (ip, message) = ipv6::Header::ref_from_prefix(&frame[14..]).unwrap();
    assert_eq!(ip.source_addr(), ipv6::link_local(GATEWAY));
    let header = router::check_router_advertisement(ip, message).unwrap();
    (*header, message[RouterHeader::LEN..].to_vec())
}

/// Length, A flag and M and O flags of the one prefix.
fn prefix_and_flags(mode: AddressMode) -> (u8, bool, u8) {
    let frame = link(&[subnet("2001:db8:1::/64", mode)]).advertisement();
    let (header, options) = believed(&frame.unwrap());
    let option = options.chunks(8).position(|unit| unit[0] == 3).unwrap() * 8;
    let (prefix, _) = PrefixInformation::ref_from_prefix(&options[option..]).unwrap();
    (prefix.prefix_len, prefix.is_autonomous(), header.flags)
}

#[test]
fn rfc4861_section_4_2_advertisement_byte_for_byte() {
    let slaac = link(&[subnet("2001:db8:1::1/64", AddressMode::Slaac)]);
    let frame = slaac.advertisement().unwrap();
    let expected = hex("333300000001 fa163e5b8914 86dd
        60000000 0058 3a ff fe80000000000000f8163efffe5b8914 ff020000000000000000000000000001
        86 00 5fcf 40 00 0708 00000000 00000000
        01 01 fa163e5b8914
        05 01 0000 000005aa
        03 04 40 c0 00015180 00003840 00000000 20010db8000100000000000000000000
        19 03 0000 00000708 20010db8000000000000000000000053");
    assert_eq!(frame, expected);
}

#[test]
fn rfc4861_section_4_6_2_modes_are_the_flags() {
    assert_eq!(prefix_and_flags(AddressMode::Slaac), (64, true, 0));
    assert_eq!(
        prefix_and_flags(AddressMode::DhcpStateless),
        (64, true, FLAG_OTHER)
    );
    let both = FLAG_MANAGED | FLAG_OTHER;
    assert_eq!(
        prefix_and_flags(AddressMode::DhcpStateful),
        (64, false, both)
    );
    let silent = link(&[subnet("2001:db8:1::/64", AddressMode::None)]);
    assert_eq!(silent.advertisement(), None);
    assert_eq!(silent.farewell(), None);
    assert_eq!(
        silent.answer(&solicitation(VM_LINK_LOCAL)),
        Err(Ignored::NothingToTell)
    );
    assert_eq!(link(&[]).advertisement(), None);
}

#[test]
fn rfc4862_section_5_5_3_only_64_bits_make_addresses() {
    let frame = link(&[subnet("2001:db8:1::/80", AddressMode::Slaac)]).advertisement();
    let (_, options) = believed(&frame.unwrap());
    let (prefix, _) = PrefixInformation::ref_from_prefix(&options[16..]).unwrap();
    assert!(!prefix.is_autonomous());
}

#[test]
fn rfc4861_section_6_2_6_solicited_ones_go_to_who_asks() {
    let link = link(&[subnet("2001:db8:1::/64", AddressMode::Slaac)]);
    let reply = link.answer(&solicitation(VM_LINK_LOCAL)).unwrap();
    believed(&reply);
    assert_eq!(reply[..6], VM.0);
    assert_eq!(
        reply[38..54],
        VM_LINK_LOCAL.parse::<Ipv6Addr>().unwrap().octets()
    );
    // Who has no address hears what goes to all.
    let reply = link.answer(&solicitation("::")).unwrap();
    assert_eq!(Some(reply), link.advertisement());
}

#[test]
fn rfc4861_section_6_1_1_bad_solicitations_get_no_answer() {
    let link = link(&[subnet("2001:db8:1::/64", AddressMode::Slaac)]);
    let good = solicitation(VM_LINK_LOCAL);
    for length in 0..good.len() {
        assert!(link.answer(&good[..length]).is_err(), "{length}");
    }
    let mut far = good.clone();
    far[14 + 7] = 254;
    assert_eq!(link.answer(&far), Err(Ignored::Malformed(Malformed::Field)));
    let mut broken = good.clone();
    broken[60] ^= 1;
    assert_eq!(
        link.answer(&broken),
        Err(Ignored::Malformed(Malformed::Checksum))
    );
    let tagged = craft::ethernet(GATEWAY, VM)
        .vlan(5)
        .payload(ETHERTYPE_IPV6, &good[14..]);
    assert_eq!(link.answer(&tagged), Err(Ignored::Unexpected));
    let echo = craft::ethernet(GATEWAY, VM)
        .ipv6(VM_LINK_LOCAL, "fe80::1")
        .ttl(255)
        .icmp_echo(1, 1, b"");
    assert_eq!(
        link.answer(&echo),
        Err(Ignored::Malformed(Malformed::Field))
    );
    let other = craft::ethernet(GATEWAY, VM)
        .ipv6(VM_LINK_LOCAL, "fe80::1")
        .udp(1, 2, b"");
    assert_eq!(link.answer(&other), Err(Ignored::Unexpected));
}

#[test]
fn rfc4861_section_6_2_5_the_last_one_ends_the_router() {
    let link = link(&[subnet("2001:db8:1::/64", AddressMode::Slaac)]);
    let (header, options) = believed(&link.farewell().unwrap());
    assert_eq!(
        (header.lifetime.get(), options),
        (0, hex("01 01 fa163e5b8914"))
    );
}

#[test]
fn rfc4191_a_router_that_is_no_default_tells_its_routes() {
    let mut link = link(&[subnet("2001:db8:1::/64", AddressMode::Slaac)]);
    link.is_default_router = false;
    link.routes = vec!["2001:db8:9::/48".parse().unwrap()];
    let (header, options) = believed(&link.advertisement().unwrap());
    assert_eq!(header.lifetime.get(), 0);
    let route = hex("18 03 30 00 00000708 20010db8000900000000000000000000");
    assert!(options.windows(24).any(|at| at == route));
}

#[test]
fn what_does_not_fit_the_mtu_goes_last_to_first() {
    let mut link = link(&[subnet("2001:db8:1::/64", AddressMode::Slaac)]);
    link.routes = vec!["2001:db8:9::/48".parse().unwrap(); 60];
    let (_, options) = believed(&link.advertisement().unwrap());
    assert_eq!(options.len(), 8 + 8 + 32 + 24);
}

#[test]
fn rfc4861_section_6_2_4_three_soon_and_then_now_and_then() {
    for random in [0, 1, 299, 600, u32::MAX] {
        let mut schedule = Schedule::new(1000);
        let mut times = Vec::new();
        for now in 1000..4000 {
            if schedule.is_due(now, random) {
                times.push(now);
            }
        }
        assert_eq!(times[..3], [1000, 1016, 1032]);
        for pair in times[2..].windows(2) {
            assert!((LEAST_INTERVAL..=MOST_INTERVAL).contains(&(pair[1] - pair[0])));
        }
        assert!(times.len() >= 3 + 4);
    }
}

#[test]
fn rfc4861_section_6_2_6_an_answer_to_all_puts_the_next_off() {
    let mut schedule = Schedule::new(0);
    for now in [0, 16, 32] {
        assert!(schedule.is_due(now, 0));
    }
    assert_eq!(schedule.next(), 232);
    schedule.sent_to_all(200, 100);
    assert_eq!(schedule.next(), 500);
    assert!(!schedule.is_due(499, 0));
    schedule.restart(499);
    assert!(schedule.is_due(499, 0));
    assert_eq!(schedule.next(), 515);
}

proptest! {
    #[test]
    fn any_frame_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = link(&[subnet("2001:db8:1::/64", AddressMode::Slaac)]).answer(&bytes);
    }

    #[test]
    fn times_stay_within_their_bounds(now in 0u32..1 << 30, randoms: [u32; 8]) {
        let mut schedule = Schedule::new(now);
        let mut at = now;
        for (count, random) in randoms.into_iter().enumerate() {
            prop_assert!(schedule.is_due(at, random));
            let wait = schedule.next() - at;
            let most = if count < 2 { INITIAL_INTERVAL } else { MOST_INTERVAL };
            prop_assert!(wait <= most && wait >= INITIAL_INTERVAL);
            at = schedule.next();
        }
    }
}
