//! Sources that nobody outside has: a packet from there that names one was forged (RFC 2827).

mod common;

use common::*;
use vtepd_datapath::DropReason;
use vtepd_tables::translation::Description;
use vtepd_wire::craft;

fn usual() -> Description {
    Description {
        floating_ips: floating(&[(FIP1, VM1_IP)]),
        same_scope: vec!["10.1.0.0/16".parse().unwrap()],
        ..snat(&[QG_IP])
    }
}

#[test]
fn rfc2827_from_outside_nobody_speaks_for_a_station() {
    let mut host = outside_host(&usual());
    let opened = craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, FAR_IP);
    host.send(PORT2, &opened.udp(4000, 53, b""));
    let from = |mac: &str, source: &str, destination: &str| {
        craft::ethernet(mac, OUT).ipv4(source, destination)
    };
    for forged in [
        from(FG, VM2_IP, FIP1).udp(1, 2, b"from a neighbour"),
        from(FG, "10.0.0.77", FIP1).udp(1, 2, b"from nobody there"),
        from(FG, GW_RED_IP, FIP1).icmp(3, 1, 0, &[0; 28]),
        from(QG, VM1_IP, QG_IP).udp(53, 4000, b"to a port that is open"),
        // A station that talks to itself does not stop.
        from(FG, FIP1, FIP1).udp(7, 7, b"echo"),
        from(QG, QG_IP, QG_IP).udp(4000, 4000, b"echo"),
    ] {
        let outcome = host.send(EXT, &forged);
        assert_eq!(outcome.dropped(), DropReason::Martian, "{outcome:?}");
    }
    // The outside knows these by their own addresses, and anything may be between.
    let known = from(FG, VM6_IP, FIP1).udp(1, 2, b"");
    assert_eq!(host.send(EXT, &known).one().0, PORT1);
    // Other outside addresses of this host are heard: they are not forged when they turn round elsewhere.
    let other = from(FG, QG_IP, FIP1).udp(1, 2, b"");
    assert_eq!(host.send(EXT, &other).one().0, PORT1);
    // And stations themselves reach each other, and themselves, by way of these addresses.
    let own = craft::ethernet(GW_RED, VM1).ipv4(VM1_IP, FIP1);
    assert_eq!(host.send(PORT1, &own.udp(7, 7, b"")).one().0, PORT1);
}

#[test]
fn the_central_host_believes_nobody_outside_who_speaks_for_a_station() {
    let own = Description {
        outside: Vec::new(),
        ..usual()
    };
    let mut host = central_host(&own, &snat(&[QG_IP]));
    let opened = craft::ethernet(GW_RED, VM2).ipv4(VM2_IP, FAR_IP);
    host.send(PORT2, &opened.udp(4000, 53, b""));
    for source in [VM1_IP, VM4_IP, VM6_IP] {
        let forged = craft::ethernet(QG, OUT).ipv4(source, QG_IP);
        let outcome = host.send(EXT, &forged.udp(53, 4000, b""));
        assert_eq!(outcome.dropped(), DropReason::Martian);
    }
}

/// Where only what was asked for comes in. An error would otherwise come from whomever it likes.
#[test]
fn rfc6092_rec6_ipv6_from_outside_has_no_source_inside() {
    let mut host = outside_host(&Description {
        outbound_only_ipv6: true,
        ..usual()
    });
    let frame = craft::ethernet(GW_RED, VM1).ipv6(VM1_IP6, FAR_IP6);
    let sent = host.send(PORT1, &frame.udp(1, 2, b"there"));
    let about = sent.one().1[14..].to_vec();
    let error = |source: &str| {
        let error = craft::ethernet(QG, ROUTER).ipv6(source, VM1_IP6);
        error.icmp(1, 3, 0, &about)
    };
    assert_eq!(host.send(EXT, &error(ROUTER_IP6)).one().0, PORT1);
    for source in [VM2_IP6, GW_RED_IP6, VM6_IP6] {
        let outcome = host.send(EXT, &error(source));
        assert_eq!(outcome.dropped(), DropReason::Martian, "{source}");
    }
}
