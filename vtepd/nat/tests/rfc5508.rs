//! NAT behaviour for ICMP, requirement by requirement (RFC 5508).

mod common;

use common::*;
use vtepd_nat::{Capacity, Description, Refusal, Settings, Verdict};
use vtepd_wire::checksum::Sum;
use vtepd_wire::craft;

#[test]
fn rfc5508_req1_queries_by_identifier_for_all_hosts_alike() {
    let mut world = World::snat();
    let sent = world.out(&ping(VM, SERVER, 7));
    assert_eq!((source(&sent), ports(&sent).0), (address(OUTSIDE), 7));
    assert_eq!(ports(&world.out(&ping(VM, SERVER2, 7))).0, 7);
    let other = ports(&world.out(&ping(VM2, SERVER, 7))).0;
    assert_ne!(other, 7);
    let back = world.inn(&pong(SERVER, OUTSIDE, other));
    assert_eq!((destination(&back), ports(&back).0), (address(VM2), 7));
    let back = world.inn(&pong(SERVER, OUTSIDE, 7));
    assert_eq!((destination(&back), ports(&back).0), (address(VM), 7));
}

#[test]
fn rfc5508_req1_replies_without_a_question_and_questions_to_the_router() {
    let mut world = World::snat();
    assert_eq!(
        world.in_refused(&pong(SERVER, OUTSIDE, 7)),
        Refusal::NoSession
    );
    assert_eq!(world.out_refused(&pong(VM, SERVER, 7)), Refusal::NoSession);
    assert_eq!(
        world.in_verdict(&ping(SERVER, OUTSIDE, 7)).0,
        Verdict::ToRouter
    );
}

#[test]
fn rfc5508_req2_a_query_lasts_60_seconds() {
    let mut world = World::snat();
    world.out(&ping(VM, SERVER, 7));
    world.wait(59);
    assert_eq!(world.sessions(), 1);
    world.wait(1);
    assert_eq!(world.sessions(), 0);
}

fn break_at(mut frame: Vec<u8>, at: usize) -> Vec<u8> {
    frame[at] ^= 0x40;
    frame
}

#[test]
fn rfc5508_req3_bad_checksums_are_dropped() {
    let mut world = World::snat();
    let sent = world.out(&udp((VM, 5000), (SERVER, 53)));
    let sound = error(SERVER, OUTSIDE, 3, &sent, 28);
    // Of the message.
    for at in [36, 39, 45, 69] {
        let broken = break_at(sound.clone(), at);
        assert_eq!(world.in_refused(&broken), Refusal::IcmpChecksum, "{at}");
    }
    // Of the quoted header, the message's own being right.
    let broken = error(SERVER, OUTSIDE, 3, &break_at(sent, 22), 28);
    assert_eq!(world.in_refused(&broken), Refusal::IcmpChecksum);
    world.inn(&sound);
}

#[test]
fn rfc5508_req3_options_of_the_quoted_header_are_stepped_over() {
    let mut world = World::snat();
    let packet = ip(VM, SERVER).options(&[1; 12]).udp(5000, 53, b"data");
    let sent = world.out(&packet);
    let arrived = world.inn(&error(SERVER, OUTSIDE, 3, &sent, 40));
    let quote = quote(&arrived);
    assert_eq!(source(&quote), address(VM));
    assert_eq!(quote[46..48], 5000u16.to_be_bytes());
    assert!(Sum::new().add_bytes(&quote[14..46]).is_valid());
}

#[test]
fn rfc5508_req3_extensions_are_kept() {
    let mut world = World::snat();
    let sent = world.out(&udp((VM, 5000), (SERVER, 53)));
    // RFC 4884: 128 bytes of quote, then an extension structure with one MPLS label.
    let mut body = sent[14..].to_vec();
    body.resize(128, 0);
    let extension = [0x20, 0, 0, 0, 0, 8, 1, 1, 0x12, 0x34, 0x51, 0x40];
    body.extend(extension);
    let error = ip(SERVER, OUTSIDE).icmp(11, 0, 32 << 16, &body);
    let arrived = world.inn(&error);
    assert_eq!(arrived.len(), error.len());
    assert_eq!(arrived[arrived.len() - 12..], extension);
    assert_eq!(arrived[38..42], [0, 32, 0, 0]);
}

