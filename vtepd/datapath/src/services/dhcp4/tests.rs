//! Packet in, packet out. What comes out is compared with bytes written down by hand from the RFCs, and
//! read by the decoder of another crate.

use dhcproto::Decodable;
use dhcproto::v4::{Decoder, DhcpOption, Message, OptionCode};
use proptest::prelude::*;
use vtepd_wire::craft::{self, hex};
use vtepd_wire::{FromBytes, Malformed, ethernet, ipv4, udp};

use super::*;

const VM: Mac = Mac([0xfa, 0x16, 0x3e, 0x9a, 0xb7, 0xd4]);
const GATEWAY: Mac = Mac([0xfa, 0x16, 0x3e, 0x5b, 0x89, 0x14]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 9);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// Transaction number of all messages here.
const XID: u32 = 0x3903_f326;

fn lease() -> Lease4 {
    Lease4 {
        client_mac: VM,
        address: "192.168.1.9/24".parse().unwrap(),
        server: SERVER,
        server_mac: GATEWAY,
        next_server: None,
        router: Some(SERVER),
        dns: vec![Ipv4Addr::new(192, 168, 1, 2), Ipv4Addr::new(9, 9, 9, 9)],
        mtu: 1450,
        lease_seconds: 86400,
        routes: Vec::new(),
        hostname: Some("vm1".into()),
        options: Vec::new(),
    }
}

/// A client's message, bit by bit.
#[derive(Clone)]
struct Client {
    mac: Mac,
    flags: u16,
    ciaddr: Ipv4Addr,
    giaddr: Ipv4Addr,
    options: Vec<u8>,
}

/// A message of this type with further options in hexadecimal.
fn client(kind: u8, options: &str) -> Client {
    Client {
        mac: VM,
        flags: 0,
        ciaddr: NOBODY,
        giaddr: NOBODY,
        options: [&[53, 1, kind][..], &hex(options)].concat(),
    }
}

const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const RELEASE: u8 = 7;
const INFORM: u8 = 8;

impl Client {
    fn payload(&self) -> Vec<u8> {
        let mut bytes = hex("01010600");
        bytes.extend(XID.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.ciaddr.octets());
        bytes.extend([0; 8]);
        bytes.extend(self.giaddr.octets());
        bytes.extend(self.mac.0);
        bytes.resize(236, 0);
        bytes.extend(hex("63825363"));
        bytes.extend(&self.options);
        bytes.push(255);
        bytes
    }

    fn broadcast(&self) -> Vec<u8> {
        craft::ethernet(Mac::BROADCAST, VM)
            .ipv4(self.ciaddr, Ipv4Addr::BROADCAST)
            .udp(68, 67, &self.payload())
    }

    fn unicast(&self) -> Vec<u8> {
        craft::ethernet(GATEWAY, VM)
            .ipv4(self.ciaddr, SERVER)
            .udp(68, 67, &self.payload())
    }
}

/// What was answered: to whom, and what another decoder reads.
struct Answer {
    kind: Kind,
    mac: Mac,
    to: Ipv4Addr,
    payload: Vec<u8>,
    message: Message,
}

impl Answer {
    fn of(frame: &[u8], lease: &Lease4) -> Self {
        let outcome = serve(frame, lease).unwrap();
        let reply = outcome.reply.unwrap();
        assert_eq!(craft::verify(&reply), Ok(()));
        let (link, rest) = ethernet::Header::ref_from_prefix(&reply).unwrap();
        let (ip, rest) = ipv4::Header::ref_from_prefix(rest).unwrap();
        let (udp, payload) = udp::Header::ref_from_prefix(rest).unwrap();
        assert_eq!((link.source, ip.source_addr()), (GATEWAY, SERVER));
        assert_eq!((udp.source.get(), udp.destination.get()), (67, 68));
        let message = Message::decode(&mut Decoder::new(payload)).unwrap();
        assert_eq!((message.xid(), message.chaddr()), (XID, &VM.0[..]));
        Self {
            kind: outcome.kind,
            mac: link.destination,
            to: ip.destination_addr(),
            payload: payload.to_vec(),
            message,
        }
    }

