//! Packet in, packet out. What comes out is compared with bytes written down by hand from RFC 8415, and
//! read by the decoder of another crate.

use dhcproto::Decodable;
use dhcproto::v6::{self, Decoder, DhcpOption, IAAddr, IANA, OptionCode};
use proptest::prelude::*;
use vtepd_wire::craft::{self, hex};
use vtepd_wire::{FromBytes, Malformed, ethernet, udp};

use super::*;

const VM: Mac = Mac([0xfa, 0x16, 0x3e, 0x9a, 0xb7, 0xd4]);
const GATEWAY: Mac = Mac([0xfa, 0x16, 0x3e, 0x5b, 0x89, 0x14]);
const VM_LINK_LOCAL: &str = "fe80::f816:3eff:fe9a:b7d4";
const ADDRESS: &str = "2001:db8:1::9";

const CLIENT: &str = "0001 000e 000100012f1cd30efa163e9ab7d4";
const SERVER: &str = "0002 000a 00030001fa163e5b8914";
/// An association without an address, number 0x3e9ab7d4.
const EMPTY: &str = "0003 000c 3e9ab7d4 00000000 00000000";
/// The same with the port's address.
const WITH_ADDRESS: &str = "0003 0028 3e9ab7d4 00000000 00000000
    0005 0018 20010db8000100000000000000000009 00000000 00000000";
/// The same with another address of the subnet.
const WITH_OTHER: &str = "0003 0028 3e9ab7d4 00000000 00000000
    0005 0018 20010db800010000000000000000dead 00000000 00000000";
/// The same with an address of another network.
const FROM_ELSEWHERE: &str = "0003 0028 3e9ab7d4 00000000 00000000
    0005 0018 20010db8000900000000000000000009 00000000 00000000";
const RAPID_COMMIT: &str = "000e 0000";

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;
const INFORMATION_REQUEST: u8 = 11;

fn own() -> Ipv6Addr {
    ADDRESS.parse().unwrap()
}

fn lease() -> Lease6 {
    Lease6 {
        client_mac: VM,
        server_mac: GATEWAY,
        address: Some("2001:db8:1::9/64".parse().unwrap()),
        dns: vec!["2001:db8::53".parse().unwrap()],
        search: vec!["example.org".into(), "not..one".into()],
        preferred_seconds: 14400,
        valid_seconds: 86400,
        options: Vec::new(),
    }
}

fn stateless() -> Lease6 {
    Lease6 {
        address: None,
        ..lease()
    }
}

fn payload(kind: u8, options: &[&str]) -> Vec<u8> {
    [vec![kind, 0x11, 0x22, 0x33], hex(&options.concat())].concat()
}

fn multicast(payload: &[u8]) -> Vec<u8> {
    craft::ethernet(Mac::multicast_of_v6(V6_SERVERS), VM)
        .ipv6(VM_LINK_LOCAL, V6_SERVERS)
        .udp(546, 547, payload)
}

fn unicast(payload: &[u8]) -> Vec<u8> {
    craft::ethernet(GATEWAY, VM)
        .ipv6(VM_LINK_LOCAL, ipv6::link_local(GATEWAY))
        .udp(546, 547, payload)
}

/// What was done, and the answer as another decoder reads it.
fn answered(frame: &[u8], lease: &Lease6) -> (Kind, v6::Message) {
    let outcome = serve(frame, lease).unwrap();
    let reply = outcome.reply.unwrap();
    assert_eq!(craft::verify(&reply), Ok(()));
    let (link, rest) = ethernet::Header::ref_from_prefix(&reply).unwrap();
    let (ip, rest) = ipv6::Header::ref_from_prefix(rest).unwrap();
    let (udp, payload) = udp::Header::ref_from_prefix(rest).unwrap();
    assert_eq!((link.source, link.destination), (GATEWAY, VM));
    assert_eq!(ip.source_addr(), ipv6::link_local(GATEWAY));
    assert_eq!(ip.destination_addr().to_string(), VM_LINK_LOCAL);
    assert_eq!((udp.source.get(), udp.destination.get()), (547, 546));
    let message = v6::Message::decode(&mut Decoder::new(payload)).unwrap();
    assert_eq!(message.xid(), [0x11, 0x22, 0x33]);
    let duid = hex("00030001fa163e5b8914");
    assert_eq!(
        get(&message, OptionCode::ServerId),
        Some(&DhcpOption::ServerId(duid))
    );
    (outcome.kind, message)
}