/// The whole quoted packet is what the host inside has sent, byte for byte, whatever it carries.
#[test]
fn rfc5508_req4_errors_from_outside_quote_what_was_sent_inside() {
    let mut world = World::snat();
    world.connect((VM, 5000), (SERVER, 80));
    let packets = [
        udp((VM, 5000), (SERVER, 53)),
        tcp((VM, 5000), (SERVER, 80), ACK),
        ping(VM, SERVER, 7),
        ip(VM, SERVER).udp_unchecked(5000, 53, b"data"),
    ];
    for packet in packets {
        let sent = world.out(&packet);
        // The reporting router is another than the destination.
        let arrived = world.inn(&error("203.0.113.1", OUTSIDE, 11, &sent, 500));
        assert_eq!(source(&arrived), address("203.0.113.1"));
        assert_eq!(destination(&arrived), address(VM));
        assert_eq!(quote(&arrived)[14..], packet[14..]);
    }
}

#[test]
fn rfc5508_req4_without_a_session_silent() {
    let mut world = World::snat();
    let sent = world.out(&udp((VM, 5000), (SERVER, 53)));
    // Another destination, another port, another protocol; not from us at all.
    for about in [
        udp((OUTSIDE, 5000), (SERVER2, 53)),
        udp((OUTSIDE, 5001), (SERVER, 53)),
        tcp((OUTSIDE, 5000), (SERVER, 53), ACK),
        udp((SERVER, 53), (OUTSIDE, 5000)),
    ] {
        let refused = world.in_refused(&error(SERVER, OUTSIDE, 3, &about, 28));
        assert_eq!(refused, Refusal::QuoteUnknown);
        assert_eq!(refused.tells(), None);
    }
    world.inn(&error(SERVER, OUTSIDE, 3, &sent, 28));
}

#[test]
fn rfc5508_req5_errors_from_inside() {
    let mut world = World::snat();
    world.udp((VM, 5000), (SERVER, 53));
    let arrived = world.inn(&udp((SERVER, 53), (OUTSIDE, 5000)));
    let sent = world.out(&error(VM, SERVER, 3, &arrived, 28));
    assert_eq!(
        (source(&sent), destination(&sent)),
        (address(OUTSIDE), address(SERVER))
    );
    let quote_sent = quote(&sent);
    assert_eq!(quote_sent[14..], udp((SERVER, 53), (OUTSIDE, 5000))[14..42]);
    // From a router inside that has no session: it speaks with the host's address.
    let sent = world.out(&error("192.168.7.1", SERVER, 11, &arrived, 28));
    assert_eq!(source(&sent), address(OUTSIDE));
    // About a packet of no session.
    let unknown = udp((SERVER, 53), (VM, 5001));
    assert_eq!(
        world.out_refused(&error(VM, SERVER, 3, &unknown, 28)),
        Refusal::QuoteUnknown
    );
}

#[test]
fn rfc5508_req4_and_5_floating_ips_and_forwardings() {
    let description = Description {
        floating_ips: vec![floating("10.100.0.7", VM)],
        ..Description::default()
    };
    let mut world = World::with(Settings::default(), description);
    let packet = udp((VM, 5000), (SERVER, 53));
    let sent = world.out(&packet);
    let arrived = world.inn(&error(SERVER2, "10.100.0.7", 3, &sent, 500));
    assert_eq!(destination(&arrived), address(VM));
    assert_eq!(quote(&arrived)[14..], packet[14..]);
    let question = udp((SERVER, 53), ("10.100.0.7", 5000));
    let arrived = world.inn(&question);
    let sent = world.out(&error(VM, SERVER, 3, &arrived, 500));
    assert_eq!(source(&sent), address("10.100.0.7"));
    assert_eq!(quote(&sent)[14..], question[14..]);
}

#[test]
fn rfc5508_req6_errors_neither_refresh_nor_delete() {
    let mut world = World::snat();
    let sent = world.out(&udp((VM, 5000), (SERVER, 53)));
    let arrived = world.inn(&udp((SERVER, 53), (OUTSIDE, 5000)));
    world.wait(299);
    world.inn(&error(SERVER, OUTSIDE, 3, &sent, 28));
    world.out(&error(VM, SERVER, 3, &arrived, 28));
    assert_eq!(world.sessions(), 1);
    world.wait(1);
    assert_eq!(world.sessions(), 0);
    assert_eq!(
        world.in_refused(&error(SERVER, OUTSIDE, 3, &sent, 28)),
        Refusal::QuoteUnknown
    );
}