    fn get(&self, code: u8) -> Option<&DhcpOption> {
        self.message.opts().get(OptionCode::from(code))
    }

    fn kind_byte(&self) -> u8 {
        self.message.opts().msg_type().unwrap().into()
    }

    /// The codes in the order in which they are sent, read by hand.
    fn codes(&self) -> Vec<u8> {
        let mut rest = &self.payload[240..];
        let mut codes = Vec::new();
        while rest[0] != 255 {
            codes.push(rest[0]);
            rest = &rest[2 + usize::from(rest[1])..];
        }
        codes
    }
}

fn answer(client: &Client) -> Answer {
    Answer::of(&client.broadcast(), &lease())
}

fn ignored(frame: &[u8]) -> Ignored {
    serve(frame, &lease()).unwrap_err()
}

const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// A whole exchange with `dhclient`'s option list, written down from RFC 2131 and 2132; the checksums
/// come from a calculator.
#[test]
fn rfc2131_section_3_1_discover_and_offer_byte_for_byte() {
    let zeroes = vec![0; 192];
    let link_to_chaddr = hex("ffffffffffff fa163e9ab7d4 0800
        45100148 00000000 8011 3996 00000000 ffffffff
        0044 0043 0134 0000
        01010600 3903f326 0000 0000 00000000 00000000 00000000 00000000
        fa163e9ab7d4 00000000000000000000");
    let options = hex("63825363 350101 370d 011c02790f060c28292a1a7703 ff");
    let mut discover = [&link_to_chaddr[..], &zeroes, &options].concat();
    discover.resize(14 + 0x148, 0);
    let outcome = serve(&discover, &lease()).unwrap();
    assert_eq!(outcome.kind, Kind::Offered);

    let link_to_chaddr = hex("fa163e9ab7d4 fa163e5b8914 0800
        4500014d 00004000 4011 b645 c0a80101 c0a80109
        0043 0044 0139 8dc8
        02010600 3903f326 0000 0000 00000000 c0a80109 00000000 00000000
        fa163e9ab7d4 00000000000000000000");
    let options = hex("63825363
        350102 3604c0a80101 330400015180 3a040000a8c0 3b0400012750 0104ffffff00
        1c04c0a801ff 0608c0a8010209090909 0c03766d31 1a0205aa 0304c0a80101 ff");
    let expected = [link_to_chaddr, zeroes, options].concat();
    assert_eq!(outcome.reply, Some(expected));
}

#[test]
fn rfc2131_section_4_1_offers_go_where_the_client_can_hear_them() {
    let mut discover = client(DISCOVER, "");
    let offer = answer(&discover);
    assert_eq!((offer.kind, offer.kind_byte()), (Kind::Offered, OFFER));
    assert_eq!((offer.mac, offer.to), (VM, ADDRESS));
    assert_eq!(offer.message.yiaddr(), ADDRESS);
    assert!(!offer.message.flags().broadcast());

    discover.flags = 0x8000;
    let offer = answer(&discover);
    assert_eq!((offer.mac, offer.to), (Mac::BROADCAST, Ipv4Addr::BROADCAST));
    assert!(offer.message.flags().broadcast());
}

#[test]
fn rfc2131_section_4_3_2_selecting() {
    let request = answer(&client(REQUEST, "3204c0a80109 3604c0a80101"));
    assert_eq!((request.kind, request.kind_byte()), (Kind::Leased, ACK));
    assert_eq!((request.mac, request.to), (VM, ADDRESS));
    assert_eq!(request.message.yiaddr(), ADDRESS);
    assert_eq!(request.message.ciaddr(), NOBODY);
    assert_eq!(request.get(51), Some(&DhcpOption::AddressLeaseTime(86400)));
    assert_eq!(request.get(58), Some(&DhcpOption::Renewal(43200)));
    assert_eq!(request.get(59), Some(&DhcpOption::Rebinding(75600)));
    assert_eq!(
        request.get(1),
        Some(&DhcpOption::SubnetMask([255, 255, 255, 0].into()))
    );
    assert_eq!(request.get(54), Some(&DhcpOption::ServerIdentifier(SERVER)));

    // Another server was chosen.
    let other = client(REQUEST, "3204c0a80109 3604c0a80103");
    assert_eq!(ignored(&other.broadcast()), Ignored::OtherServer);
    // It names no address at all.
    let none = client(REQUEST, "3604c0a80101");
    assert_eq!(ignored(&none.broadcast()), Ignored::Unexpected);
}

#[test]
fn rfc2131_section_4_3_2_init_reboot() {
    let request = answer(&client(REQUEST, "3204c0a80109"));
    assert_eq!((request.kind_byte(), request.to), (ACK, ADDRESS));
    // It was elsewhere before.
    let moved = answer(&client(REQUEST, "32040a000005"));
    assert_eq!((moved.kind, moved.kind_byte()), (Kind::Refused, NAK));
}

#[test]
fn rfc2131_section_4_3_2_renewing_and_rebinding() {
    let mut renew = client(REQUEST, "");
    renew.ciaddr = ADDRESS;
    for frame in [renew.unicast(), renew.broadcast()] {
        let renewed = Answer::of(&frame, &lease());
        assert_eq!(
            (renewed.kind_byte(), renewed.mac, renewed.to),
            (ACK, VM, ADDRESS)
        );
        assert_eq!(renewed.message.ciaddr(), ADDRESS);
        assert_eq!(renewed.message.yiaddr(), ADDRESS);
    }
    // Even one that wants broadcasts is reached by unicast then (4.1).
    renew.flags = 0x8000;
    assert_eq!(answer(&renew).to, ADDRESS);
    renew.ciaddr = Ipv4Addr::new(192, 168, 1, 77);
    assert_eq!(answer(&renew).kind_byte(), NAK);
}

#[test]
fn rfc2131_table_3_refusals_say_little_and_to_everybody() {
    let mut lease = lease();
    lease.options = vec![(67, b"boot".to_vec()), (66, b"192.0.2.5".to_vec())];
    let mut request = client(
        REQUEST,
        "3204c0a8014d 3604c0a80101 3d0701fa163e9ab7d4 3704 01030633",
    );
    request.ciaddr = NOBODY;
    let nak = Answer::of(&request.broadcast(), &lease);
    assert_eq!((nak.mac, nak.to), (Mac::BROADCAST, Ipv4Addr::BROADCAST));
    assert_eq!(nak.codes(), [53, 54, 56, 61]);
    assert!(nak.message.flags().broadcast());
    assert_eq!(
        (nak.message.yiaddr(), nak.message.siaddr()),
        (NOBODY, NOBODY)
    );
    assert_eq!(nak.message.fname(), None);
}

#[test]
fn rfc2131_section_4_3_5_inform_gets_no_lease() {
    let mut inform = client(INFORM, "3703 010633");
    inform.ciaddr = Ipv4Addr::new(192, 168, 1, 200);
    let informed = answer(&inform);
    assert_eq!((informed.kind, informed.kind_byte()), (Kind::Informed, ACK));
    assert_eq!((informed.mac, informed.to), (VM, inform.ciaddr));
    assert_eq!(informed.codes(), [53, 54, 1, 6]);
    assert_eq!(informed.message.yiaddr(), NOBODY);
    inform.ciaddr = NOBODY;
    assert_eq!(ignored(&inform.broadcast()), Ignored::Unexpected);
}

#[test]
fn rfc2131_sections_4_3_3_and_4_3_4_release_and_decline_are_not_answered() {
    let mut release = client(RELEASE, "3604c0a80101");
    release.ciaddr = ADDRESS;
    let outcome = serve(&release.unicast(), &lease()).unwrap();
    assert_eq!(
        outcome,
        Outcome {
            kind: Kind::Released(ADDRESS.into()),
            reply: None
        }
    );

    let decline = client(DECLINE, "3604c0a80101 3204c0a80109");
    let outcome = serve(&decline.broadcast(), &lease()).unwrap();
    assert_eq!(
        outcome,
        Outcome {
            kind: Kind::Declined(ADDRESS.into()),
            reply: None
        }
    );
    let other = client(DECLINE, "3604c0a80103 3204c0a80109");
    assert_eq!(ignored(&other.broadcast()), Ignored::OtherServer);
}

#[test]
fn a_mac_address_without_a_lease_gets_silence() {
    let mut stranger = client(DISCOVER, "");
    stranger.mac = Mac([2, 0, 0, 0, 0, 9]);
    assert_eq!(ignored(&stranger.broadcast()), Ignored::OtherClient);
    let mut relayed = client(DISCOVER, "");
    relayed.giaddr = Ipv4Addr::new(10, 0, 0, 1);
    assert_eq!(ignored(&relayed.broadcast()), Ignored::Relayed);
    let mut foreign = client(DISCOVER, "").payload();
    foreign[1] = 6;
    let frame = |payload: &[u8]| {
        craft::ethernet(Mac::BROADCAST, VM)
            .ipv4(NOBODY, Ipv4Addr::BROADCAST)
            .udp(68, 67, payload)
    };
    assert_eq!(
        ignored(&frame(&foreign)),
        Ignored::OtherClient,
        "token ring"
    );
    foreign[1] = 1;
    foreign[2] = 16;
    assert_eq!(
        ignored(&frame(&foreign)),
        Ignored::OtherClient,
        "long address"
    );
    foreign[2] = 255;
    assert_eq!(
        ignored(&frame(&foreign)),
        Ignored::OtherClient,
        "longer than the message"
    );
}

#[test]
fn what_is_no_request_gets_silence() {
    assert_eq!(ignored(&client(OFFER, "").broadcast()), Ignored::Unexpected);
    assert_eq!(ignored(&client(99, "").broadcast()), Ignored::Unexpected);
    let mut bootp = client(DISCOVER, "");
    bootp.options.clear();
    assert_eq!(ignored(&bootp.broadcast()), Ignored::Unexpected);
    let bad = client(REQUEST, "3203c0a801");
    assert_eq!(
        ignored(&bad.broadcast()),
        Ignored::Malformed(Malformed::Option)
    );

    let frame = client(DISCOVER, "").broadcast();
    let mut reply = frame.clone();
    reply[42] = 2;
    reply[40..42].fill(0);
    assert_eq!(ignored(&reply), Ignored::Unexpected, "a server's message");
    let mut broken = frame.clone();
    broken[60] ^= 1;
    assert_eq!(ignored(&broken), Ignored::Malformed(Malformed::Checksum));
    for length in 0..frame.len() {
        assert!(serve(&frame[..length], &lease()).is_err(), "{length}");
    }
    let pieces = craft::fragments(&client(DISCOVER, "").broadcast(), 200, 1);
    assert_eq!(ignored(&pieces[0]), Ignored::Malformed(Malformed::Field));
    let elsewhere = craft::ethernet(GATEWAY, VM)
        .ipv4(ADDRESS, "192.168.1.3")
        .udp(68, 67, &client(REQUEST, "").payload());
    assert_eq!(ignored(&elsewhere), Ignored::OtherServer);
    let mut cookie = client(DISCOVER, "").payload();
    cookie[239] ^= 1;
    let cookie = craft::ethernet(Mac::BROADCAST, VM)
        .ipv4(NOBODY, Ipv4Addr::BROADCAST)
        .udp(68, 67, &cookie);
    assert_eq!(ignored(&cookie), Ignored::Unexpected, "no magic cookie");
}

#[test]
fn rfc2132_section_9_8_options_come_in_the_order_asked_for() {
    let asked = answer(&client(DISCOVER, "3707 1a0306030cfe79"));
    assert_eq!(asked.codes(), [53, 54, 51, 58, 59, 1, 26, 3, 6, 12]);
    // Who asks for nothing in particular is told what is usual.
    let silent = answer(&client(DISCOVER, ""));
    assert_eq!(silent.codes(), [53, 54, 51, 58, 59, 1, 3, 6, 26, 12, 28]);
    assert_eq!(silent.get(26), Some(&DhcpOption::InterfaceMtu(1450)));
    assert_eq!(silent.get(12), Some(&DhcpOption::Hostname("vm1".into())));
    assert_eq!(
        silent.get(28),
        Some(&DhcpOption::BroadcastAddr([192, 168, 1, 255].into()))
    );
}

#[test]
fn rfc3442_classless_routes_hold_the_default_route_too() {
    let mut lease = lease();
    let route = |to: &str, via: [u8; 4]| (to.parse().unwrap(), via.into());
    lease.routes = vec![
        route("10.9.0.0/16", [192, 168, 1, 254]),
        route("169.254.169.254/32", [192, 168, 1, 2]),
        route("10.17.178.77/31", [0, 0, 0, 0]),
    ];
    let frame = client(DISCOVER, "3703 7903f9").broadcast();
    let told = Answer::of(&frame, &lease);
    let expected = hex("10 0a09 c0a801fe 20 a9fea9fe c0a80102 1f 0a11b24c 00000000 00 c0a80101");
    let at = 240 + 3 + 6 * 5;
    assert_eq!(told.payload[at..at + 2], [121, expected.len() as u8]);
    assert_eq!(told.payload[at + 2..at + 2 + expected.len()], expected);
    assert_eq!(told.codes(), [53, 54, 51, 58, 59, 1, 121, 3, 249]);
    let Some(DhcpOption::ClasslessStaticRoute(read)) = told.get(121) else {
        panic!("no routes")
    };
    assert_eq!(read.len(), 4);
    let Some(DhcpOption::Unknown(microsoft)) = told.get(249) else {
        panic!("no routes")
    };
    assert_eq!(microsoft.data(), expected);

    // A default route that is configured is the one; without a router there is none.
    lease.routes.push(route("0.0.0.0/0", [192, 168, 1, 7]));
    let told = Answer::of(&frame, &lease);
    let Some(DhcpOption::ClasslessStaticRoute(read)) = told.get(121) else {
        panic!("no routes")
    };
    assert_eq!(
        read.iter().filter(|(to, _)| to.prefix_len() == 0).count(),
        1
    );
    lease.routes.truncate(1);
    lease.router = None;
    let told = Answer::of(&frame, &lease);
    let Some(DhcpOption::ClasslessStaticRoute(read)) = told.get(121) else {
        panic!("no routes")
    };
    assert_eq!(read.len(), 1);
    assert_eq!(told.codes(), [53, 54, 51, 58, 59, 1, 121, 249]);
}

#[test]
fn rfc2132_section_9_10_the_message_fits_the_client() {
    let mut lease = lease();
    lease.options = vec![(224, vec![7; 250]), (225, vec![8; 200]), (226, vec![9; 40])];
    // 576 bytes of IP packet is what every client takes.
    let told = Answer::of(&client(DISCOVER, "3705 e0e1e20306").broadcast(), &lease);
    assert!(told.payload.len() <= 548);
    assert_eq!(
        told.codes(),
        [53, 54, 51, 58, 59, 1, 224, 3, 6],
        "225 and 226 have no room"
    );
    // A smaller size is not to be said, a larger one is made use of.
    let told = Answer::of(&client(DISCOVER, "39020040 3701 e0").broadcast(), &lease);
    assert!(told.codes().contains(&224));
    let told = Answer::of(
        &client(DISCOVER, "390205dc 3705 e0e1e20306").broadcast(),
        &lease,
    );
    assert_eq!(told.codes(), [53, 54, 51, 58, 59, 1, 224, 225, 226, 3, 6]);
}

#[test]
fn rfc3396_long_options_are_cut() {
    let mut lease = lease();
    lease.options = vec![(224, (0..=255).cycle().take(600).collect())];
    let told = Answer::of(&client(DISCOVER, "390205dc 3701 e0").broadcast(), &lease);
    assert_eq!(told.codes(), [53, 54, 51, 58, 59, 1, 224, 224, 224]);
    let at = 240 + 3 + 6 * 5;
    let parts = &told.payload[at..at + 606];
    let value = [&parts[2..257], &parts[259..514], &parts[516..606]].concat();
    assert_eq!((parts[1], parts[258], parts[515]), (255, 255, 90));
    assert_eq!(value, lease.options[0].1);
}

#[test]
fn configured_options_win_but_not_over_the_protocol() {
    let mut lease = lease();
    lease.options = vec![
        (6, vec![1, 1, 1, 1]),
        (15, b"example.org".to_vec()),
        (53, vec![7]),
        (51, vec![0; 4]),
        (54, vec![0; 4]),
        (58, vec![0, 0, 0, 60]),
        (255, vec![1]),
        (0, vec![1]),
    ];
    let told = Answer::of(&client(DISCOVER, "").broadcast(), &lease);
    assert_eq!(told.codes(), [53, 54, 51, 58, 59, 1, 3, 6, 26, 12, 28, 15]);
    assert_eq!(
        told.get(6),
        Some(&DhcpOption::DomainNameServer(vec![[1; 4].into()]))
    );
    assert_eq!(
        told.get(15),
        Some(&DhcpOption::DomainName("example.org".into()))
    );
    assert_eq!(told.get(51), Some(&DhcpOption::AddressLeaseTime(86400)));
    assert_eq!(told.get(58), Some(&DhcpOption::Renewal(60)));
    assert_eq!(told.kind_byte(), OFFER);
}

#[test]
fn boot_loaders_find_server_and_file() {
    let mut lease = lease();
    lease.options = vec![(66, b"192.0.2.5".to_vec()), (67, b"ipxe.efi".to_vec())];
    let told = Answer::of(&client(DISCOVER, "3702 4243").broadcast(), &lease);
    assert_eq!(told.message.siaddr(), Ipv4Addr::new(192, 0, 2, 5));
    assert_eq!(told.payload[108..118], *b"ipxe.efi\0\0");
    assert_eq!(told.codes(), [53, 54, 51, 58, 59, 1, 66, 67]);
    lease.options[1].1 = vec![b'x'; 128];
    let told = Answer::of(&client(DISCOVER, "").broadcast(), &lease);
    assert_eq!(told.message.fname(), None, "needs a zero at its end");
}

#[test]
fn rfc6842_and_rfc3046_what_the_client_and_a_relay_said_is_returned() {
    let told = answer(&client(DISCOVER, "5206 010441424344 3d0701fa163e9ab7d4"));
    assert!(told.codes().ends_with(&[61, 82]), "82 is the last of all");
    let id = hex("01fa163e9ab7d4");
    assert_eq!(told.get(61), Some(&DhcpOption::ClientIdentifier(id)));
    let at = told
        .payload
        .windows(8)
        .position(|at| at == hex("5206010441424344"));
    assert!(at.is_some());

    // Never at the cost of what the message must hold.
    let long = format!("3dff{} 52ff{}", "aa".repeat(255), "bb".repeat(255));
    let told = answer(&client(DISCOVER, &long));
    assert_eq!(told.codes(), [53, 54, 51, 58, 59, 1, 3, 6, 61]);
    assert!(told.payload.len() <= 548);
}

#[test]
fn leases_for_ever_have_no_times() {
    let mut lease = lease();
    lease.lease_seconds = u32::MAX;
    let told = Answer::of(&client(DISCOVER, "3701 01").broadcast(), &lease);
    assert_eq!(told.codes(), [53, 54, 51, 1]);
    assert_eq!(told.get(51), Some(&DhcpOption::AddressLeaseTime(u32::MAX)));
}

proptest! {
    #[test]
    fn any_frame_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = serve(&bytes, &lease());
    }

    /// Whatever the options say, an answer holds, fits, and is for the port's address alone.
    #[test]
    fn any_options_are_survived(
        kind in 0u8..10, flags: u16,
        ciaddr in prop_oneof![Just(NOBODY), Just(ADDRESS), any::<u32>().prop_map(Ipv4Addr::from)],
        options in prop::collection::vec(
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..12),
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut message = client(kind, "");
        message.flags = flags;
        message.ciaddr = ciaddr;
        for (code, data) in options {
            message.options.extend([code, data.len() as u8]);
            message.options.extend(data);
        }
        message.options.extend(tail);
        if let Ok(Outcome { reply: Some(reply), .. }) = serve(&message.broadcast(), &lease()) {
            prop_assert_eq!(craft::verify(&reply), Ok(()));
            let read = Message::decode(&mut Decoder::new(&reply[42..])).unwrap();
            prop_assert!(read.yiaddr() == ADDRESS || read.yiaddr() == NOBODY);
            prop_assert!(reply.len() >= 42 + 300);
        }
    }
}