fn asked(kind: u8, options: &[&str]) -> (Kind, v6::Message) {
    answered(&multicast(&payload(kind, options)), &lease())
}

fn ignored(kind: u8, options: &[&str]) -> Ignored {
    serve(&multicast(&payload(kind, options)), &lease()).unwrap_err()
}

fn get(message: &v6::Message, code: OptionCode) -> Option<&DhcpOption> {
    message.opts().get(code)
}

fn kind_byte(message: &v6::Message) -> u8 {
    message.msg_type().into()
}

/// The address association that is answered; there is one.
fn association(message: &v6::Message) -> &IANA {
    match message.opts().get_all(OptionCode::IANA) {
        Some([DhcpOption::IANA(association)]) => association,
        other => panic!("{other:?}"),
    }
}

/// Its addresses with their two lifetimes, by address.
fn lent(association: &IANA) -> Vec<(Ipv6Addr, u32, u32)> {
    let addresses = association.opts.iter().filter_map(|option| match option {
        DhcpOption::IAAddr(IAAddr {
            addr,
            preferred_life,
            valid_life,
            ..
        }) => Some((*addr, *preferred_life, *valid_life)),
        _ => None,
    });
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort_unstable();
    addresses
}

fn status(option: Option<&DhcpOption>) -> Option<Status> {
    match option {
        Some(DhcpOption::StatusCode(code)) => Some(code.status),
        _ => None,
    }
}

fn association_status(message: &v6::Message) -> Option<Status> {
    status(association(message).opts.get(OptionCode::StatusCode))
}

fn message_status(message: &v6::Message) -> Option<Status> {
    status(get(message, OptionCode::StatusCode))
}