#[test]
fn rfc5508_req7_hairpinned_errors() {
    let mut world = World::snat();
    let port = world.udp((VM2, 7000), (SERVER, 53));
    let packet = udp((VM, 5000), (OUTSIDE, port));
    let (_, sent) = world.out_verdict(&packet);
    let arrived = world.inn(&sent);
    let (verdict, sent) = world.out_verdict(&error(VM2, OUTSIDE, 3, &arrived, 500));
    assert_eq!(verdict, HAIRPIN);
    let back = world.inn(&sent);
    assert_eq!(
        (source(&back), destination(&back)),
        (address(OUTSIDE), address(VM))
    );
    assert_eq!(quote(&back)[14..], packet[14..]);
}

#[test]
fn rfc5508_req8_no_resources_is_told_with_3_13() {
    let capacity = Capacity {
        sessions: 2,
        ..small()
    };
    let description = Description {
        outside: vec![outside(OUTSIDE, 0)],
        ..Description::default()
    };
    let mut world = World::new(capacity, Settings::default(), &description);
    world.udp((VM, 1), (SERVER, 53));
    world.udp((VM, 2), (SERVER, 53));
    let refused = world.out_refused(&udp((VM, 3), (SERVER, 53)));
    assert_eq!(refused, Refusal::SessionsFull);
    let told = refused.tells().unwrap();
    assert_eq!((told.kind, told.code), (3, 13));
}

#[test]
fn rfc5508_req10_echo_and_errors_pass_and_nothing_else() {
    let mut world = World::snat();
    for kind in [9, 10, 13, 14, 15, 17, 42] {
        let message = ip(VM, SERVER).icmp(kind, 0, 7 << 16, b"data");
        assert_eq!(world.out_refused(&message), Refusal::IcmpType, "{kind}");
        let message = ip(SERVER, OUTSIDE).icmp(kind, 0, 7 << 16, b"data");
        assert_eq!(world.in_refused(&message), Refusal::IcmpType, "{kind}");
    }
}

#[test]
fn errors_that_quote_other_things_do_no_harm() {
    let mut world = World::snat();
    world.udp((VM, 5000), (SERVER, 53));
    for protocol in [4, 47, 50, 51, 132, 255] {
        let about = ip(OUTSIDE, SERVER).payload(protocol, &[0x55; 40]);
        let refused = world.in_refused(&error(SERVER, OUTSIDE, 3, &about, 60));
        assert_eq!(refused, Refusal::QuoteUnknown, "{protocol}");
    }
    // An error about an error, a later fragment, IPv6, too little, nothing.
    let inner = udp((OUTSIDE, 5000), (SERVER, 53));
    let about = error(OUTSIDE, SERVER, 3, &inner, 28);
    let refused = world.in_refused(&error(SERVER, OUTSIDE, 3, &about, 60));
    assert_eq!(refused, Refusal::QuoteUnknown);
    let about = ip(OUTSIDE, SERVER)
        .fragment(1, 800, false)
        .payload(17, &[0x13; 40]);
    let refused = world.in_refused(&error(SERVER, OUTSIDE, 3, &about, 60));
    assert_eq!(refused, Refusal::QuoteUnknown);
    for quoted in [0, 19, 27] {
        let refused = world.in_refused(&error(SERVER, OUTSIDE, 3, &inner, quoted));
        assert_eq!(refused, Refusal::QuoteMalformed, "{quoted}");
    }
    let garbage = ip(SERVER, OUTSIDE).icmp(3, 0, 0, &[0xff; 64]);
    assert_eq!(world.in_refused(&garbage), Refusal::QuoteMalformed);
    world.nat.audit().unwrap();
    assert_eq!(world.sessions(), 1);
}

/// The padding of a short frame is no part of the message, and stays.
#[test]
fn padding_is_left_alone() {
    let mut world = World::snat();
    let packet = craft::pad(ip(VM, SERVER).udp(5000, 53, b""));
    assert_eq!(world.out(&packet)[42..], packet[42..]);
}