#[test]
fn rfc8415_section_18_3_9_solicit_and_advertise_byte_for_byte() {
    let solicit = payload(
        SOLICIT,
        &[CLIENT, "0006 0004 0017 0018 0008 0002 0000", EMPTY],
    );
    let outcome = serve(&multicast(&solicit), &lease()).unwrap();
    assert_eq!(outcome.kind, Kind::Offered);
    let expected = hex("02 112233
        0001 000e 000100012f1cd30efa163e9ab7d4
        0002 000a 00030001fa163e5b8914
        0003 0028 3e9ab7d4 00001c20 00002d00
             0005 0018 20010db8000100000000000000000009 00003840 00015180
        0007 0001 ff
        0017 0010 20010db8000000000000000000000053
        0018 000d 076578616d706c65036f726700");
    let reply = outcome.reply.unwrap();
    assert_eq!(reply[62..], expected);
    assert_eq!(
        reply[..54],
        hex("fa163e9ab7d4 fa163e5b8914 86dd 60000000 0082 11 40
             fe80000000000000f8163efffe5b8914 fe80000000000000f8163efffe9ab7d4")
    );
}

#[test]
fn rfc8415_section_18_3_1_rapid_commit() {
    let (kind, reply) = asked(SOLICIT, &[CLIENT, RAPID_COMMIT, EMPTY]);
    assert_eq!((kind, kind_byte(&reply)), (Kind::Leased, REPLY));
    assert_eq!(
        get(&reply, OptionCode::RapidCommit),
        Some(&DhcpOption::RapidCommit)
    );
    assert_eq!(lent(association(&reply)), [(own(), 14400, 86400)]);
    // Nothing is committed where there is nothing to lend.
    let solicit = multicast(&payload(SOLICIT, &[CLIENT, RAPID_COMMIT, EMPTY]));
    let (kind, advertise) = answered(&solicit, &stateless());
    assert_eq!((kind, kind_byte(&advertise)), (Kind::Refused, ADVERTISE));
    assert_eq!(association_status(&advertise), Some(Status::NoAddrsAvail));
    assert_eq!(get(&advertise, OptionCode::RapidCommit), None);
}

#[test]
fn rfc8415_section_18_3_2_request() {
    for wanted in [EMPTY, WITH_ADDRESS] {
        let (kind, reply) = asked(REQUEST, &[CLIENT, SERVER, wanted]);
        assert_eq!((kind, kind_byte(&reply)), (Kind::Leased, REPLY));
        assert_eq!(lent(association(&reply)), [(own(), 14400, 86400)]);
        assert_eq!(
            (association(&reply).t1, association(&reply).t2),
            (7200, 11520)
        );
        assert_eq!(association(&reply).id, 0x3e9a_b7d4);
    }
    let (kind, reply) = asked(REQUEST, &[CLIENT, SERVER, FROM_ELSEWHERE]);
    assert_eq!(
        (kind, association_status(&reply)),
        (Kind::Refused, Some(Status::NotOnLink))
    );
    assert_eq!(lent(association(&reply)), []);
}

#[test]
fn rfc8415_section_18_3_4_and_5_renew_and_rebind_end_other_addresses() {
    let ended = "2001:db8:1::dead".parse().unwrap();
    for (kind, server) in [(RENEW, SERVER), (REBIND, "")] {
        let (outcome, reply) = asked(kind, &[CLIENT, server, WITH_ADDRESS]);
        assert_eq!(
            (outcome, lent(association(&reply))),
            (Kind::Leased, vec![(own(), 14400, 86400)])
        );
        let (_, reply) = asked(kind, &[CLIENT, server, WITH_OTHER]);
        assert_eq!(
            lent(association(&reply)),
            [(own(), 14400, 86400), (ended, 0, 0)]
        );
        let frame = multicast(&payload(kind, &[CLIENT, server, WITH_ADDRESS]));
        let (outcome, reply) = answered(&frame, &stateless());
        assert_eq!(outcome, Kind::Refused);
        assert_eq!(association_status(&reply), Some(Status::NoBinding));
    }
}

#[test]
fn rfc8415_section_18_3_3_confirm() {
    let (kind, reply) = asked(CONFIRM, &[CLIENT, WITH_ADDRESS]);
    assert_eq!(
        (kind, message_status(&reply)),
        (Kind::Confirmed, Some(Status::Success))
    );
    for other in [FROM_ELSEWHERE, WITH_OTHER] {
        let (kind, reply) = asked(CONFIRM, &[CLIENT, WITH_ADDRESS, other]);
        assert_eq!(
            (kind, message_status(&reply)),
            (Kind::Refused, Some(Status::NotOnLink))
        );
    }
    assert_eq!(ignored(CONFIRM, &[CLIENT, EMPTY]), Ignored::NothingToTell);
    let frame = multicast(&payload(CONFIRM, &[CLIENT, WITH_ADDRESS]));
    assert_eq!(serve(&frame, &stateless()), Err(Ignored::NothingToTell));
}

#[test]
fn rfc8415_section_18_3_7_and_8_release_and_decline() {
    for (kind, expected) in [
        (RELEASE, Kind::Released(own().into())),
        (DECLINE, Kind::Declined(own().into())),
    ] {
        let (outcome, reply) = asked(kind, &[CLIENT, SERVER, WITH_ADDRESS]);
        assert_eq!(
            (outcome, message_status(&reply)),
            (expected, Some(Status::Success))
        );
        assert_eq!(get(&reply, OptionCode::IANA), None);
        let (outcome, reply) = asked(kind, &[CLIENT, SERVER, WITH_OTHER]);
        assert_eq!(
            (outcome, message_status(&reply)),
            (Kind::Refused, Some(Status::Success))
        );
        assert_eq!(association_status(&reply), Some(Status::NoBinding));
    }
}

#[test]
fn rfc8415_section_18_3_6_information_request() {
    for lease in [lease(), stateless()] {
        let ask =
            |options: &[&str]| answered(&multicast(&payload(INFORMATION_REQUEST, options)), &lease);
        let (kind, reply) = ask(&[]);
        assert_eq!((kind, kind_byte(&reply)), (Kind::Informed, REPLY));
        assert_eq!(get(&reply, OptionCode::ClientId), None);
        assert!(get(&reply, OptionCode::DomainNameServers).is_some());
        let (_, reply) = ask(&[CLIENT, SERVER, "0006 0004 0018 0020"]);
        assert!(get(&reply, OptionCode::ClientId).is_some());
        assert_eq!(
            get(&reply, OptionCode::DomainNameServers),
            None,
            "not asked for"
        );
        assert!(get(&reply, OptionCode::DomainSearchList).is_some());
        let Some(DhcpOption::Unknown(time)) = get(&reply, OptionCode::InformationRefreshTime)
        else {
            panic!("no refresh time")
        };
        assert_eq!(time.data(), 86400u32.to_be_bytes());
    }
    assert_eq!(ignored(INFORMATION_REQUEST, &[EMPTY]), Ignored::Unexpected);
}

#[test]
fn rfc8415_section_16_who_must_be_named_and_who_must_not() {
    const OTHER: &str = "0002 000a 00030001fa163e000000";
    for kind in [REQUEST, RENEW, RELEASE, DECLINE] {
        assert_eq!(
            ignored(kind, &[CLIENT, WITH_ADDRESS]),
            Ignored::Unexpected,
            "{kind}"
        );
        assert_eq!(
            ignored(kind, &[SERVER, WITH_ADDRESS]),
            Ignored::Unexpected,
            "{kind}"
        );
        assert_eq!(
            ignored(kind, &[CLIENT, OTHER, WITH_ADDRESS]),
            Ignored::OtherServer,
            "{kind}"
        );
    }
    for kind in [SOLICIT, CONFIRM, REBIND] {
        assert_eq!(
            ignored(kind, &[WITH_ADDRESS]),
            Ignored::Unexpected,
            "{kind}"
        );
        assert_eq!(
            ignored(kind, &[CLIENT, SERVER, WITH_ADDRESS]),
            Ignored::Unexpected,
            "{kind}"
        );
    }
    assert_eq!(ignored(INFORMATION_REQUEST, &[OTHER]), Ignored::OtherServer);
    for kind in [ADVERTISE, REPLY, 10, 14, 200] {
        assert_eq!(ignored(kind, &[CLIENT]), Ignored::Unexpected, "{kind}");
    }
    assert_eq!(ignored(12, &["00"]), Ignored::Relayed);
}

#[test]
fn rfc8415_section_18_4_unicast_is_sent_to_the_group_instead() {
    for kind in [REQUEST, RENEW, RELEASE, DECLINE] {
        let frame = unicast(&payload(kind, &[CLIENT, SERVER, WITH_ADDRESS]));
        let (outcome, reply) = answered(&frame, &lease());
        assert_eq!(
            (outcome, message_status(&reply)),
            (Kind::Refused, Some(Status::UseMulticast))
        );
        assert_eq!(get(&reply, OptionCode::IANA), None);
    }
    let frame = unicast(&payload(SOLICIT, &[CLIENT, EMPTY]));
    assert_eq!(serve(&frame, &lease()), Err(Ignored::Unexpected));
    let elsewhere = craft::ethernet(GATEWAY, VM)
        .ipv6(VM_LINK_LOCAL, "fe80::1")
        .udp(546, 547, &payload(SOLICIT, &[CLIENT, EMPTY]));
    assert_eq!(serve(&elsewhere, &lease()), Err(Ignored::OtherServer));
}

#[test]
fn only_the_first_association_gets_the_address() {
    let second = "0003 000c 00000002 00000000 00000000";
    let prefixes = "0019 000c 00000003 00000000 00000000";
    let temporary = "0004 0004 00000004";
    let (kind, reply) = asked(SOLICIT, &[CLIENT, prefixes, temporary, EMPTY, second]);
    assert_eq!(kind, Kind::Offered);
    let all = reply.opts().get_all(OptionCode::IANA).unwrap();
    assert_eq!(all.len(), 2);
    for option in all {
        let DhcpOption::IANA(association) = option else {
            panic!("{option:?}")
        };
        let found = status(association.opts.get(OptionCode::StatusCode));
        match association.id {
            2 => assert_eq!(found, Some(Status::NoAddrsAvail)),
            _ => assert_eq!((found, lent(association).len()), (None, 1)),
        }
    }
    let Some(DhcpOption::IAPD(delegated)) = get(&reply, OptionCode::IAPD) else {
        panic!("prefixes are not answered")
    };
    assert_eq!(
        status(delegated.opts.get(OptionCode::StatusCode)),
        Some(Status::NoPrefixAvail)
    );
    let Some(DhcpOption::IATA(temporary)) = get(&reply, OptionCode::IATA) else {
        panic!("temporary addresses are not answered")
    };
    assert_eq!(
        status(temporary.opts.get(OptionCode::StatusCode)),
        Some(Status::NoAddrsAvail)
    );
}

#[test]
fn configured_options_win_but_not_over_the_protocol() {
    let mut lease = lease();
    let ntp = hex("0001 0010 20010db8000000000000000000000123");
    lease.options = vec![
        (56, ntp.clone()),
        (23, vec![0x20; 16]),
        (1, vec![9]),
        (13, vec![0, 1]),
    ];
    let frame = multicast(&payload(INFORMATION_REQUEST, &["0006 0004 0038 0017"]));
    let outcome = serve(&frame, &lease).unwrap();
    let expected = [
        hex("07 112233 0002 000a 00030001fa163e5b8914 0017 0010"),
        vec![0x20; 16],
        hex("0038 0014"),
        ntp,
    ];
    assert_eq!(outcome.reply.unwrap()[62..], expected.concat());
}

#[test]
fn leases_for_ever() {
    let mut lease = lease();
    (lease.preferred_seconds, lease.valid_seconds) = (u32::MAX, u32::MAX);
    let frame = multicast(&payload(REQUEST, &[CLIENT, SERVER, EMPTY]));
    let (_, reply) = answered(&frame, &lease);
    let given = association(&reply);
    assert_eq!((given.t1, given.t2), (u32::MAX, u32::MAX));
    assert_eq!(lent(given), [(own(), u32::MAX, u32::MAX)]);
}

#[test]
fn what_is_malformed_or_not_from_the_port_gets_silence() {
    let solicit = payload(SOLICIT, &[CLIENT, EMPTY]);
    let frame = multicast(&solicit);
    for length in 0..frame.len() {
        assert!(serve(&frame[..length], &lease()).is_err(), "{length}");
    }
    let stranger = craft::ethernet(Mac::multicast_of_v6(V6_SERVERS), [2, 0, 0, 0, 0, 9])
        .ipv6(VM_LINK_LOCAL, V6_SERVERS)
        .udp(546, 547, &solicit);
    assert_eq!(serve(&stranger, &lease()), Err(Ignored::OtherClient));
    let unchecked = craft::ethernet(Mac::multicast_of_v6(V6_SERVERS), VM)
        .ipv6(VM_LINK_LOCAL, V6_SERVERS)
        .udp_unchecked(546, 547, &solicit);
    assert_eq!(
        serve(&unchecked, &lease()),
        Err(Ignored::Malformed(Malformed::Checksum))
    );
    let bad = Ignored::Malformed(Malformed::Option);
    assert_eq!(ignored(SOLICIT, &["0001 0000"]), bad, "no DUID");
    assert_eq!(
        ignored(SOLICIT, &[CLIENT, "0003 0004 00000001"]),
        bad,
        "short association"
    );
    assert_eq!(ignored(SOLICIT, &[CLIENT, "0003"]), bad, "no length");
    assert_eq!(
        ignored(SOLICIT, &[CLIENT, "0008 0004 00"]),
        bad,
        "past the end"
    );
    // What another decoder falls over: a status code of one byte.
    let inside = "0003 0011 00000001 00000000 00000000 000d 0001 00";
    let (kind, _) = asked(SOLICIT, &[CLIENT, inside, "000d 0000"]);
    assert_eq!(kind, Kind::Offered);
}

proptest! {
    #[test]
    fn any_frame_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = serve(&bytes, &lease());
    }

    /// Whatever the options say, an answer holds, and lends no other address than the port's.
    #[test]
    fn any_options_are_survived(
        kind in 0u8..15,
        named in 0u8..4,
        options in prop::collection::vec(
            (prop_oneof![0u16..40, any::<u16>()], prop::collection::vec(any::<u8>(), 0..60)), 0..8),
        tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let named = [if named & 1 != 0 { CLIENT } else { "" }, if named & 2 != 0 { SERVER } else { "" }];
        let mut bytes = payload(kind, &named);
        for (code, data) in options {
            bytes.extend(code.to_be_bytes());
            bytes.extend((data.len() as u16).to_be_bytes());
            bytes.extend(data);
        }
        bytes.extend(tail);
        if let Ok(Outcome { reply: Some(reply), .. }) = serve(&multicast(&bytes), &lease()) {
            prop_assert_eq!(craft::verify(&reply), Ok(()));
            let read = v6::Message::decode(&mut Decoder::new(&reply[62..])).unwrap();
            for option in read.opts().iter() {
                if let DhcpOption::IANA(association) = option {
                    for (address, _, valid) in lent(association) {
                        prop_assert!(address == own() || valid == 0);
                    }
                }
            }
        }
    }
}
