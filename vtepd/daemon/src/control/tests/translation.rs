//! Translation: documents in, translated frames out.
//!
//! ```text
//!   red1 .5 ─ red  10.1.0.0/24 ┐                    ┌ QG .5 (SNAT)        ┌─ NEXT .1 ─ FAR
//!                              ├ r1 ─ public, flat ─┤                ─────┤
//!   blue1 .5 ─ blue 10.2.0.0/24┘   203.0.113.0/24   └ FG (floating IPs)   └─ OUT .14
//! ```

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mgmt_api::change::Changes;
use mgmt_api::events::{Event, EventSink, Heard, Listener, NatLimit};
use mgmt_api::explain::{ExplainFrame, ExplainQuery, Explanation, Outcome};
use mgmt_api::request::Request as _;
use mgmt_api::resources::{Interface, Router};
use mgmt_api::state::Transaction;
use mgmt_api::translation::{
    NatPoolState, SessionCursor, SessionProtocol, SessionQuery, SessionState,
};
use vtepd_nat::{Capacity, Settings, Slices, Translator};
use vtepd_tables::VrfIndex;
use vtepd_tables::translation::SubscriberIndex;
use vtepd_wire::{arp, icmp, tcp};

use super::super::aside::Superseded;
use super::routers::ROUTED;
use super::*;
use crate::nat_log::{NatLog, Sink, Target};

/// The external network is on an interface of its own.
const EXT: InterfaceIndex = VM;
const QG: &str = "fa:16:3e:70:00:05";
const QG_IP: &str = "203.0.113.5";
const FG: &str = "fa:16:3e:7d:00:02";
const NEXT: &str = "02:00:00:00:0e:01";
const NEXT_IP: &str = "203.0.113.1";
const OUT: &str = "02:00:00:00:0e:14";
const OUT_IP: &str = "203.0.113.14";
/// Behind the next hop.
const FAR: &str = "198.18.7.80";
const FIP: &str = "203.0.113.7";
const SG_RED: &str = "fa:16:3e:5a:00:01";

const HM1: &str = "fa:16:3f:00:00:01";
const HM2: &str = "fa:16:3f:00:00:02";
const GW_RED: &str = "fa:16:3e:01:00:01";
const GW_BLUE: &str = "fa:16:3e:01:00:02";
const RED1: &str = "fa:16:3e:00:01:05";
const RED2: &str = "fa:16:3e:00:01:06";
const BLUE1: &str = "fa:16:3e:00:02:05";
const RED_VLAN: u16 = 11;
const BLUE_VLAN: u16 = 12;

const PUBLIC: &str = r#"{ "segment": { "type": "flat", "interface": "vm1" }, "mtu": 1500,
  "subnets": [{ "cidr": "203.0.113.0/24", "gateway": "203.0.113.1", "dhcp": false }],
  "external": { "floating_ip_gateways": [{ "mac": "fa:16:3e:7d:00:02" }] } }"#;

/// The gateway outside is on this host, or on another.
const HERE: &str = "";
const H2: &str = r#""host": "h2", "#;

/// The router's document: where its gateway is, whether it has central ports or is on this host alone, and what else its
/// way outside has.
fn r1(host: &str, central: bool, rest: &str) -> String {
    let port = |network: &str, mac: &str| match central {
        true => format!(
            r#", "central": {{ "mac": "fa:16:3e:5a:00:0{mac}", "addresses": ["10.{network}.0.11"] }}"#
        ),
        false => String::new(),
    };
    let (red, blue) = (port("1", "1"), port("2", "2"));
    format!(
        r#"{{ "distributed": {central}, "interfaces": [
            {{ "network": "red", "mac": "{GW_RED}", "addresses": ["10.1.0.1/24"]{red} }},
            {{ "network": "blue", "mac": "{GW_BLUE}", "addresses": ["10.2.0.1/24"]{blue} }}],
        "external_gateway": {{ "network": "public", {rest}
            "gateways": [{{ {host} "mac": "{QG}", "addresses": ["{QG_IP}/24"] }}] }} }}"#
    )
}

/// The same router without its way outside.
fn without_way(router: &str) -> String {
    let (inside, _) = router.split_once(r#""external_gateway""#).unwrap();
    format!("{} }}", inside.trim_end().trim_end_matches(','))
}

fn put(kinds: &str) -> String {
    format!(r#"{{ "put": {{ {kinds} }} }}"#)
}

/// A SYN, unless other flags are given.
fn tcp_out(source: &str, port: u16, to: &str, flags: u8) -> Vec<u8> {
    let (gateway, mac, vlan) = match source.starts_with("10.1.") {
        true => (GW_RED, RED1, RED_VLAN),
        false => (GW_BLUE, BLUE1, BLUE_VLAN),
    };
    craft::ethernet(gateway, mac)
        .vlan(vlan)
        .ipv4(address(source), address(to))
        .tcp(port, 80, flags, b"")
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// What leaves outside: by which gateway, as whom, with which TTL.
fn outside(gateway: &'static str, source: &str, port: u16, to: &str, ttl: u8) -> Vec<u8> {
    craft::ethernet(NEXT, gateway)
        .ipv4(address(source), address(to))
        .ttl(ttl)
        .tcp(port, 80, tcp::SYN, b"")
}

/// What comes from behind the next hop.
fn inbound(gateway: &'static str, to: &str, port: u16, flags: u8) -> Vec<u8> {
    craft::ethernet(gateway, NEXT)
        .ipv4(FAR, address(to))
        .tcp(80, port, flags, b"")
}

impl Bench {
    /// The router's way outside, as far as this host goes.
    fn outside(router: &str) -> Self {
        Self::led_outside(Self::connected(ROUTED), router)
    }

    fn led_outside(mut bench: Self, router: &str) -> Self {
        bench
            .transact(&put(&format!(
                r#""networks": {{ "public": {PUBLIC} }}, "routers": {{ "r1": {router} }}"#
            )))
            .unwrap();
        bench.next_hop_answers();
        bench
    }

    /// One host has all.
    fn alone() -> Self {
        Self::outside(&r1(HERE, false, ""))
    }

    /// The next hop answers whoever has asked for it.
    fn next_hop_answers(&mut self) {
        let questions = self.delivered().into_iter();
        let asker = |(interface, frame): &(InterfaceIndex, Vec<u8>)| {
            let is_question = *interface == EXT && frame[12..14] == [8, 6];
            is_question.then(|| vtepd_wire::Mac(frame[6..12].try_into().unwrap()))
        };
        let asker = { questions }.find_map(|sent| asker(&sent));
        let reply = craft::ethernet(asker.unwrap(), NEXT).arp_reply(NEXT_IP, QG_IP);
        self.send(EXT, &reply);
        self.tick();
        self.delivered();
    }

    fn fip(&self, document: &str) {
        self.put("floating-ips", "fip1", document);
    }

    /// Has a thread ask, which the worker answers.
    fn asks<T: Send>(&mut self, ask: impl FnOnce(&Plane) -> T + Send) -> T {
        self.asks_beside(|plane, _| ask(plane))
    }

    fn asks_beside<T: Send>(&mut self, ask: impl FnOnce(&Plane, &Manager) -> T + Send) -> T {
        self.worker.running.store(true, Ordering::Release);
        let (plane, manager, state) = (&self.plane, &self.manager, &mut self.state);
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(plane, manager));
            while !asking.is_finished() {
                state.attend();
                state.translator.tick(state.seconds, 64);
                std::thread::yield_now();
            }
            asking.join().unwrap()
        });
        self.state.tell_of_translations();
        self.worker.running.store(false, Ordering::Release);
        answer
    }

    fn sessions(&mut self, query: SessionQuery) -> Vec<mgmt_api::translation::SessionRow> {
        let query = SessionQuery {
            limit: 100,
            ..query
        };
        self.asks(|plane| plane.sessions(&query)).unwrap().rows
    }

    /// What is waiting to be ended ends.
    fn end_superseded(&mut self) {
        let all: Vec<Superseded> = self.plane.superseded.try_iter().collect();
        self.asks(|plane| all.iter().for_each(|one| plane.end_superseded(one)));
    }

    /// A transaction while the worker runs, so that there may be sessions.
    fn running(&mut self, change: impl FnOnce(&Self)) {
        self.worker.running.store(true, Ordering::Release);
        change(self);
        self.worker.running.store(false, Ordering::Release);
    }

    /// The pools' addresses and states.
    fn pools(&mut self) -> Vec<(Ipv4Addr, NatPoolState)> {
        let pools = self.asks(|plane| plane.nat_pools()).unwrap();
        let mut pools: Vec<_> = pools
            .into_iter()
            .map(|pool| (pool.address, pool.state))
            .collect();
        pools.sort_by_key(|(address, _)| *address);
        pools
    }

    /// Pools whose numbers are in use.
    fn numbers(&mut self) -> usize {
        self.asks(|plane| plane.release_pools());
        let control = self.plane.control.lock();
        control.translation.pools().count() + control.translation.closing_pools().count()
    }

    /// What would become of a frame, while the worker can be asked.
    fn explained(&mut self, interface: &str, frame: Vec<u8>) -> Explanation {
        self.asks_beside(|plane, manager| explain(plane, manager, interface, frame))
    }

    /// The worker logs.
    fn logs(&mut self) {
        self.logs_with_room(1000);
    }

    fn logs_with_room(&mut self, log: u32) {
        let capacity = Capacity {
            sessions: 512,
            pools: 8,
            subscribers: 4,
            log,
            ..Capacity::default()
        };
        let hash = vtepd_tables::random_hash();
        let slices = Slices::alone(hash);
        self.state.translator = Translator::new(capacity, Settings::default(), slices, hash, 0);
        // What it was told before it was replaced.
        for request in self.plane.control.lock().all_nat_requests() {
            request.carry_out(&mut self.state.translator).unwrap();
        }
    }

    fn log(&self, sink: Sink) -> NatLog {
        NatLog {
            workers: vec![self.worker.clone()].into(),
            plane: Arc::clone(&self.plane),
            clock: Arc::default(),
            sink,
            reopen: Arc::default(),
        }
    }

    /// All lines of the log, when something more has happened.
    fn logged(&mut self, more: impl FnOnce(&mut Self)) -> Vec<String> {
        more(self);
        self.state.tell_of_translations();
        let path = std::env::temp_dir().join(format!("vtepd-lines-{}", std::process::id()));
        let log = self.log(Sink::open(&Target::File(path.clone())).unwrap());
        self.asks(move |_| log.run(&AtomicBool::new(true)));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn later(&mut self, seconds: u64) {
        self.plane.control.lock().start -= Duration::from_secs(seconds);
    }

    /// Frames on the external network that the control side had sent.
    fn told_outside(&mut self) -> Vec<Vec<u8>> {
        self.worker.running.store(true, Ordering::Release);
        self.tick();
        self.worker.running.store(false, Ordering::Release);
        let sent = self.delivered().into_iter();
        sent.filter(|(interface, _)| *interface == EXT)
            .map(|(_, frame)| frame)
            .collect()
    }
}

fn explain(plane: &Plane, manager: &Manager, interface: &str, frame: Vec<u8>) -> Explanation {
    manager.read(|state| {
        let view = state.view();
        let query = ExplainQuery {
            interface: view.find::<Interface>(&interface.parse().unwrap()).unwrap(),
            frame: ExplainFrame::Raw(frame),
        };
        plane.explain(view, &query).unwrap()
    })
}

/// What was said of the translation.
fn said(explanation: &Explanation) -> &str {
    let steps = explanation.steps.iter();
    let mut said = steps.filter(|step| step.stage == "translate");
    &said
        .next()
        .unwrap_or_else(|| panic!("{explanation:?}"))
        .text
}

fn of_inside(inside: &str) -> SessionQuery {
    SessionQuery {
        inside: Some(address(inside).into()),
        ..SessionQuery::default()
    }
}

#[test]
fn s1_a_compute_host_sends_by_way_of_the_central_port() {
    let mut bench = Bench::outside(&r1(H2, true, ""));
    let (interface, frame) = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    assert_eq!(
        (interface, &frame[46..49]),
        (UP, &[0, 6, 0x87][..]),
        "red's VNI"
    );
    let shall = craft::ethernet(SG_RED, HM1)
        .ipv4("10.1.0.5", FAR)
        .ttl(63)
        .tcp(40000, 80, tcp::SYN, b"");
    assert_eq!(frame[50..], shall);
}

#[test]
fn s2_s3_s4_the_central_host_translates_for_others() {
    let mut bench = Bench::outside(&r1(HERE, true, ""));
    let from_h2 = |flags| {
        let inner = craft::ethernet(SG_RED, HM2)
            .ipv4("10.1.0.6", FAR)
            .ttl(63)
            .tcp(40000, 80, flags, b"");
        outer(1671, &inner)
    };
    assert_eq!(
        bench.dropped(UP, &from_h2(tcp::ACK)),
        DropReason::NatNoSession,
        "S4: in the middle of a stream"
    );
    let out = bench.forwarded(UP, &from_h2(tcp::SYN));
    assert_eq!(out, (EXT, outside(QG, QG_IP, 40000, FAR, 62)), "S2");
    let answer = inbound(QG, QG_IP, 40000, tcp::SYN | tcp::ACK);
    let (interface, frame) = bench.forwarded(EXT, &answer);
    let shall = craft::ethernet(RED2, SG_RED)
        .ipv4(FAR, "10.1.0.6")
        .ttl(63)
        .tcp(80, 40000, tcp::SYN | tcp::ACK, b"");
    assert_eq!((interface, &frame[50..]), (UP, &shall[..]), "S3");
    // A station of this host goes through both sides of the router, too.
    let out = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40001, FAR, tcp::SYN));
    assert_eq!(out, (EXT, outside(QG, QG_IP, 40001, FAR, 62)));
    let rows = bench.sessions(SessionQuery::default());
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .all(|row| row.router == Handle::<Router>::new(0))
    );
}

#[test]
fn one_host_alone_translates_and_knows_its_next_hop_before_the_first_packet() {
    let mut bench = Bench::connected(ROUTED);
    let router = r1(HERE, false, "");
    bench
        .transact(&put(&format!(
            r#""networks": {{ "public": {PUBLIC} }}, "routers": {{ "r1": {router} }}"#
        )))
        .unwrap();
    let question = craft::ethernet(BROADCAST, QG).arp_request(QG_IP, NEXT_IP);
    let asked = |bench: &mut Bench| {
        let frames = bench.delivered().into_iter();
        frames.filter(|(_, frame)| *frame == question).count()
    };
    assert_eq!(asked(&mut bench), 1, "at once");
    // Nobody answers for an hour: it is asked on and on.
    for _ in 0..20 {
        bench.later(180);
        bench.tick();
        assert_eq!(asked(&mut bench), 1);
    }
    bench.later(4);
    bench.tick();
    bench.next_hop_answers();
    let out = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    assert_eq!(out, (EXT, outside(QG, QG_IP, 40000, FAR, 63)));
    // It vanishes, is asked on, and comes back with another MAC.
    for _ in 0..20 {
        bench.later(70);
        bench.tick();
    }
    let (sent, drops) = bench.send(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    assert!(
        sent.is_empty() && drops.is_empty(),
        "held: {sent:?} {drops:?}"
    );
    bench.delivered();
    bench.later(70);
    bench.tick();
    assert_eq!(asked(&mut bench), 1);
    let reply = craft::ethernet(QG, OUT).arp_reply(NEXT_IP, QG_IP);
    bench.send(EXT, &reply);
    bench.tick();
    let (_, frame) = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    assert_eq!(
        frame[..6],
        outside_to_out()[..6],
        "to where the next hop is now"
    );
    // No way outside any more: nobody is asked.
    let bare = without_way(&router);
    bench.put("routers", "r1", &bare);
    for _ in 0..5 {
        bench.later(70);
        bench.tick();
    }
    assert_eq!(asked(&mut bench), 0);
}

fn outside_to_out() -> Vec<u8> {
    craft::ethernet(OUT, QG).payload(0x800, &[])
}

#[test]
fn f1_f2_f3_f4_a_floating_ip_comes_and_goes() {
    let mut bench = Bench::outside(&r1(H2, true, ""));
    bench.fip(r#"{ "address": "203.0.113.7", "network": "public", "port": "red1" }"#);
    // F4: three times a second apart, in both forms.
    let request = craft::ethernet(BROADCAST, FG).arp(arp::Packet::announcement(
        vtepd_wire::craft::Literal::value(FG),
        address(FIP),
    ));
    let reply = craft::ethernet(BROADCAST, FG).arp(arp::Packet::announcement_reply(
        vtepd_wire::craft::Literal::value(FG),
        address(FIP),
    ));
    for _ in 0..3 {
        assert_eq!(bench.told_outside(), [request.clone(), reply.clone()]);
        assert!(bench.told_outside().is_empty());
        bench.later(1);
    }
    assert!(bench.told_outside().is_empty());
    // F1, with the ports as they are, by the gateway of this host.
    let out = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    assert_eq!(out, (EXT, outside(FG, FIP, 40000, FAR, 62)));
    // F2.
    let question = craft::ethernet(BROADCAST, OUT).arp_request(OUT_IP, FIP);
    let answer = craft::ethernet(OUT, FG).arp_reply(FIP, OUT_IP);
    assert_eq!(bench.forwarded(EXT, &question), (EXT, answer));
    // F3.
    let inside = |port| {
        craft::ethernet(RED1, GW_RED)
            .vlan(RED_VLAN)
            .ipv4(FAR, "10.1.0.5")
            .ttl(62)
            .tcp(80, port, tcp::SYN, b"")
    };
    let out = bench.forwarded(EXT, &inbound(FG, FIP, 22, tcp::SYN));
    assert_eq!(out, (TRUNK, inside(22)));
    // Nothing is answered for one that is only reserved.
    bench.fip(r#"{ "address": "203.0.113.7", "network": "public" }"#);
    let (sent, _) = bench.send(EXT, &question);
    assert!(
        !sent.iter().any(|(interface, _)| *interface == EXT),
        "{sent:?}"
    );
    assert_eq!(
        bench.dropped(EXT, &inbound(FG, FIP, 22, tcp::SYN)),
        DropReason::NatNotOurs
    );
    let (interface, _) = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    assert_eq!(interface, UP, "by way of the central port again");
}

#[test]
fn a_gateway_s_address_is_announced_where_it_comes_to_and_no_longer_where_it_leaves() {
    let mut bench = Bench::outside(&r1(H2, true, ""));
    for _ in 0..3 {
        bench.told_outside();
        bench.later(1);
    }
    assert!(bench.told_outside().is_empty());
    bench.put("routers", "r1", &r1(HERE, true, ""));
    let forms = [
        arp::Packet::announcement(vtepd_wire::craft::Literal::value(QG), address(QG_IP)),
        arp::Packet::announcement_reply(vtepd_wire::craft::Literal::value(QG), address(QG_IP)),
    ];
    let forms = forms.map(|form| craft::ethernet(BROADCAST, QG).arp(form));
    let told = bench.told_outside();
    assert!(forms.iter().all(|form| told.contains(form)), "{told:02x?}");
    // It has gone before all was said.
    bench.put("routers", "r1", &r1(H2, true, ""));
    bench.later(2);
    let told = bench.told_outside();
    assert!(!forms.iter().any(|form| told.contains(form)), "{told:02x?}");
}

#[test]
fn addresses_are_announced_where_their_network_moves_to() {
    let mut bench = Bench::alone();
    bench.fip(r#"{ "address": "203.0.113.7", "network": "public", "fixed_address": "10.1.0.5" }"#);
    for _ in 0..4 {
        bench.told_outside();
        bench.later(1);
    }
    assert!(bench.told_outside().is_empty());
    let moved = PUBLIC.replace(
        r#""type": "flat", "interface": "vm1""#,
        r#""type": "vlan", "interface": "trunk", "vlan": 99"#,
    );
    bench.put("networks", "public", &moved);
    bench.worker.running.store(true, Ordering::Release);
    bench.tick();
    bench.worker.running.store(false, Ordering::Release);
    let sent = bench.delivered();
    for own in [FIP, QG_IP] {
        let packet = arp::Packet::announcement(vtepd_wire::craft::Literal::value(QG), address(own));
        let frame = craft::ethernet(BROADCAST, QG).vlan(99).arp(packet);
        assert!(sent.contains(&(TRUNK, frame)), "{own}: {sent:02x?}");
    }
}

#[test]
fn a_floating_ip_moves_with_its_port_and_its_settings() {
    let mut bench = Bench::outside(&r1(HERE, true, ""));
    bench.fip(r#"{ "address": "203.0.113.7", "network": "public", "port": "red1" }"#);
    let out = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 1, FAR, tcp::SYN));
    assert_eq!(out, (EXT, outside(FG, FIP, 1, FAR, 62)));
    // By the central gateway: both sides of the router are crossed.
    bench.fip(
        r#"{ "address": "203.0.113.7", "network": "public", "port": "red1", "distributed": false }"#,
    );
    let out = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 1, FAR, tcp::SYN));
    assert_eq!(out, (EXT, outside(QG, FIP, 1, FAR, 62)));
    let question = craft::ethernet(BROADCAST, OUT).arp_request(OUT_IP, FIP);
    let answer = craft::ethernet(OUT, QG).arp_reply(FIP, OUT_IP);
    assert_eq!(bench.forwarded(EXT, &question), (EXT, answer));
    // Another station's, on another host: that host answers, and not this one.
    bench.fip(r#"{ "address": "203.0.113.7", "network": "public", "port": "red2" }"#);
    let (sent, _) = bench.send(EXT, &question);
    assert!(
        !sent.iter().any(|(interface, _)| *interface == EXT),
        "{sent:?}"
    );
    // Its host comes to be this one.
    bench.put(
        "ports",
        "red2",
        r#"{ "network": "red", "mac": "fa:16:3e:00:01:06", "addresses": ["10.1.0.6"], "interface": "trunk", "vlan": 11 }"#,
    );
    let answer = craft::ethernet(OUT, FG).arp_reply(FIP, OUT_IP);
    assert_eq!(bench.forwarded(EXT, &question), (EXT, answer));
    // With another address inside.
    bench
        .transact(&put(
            r#""ports": { "red2": { "network": "red", "mac": "fa:16:3e:00:01:06", "addresses": ["10.1.0.66"],
                                   "interface": "trunk", "vlan": 11 } },
               "floating-ips": { "fip1": { "address": "203.0.113.7", "network": "public", "port": "red2" } }"#,
        ))
        .unwrap();
    let (interface, frame) = bench.forwarded(EXT, &inbound(FG, FIP, 22, tcp::SYN));
    assert_eq!((interface, &frame[34..38]), (TRUNK, &[10, 1, 0, 66][..]));
    // The host's gateway takes another MAC.
    let other = PUBLIC.replace(FG, "fa:16:3e:7d:00:03");
    bench.put("networks", "public", &other);
    let answer = craft::ethernet(OUT, "fa:16:3e:7d:00:03").arp_reply(FIP, OUT_IP);
    assert_eq!(bench.forwarded(EXT, &question), (EXT, answer));
    bench.delete("floating-ips", "fip1");
    let (sent, _) = bench.send(EXT, &question);
    assert!(
        !sent.iter().any(|(interface, _)| *interface == EXT),
        "{sent:?}"
    );
}

#[test]
fn ports_are_forwarded_to_stations_and_no_longer() {
    let mut bench = Bench::alone();
    bench.fip(
        r#"{ "address": "203.0.113.7", "network": "public", "forwardings": [
            { "protocol": "tcp", "port": 8080, "to": "10.1.0.5:80" },
            { "protocol": "tcp", "port": 2222, "to": "10.2.0.5:22" }] }"#,
    );
    let (interface, frame) = bench.forwarded(EXT, &inbound(QG, FIP, 8080, tcp::SYN));
    let shall = craft::ethernet(RED1, GW_RED)
        .vlan(RED_VLAN)
        .ipv4(FAR, "10.1.0.5")
        .ttl(63)
        .tcp(80, 80, tcp::SYN, b"");
    assert_eq!((interface, frame), (TRUNK, shall));
    let (_, frame) = bench.forwarded(EXT, &inbound(QG, FIP, 2222, tcp::SYN));
    assert_eq!(frame[34..38], [10, 2, 0, 5]);
    assert_eq!(
        bench.dropped(EXT, &inbound(QG, FIP, 81, tcp::SYN)),
        DropReason::NatNoMapping
    );
    bench.fip(
        r#"{ "address": "203.0.113.7", "network": "public", "forwardings": [
            { "protocol": "tcp", "port": 81, "to": "10.1.0.5:80" }] }"#,
    );
    assert_eq!(
        bench.dropped(EXT, &inbound(QG, FIP, 8080, tcp::SYN)),
        DropReason::NatNoMapping
    );
    bench.forwarded(EXT, &inbound(QG, FIP, 81, tcp::SYN));
}

#[test]
fn sessions_are_shown_by_names_and_ended() {
    let mut bench = Bench::alone();
    for port in 1..=3 {
        bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000 + port, FAR, tcp::SYN));
    }
    bench.forwarded(TRUNK, &tcp_out("10.2.0.5", 40001, FAR, tcp::SYN));
    let rows = bench.sessions(of_inside("10.2.0.5"));
    let [row] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(row.router, Handle::<Router>::new(0));
    assert_eq!(row.protocol, SessionProtocol::Tcp);
    assert_eq!(row.state, SessionState::Opening);
    assert_eq!(row.inside, "10.2.0.5:40001".parse().unwrap());
    assert_eq!(row.remote, format!("{FAR}:80").parse().unwrap());
    assert_eq!(row.outside.ip(), address(QG_IP));
    assert_ne!(row.outside.port(), 40001, "red1 has it");
    assert_eq!((row.worker, row.expires_in_seconds), (0, 240));
    // In pages.
    let mut query = SessionQuery {
        limit: 3,
        router: Some(Handle::new(0)),
        ..SessionQuery::default()
    };
    let first = bench.asks(|plane| plane.sessions(&query)).unwrap();
    assert_eq!(first.rows.len(), 3);
    query.cursor = first.next;
    assert!(matches!(
        query.cursor,
        Some(SessionCursor { worker: 0, .. })
    ));
    let second = bench.asks(|plane| plane.sessions(&query)).unwrap();
    assert_eq!(second.rows.len(), 1);
    // A place that no worker of ours has given out, and that has the bits of the first one's.
    let foreign = SessionQuery {
        cursor: Some(SessionCursor {
            worker: 1 << 16,
            place: 0,
        }),
        ..query
    };
    let none = bench.asks(|plane| plane.sessions(&foreign)).unwrap();
    assert_eq!((none.rows.len(), none.next), (0, None));
    let of_none = SessionQuery {
        router: Some(Handle::new(7)),
        ..SessionQuery::default()
    };
    assert_eq!(bench.sessions(of_none), []);
    let by_ipv6 = SessionQuery {
        inside: Some("2001:db8::1".parse().unwrap()),
        ..SessionQuery::default()
    };
    assert_eq!(bench.sessions(by_ipv6), []);
    let ended = SessionQuery {
        inside_port: Some(40001),
        router: Some(Handle::new(0)),
        ..SessionQuery::default()
    };
    assert_eq!(bench.asks(|plane| plane.delete_sessions(&ended)), Ok(2));
    assert_eq!(bench.sessions(SessionQuery::default()).len(), 2);
    let tables = bench.asks(|plane| plane.tables());
    let table = |name: &str| tables.iter().find(|table| table.name == name).unwrap();
    assert_eq!(table("nat_sessions").used, 2);
    assert_eq!(table("nat_sessions").capacity, 1024);
    assert_eq!(table("nat_sessions").high_water, 4);
    assert_eq!(table("nat_mappings").used, 4, "ports rest");
}

#[test]
fn workers_that_do_not_run_are_named() {
    let bench = Bench::alone();
    let query = SessionQuery {
        limit: 1,
        ..SessionQuery::default()
    };
    let refusal = bench.plane.sessions(&query).unwrap_err();
    assert_eq!(refusal.code, Code::Unhealthy);
    assert!(refusal.to_string().contains("core 0"), "{refusal}");
    assert_eq!(bench.plane.nat_pools().unwrap_err().code, Code::Unhealthy);
    let tables = bench.plane.tables();
    assert!(tables.iter().all(|table| !table.name.starts_with("nat")));
}

#[test]
fn what_a_floating_ip_supersedes_ends() {
    let mut bench = Bench::alone();
    bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    bench.forwarded(TRUNK, &tcp_out("10.2.0.5", 40001, FAR, tcp::SYN));
    bench.forwarded(TRUNK, &tcp_out("10.2.0.5", 40002, FAR, tcp::SYN));
    bench.running(|bench| {
        bench.fip(r#"{ "address": "203.0.113.7", "network": "public", "port": "red1" }"#);
    });
    bench.end_superseded();
    assert_eq!(bench.sessions(of_inside("10.1.0.5")), []);
    assert_eq!(bench.sessions(SessionQuery::default()).len(), 2);
    // The same of a port that is forwarded to, and of no other.
    bench.running(|bench| {
        bench.fip(
            r#"{ "address": "203.0.113.7", "network": "public", "router": "r1",
                "forwardings": [{ "protocol": "tcp", "port": 80, "to": "10.2.0.5:40002" }] }"#,
        );
    });
    bench.end_superseded();
    let rows = bench.sessions(SessionQuery::default());
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].inside.port(), 40001);
    // Whatever has come in the meantime is looked for at once.
    bench.running(|bench| {
        bench.fip(r#"{ "address": "203.0.113.7", "network": "public", "port": "red1" }"#);
        bench.fip(
            r#"{ "address": "203.0.113.7", "network": "public", "router": "r1",
                "forwardings": [{ "protocol": "tcp", "port": 80, "to": "10.2.0.5:40002" }] }"#,
        );
    });
    let waiting: Vec<Superseded> = bench.plane.superseded.try_iter().collect();
    assert_eq!(waiting.len(), 2);
    let together = Superseded::default().with(waiting.into_iter());
    assert_eq!(together.ends(), 2);
    // Nothing about addresses inside: nothing is looked for.
    bench.running(|bench| {
        bench.fip(
            r#"{ "address": "203.0.113.7", "network": "public", "router": "r1", "description": "a",
                "forwardings": [{ "protocol": "tcp", "port": 81, "to": "10.2.0.5:40002" }] }"#,
        );
    });
    assert_eq!(bench.plane.superseded.try_iter().count(), 0);
}

#[test]
fn pools_come_and_go_with_what_names_them() {
    let mut bench = Bench::alone();
    let open = |address: &str| (address.parse::<Ipv4Addr>().unwrap(), NatPoolState::Open);
    assert_eq!(bench.pools(), [open(QG_IP)]);
    bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    let pools = bench.asks(|plane| plane.nat_pools()).unwrap();
    let used: Vec<_> = pools[0]
        .ports
        .iter()
        .map(|ports| (ports.protocol, ports.used, ports.used + ports.free))
        .collect();
    assert_eq!(
        used,
        [
            (SessionProtocol::Icmp, 0, 65_535),
            (SessionProtocol::Tcp, 1, 65_535),
            (SessionProtocol::Udp, 0, 65_535)
        ]
    );
    assert_eq!(pools[0].sessions, 1);
    // Another address: the sessions of the former one end with it.
    let other = r1(HERE, false, "").replace("203.0.113.5/24", "203.0.113.6/24");
    bench.put("routers", "r1", &other);
    assert_eq!(bench.sessions(SessionQuery::default()), []);
    let (_, frame) = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    assert_eq!(frame[26..30], [203, 0, 113, 6]);
    assert_eq!(bench.numbers(), 1, "the former number has come back");
    // Another tenant: its limits count from now on, and sessions begin anew.
    let tenant = other.replacen('{', r#"{ "tenant": "acme", "#, 1);
    bench.put("routers", "r1", &tenant);
    assert_eq!(bench.sessions(SessionQuery::default()), []);
    assert_eq!(bench.numbers(), 1);
    // Not translated any more.
    let plain = tenant.replace(
        r#""network": "public","#,
        r#""network": "public", "snat": false,"#,
    );
    bench.put("routers", "r1", &plain);
    assert_eq!(bench.numbers(), 0);
    let (_, frame) = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    assert_eq!(frame[26..30], [10, 1, 0, 5], "as it is");
    bench.put("routers", "r1", &tenant);
    assert_eq!(bench.numbers(), 1);
    bench.delete("routers", "r1");
    assert_eq!(bench.numbers(), 0);
    assert_eq!(bench.plane.control.lock().translation.tenants().count(), 0);
}

#[test]
fn more_outside_addresses_than_there_is_room_for_are_refused_whole() {
    let mut bench = Bench::alone();
    let addresses = |count: u8| {
        let list: Vec<String> = (0..count)
            .map(|number| format!(r#""203.0.113.{}/24""#, 20 + number))
            .collect();
        r1(HERE, false, "").replace(r#""203.0.113.5/24""#, &list.join(", "))
    };
    let refused = |bench: &Bench, count, why: &str| {
        let router = addresses(count);
        let refusal = bench.transact(&put(&format!(r#""routers": {{ "r1": {router} }}"#)));
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.code, Code::TableFull);
        assert!(refusal.to_string().contains(why), "{refusal}");
    };
    refused(&bench, 9, "room for 8 outside addresses");
    let out = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    assert_eq!(out, (EXT, outside(QG, QG_IP, 40000, FAR, 63)), "as before");
    // The former one ends meanwhile: of what is beyond the eight, that takes one.
    bench.put("routers", "r1", &addresses(8));
    // As many again as there is room for those that end.
    bench.put("routers", "r1", &addresses(5));
    bench.put("routers", "r1", &addresses(8));
    // If the disk could not keep it, it could not be undone.
    refused(&bench, 7, "0 outside addresses come and 1 go, and 4 that");
    while bench.numbers() > 8 {
        // The workers clear them up.
    }
    bench.put("routers", "r1", &addresses(7));
    bench.put("routers", "r1", &addresses(8));
    assert_eq!(bench.pools().len(), 8);
}

/// What the disk cannot keep is undone, however little room there is.
#[test]
fn a_change_of_outside_addresses_is_only_begun_if_it_can_be_undone() {
    let mut bench = Bench::alone();
    let addresses = |list: std::ops::Range<u8>| {
        let list: Vec<String> = list
            .map(|number| format!(r#""203.0.113.{number}/24""#))
            .collect();
        let router = r1(HERE, false, "").replace(r#""203.0.113.5/24""#, &list.join(", "));
        put(&format!(r#""routers": {{ "r1": {router} }}"#))
    };
    bench.transact(&addresses(20..28)).unwrap();
    while bench.numbers() > 8 {
        // The workers clear the former one up.
    }
    // Four are to spare: three for three others, and then three back, are six.
    let refusal = bench.transact(&addresses(23..31)).unwrap_err();
    assert_eq!(refusal.code, Code::TableFull);
    // Two are two, and two back.
    bench.manager.read(|state| {
        let mut transaction = Transaction::new(state);
        let body = addresses(22..30).into();
        Batch { body }.stage(&mut transaction).unwrap();
        transaction.check().unwrap();
        let staged = transaction.into_staged();
        let changes = Changes::staged(state, &staged);
        bench.plane.apply(&changes).unwrap();
        bench.plane.apply(&changes.inverse()).unwrap();
    });
    let open = |bench: &mut Bench| {
        let pools = bench.pools().into_iter();
        let open = pools.filter(|(_, state)| *state == NatPoolState::Open);
        open.map(|(address, _)| address.octets()[3])
            .collect::<Vec<_>>()
    };
    assert_eq!(open(&mut bench), [20, 21, 22, 23, 24, 25, 26, 27]);
}

#[test]
fn tenants_are_held_to_their_limits_and_tell_of_it() {
    let mut bench = Bench::alone();
    let sink = EventSink::default();
    bench.plane.set_events(sink.clone());
    let mut listener = sink.listen();
    let heard = |listener: &mut Listener| {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(listener.next()).poll(&mut context) {
            std::task::Poll::Ready(Some(Heard::Event(event))) => Some(event.event.clone()),
            _ => None,
        }
    };
    bench.put("tenants", "acme", r#"{ "nat": { "sessions": 2 } }"#);
    let router = r1(HERE, false, "").replacen('{', r#"{ "tenant": "acme", "#, 1);
    bench.put("routers", "r1", &router);
    bench.asks(|plane| plane.release_pools());
    for port in 1..=2 {
        bench.forwarded(TRUNK, &tcp_out("10.1.0.5", port, FAR, tcp::SYN));
    }
    let refused = |bench: &mut Bench, port| {
        let (sent, drops) = bench.send(TRUNK, &tcp_out("10.1.0.5", port, FAR, tcp::SYN));
        assert_eq!(drops, [DropReason::NatSubscriberSessions]);
        assert_eq!(sent.len(), 1, "and told");
        let error = &sent[0].1[18..];
        assert_eq!((error[20], error[21]), (icmp::UNREACHABLE, 13));
    };
    refused(&mut bench, 3);
    bench.asks(|_| ());
    bench.tick();
    let limit = Event::NatTenantLimit {
        tenant: "acme".parse().unwrap(),
        limit: NatLimit::Sessions,
        worker: 0,
    };
    assert_eq!(heard(&mut listener), Some(limit));
    let tenants = bench.asks(|plane| plane.nat_tenants()).unwrap();
    let [tenant] = &tenants[..] else {
        panic!("{tenants:?}");
    };
    assert_eq!(tenant.tenant, "acme".parse().unwrap());
    assert_eq!((tenant.sessions, tenant.ports), (2, 2));
    assert_eq!(tenant.limits.sessions, 2);
    // More may be given at any time, and what is left out is the default's.
    bench.put("tenants", "acme", r#"{ "nat": { "sessions": 3 } }"#);
    bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 3, FAR, tcp::SYN));
    refused(&mut bench, 4);
    bench.put(
        "nat-settings",
        "default",
        r#"{ "limits": { "sessions": 4 } }"#,
    );
    refused(&mut bench, 4);
    bench.delete("tenants", "acme");
    bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 4, FAR, tcp::SYN));
    refused(&mut bench, 5);
}

#[test]
fn exempt_destinations_and_the_outside_s_own_scope_are_not_translated() {
    let mut bench = Bench::outside(&r1(
        HERE,
        false,
        r#""exempt": ["198.18.7.0/24"], "same_scope": ["10.2.0.0/16"],"#,
    ));
    let source = |frame: &[u8]| <[u8; 4]>::try_from(&frame[26..30]).unwrap();
    let (_, frame) = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 1, FAR, tcp::SYN));
    assert_eq!(source(&frame), [10, 1, 0, 5]);
    let (_, frame) = bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 1, "198.18.8.1", tcp::SYN));
    assert_eq!(source(&frame), [203, 0, 113, 5]);
    let (_, frame) = bench.forwarded(TRUNK, &tcp_out("10.2.0.5", 1, "198.18.8.1", tcp::SYN));
    assert_eq!(source(&frame), [10, 2, 0, 5]);
}

/// While a worker forwards without a pause and the way outside is built, changed and taken down, nothing leaves with an
/// address of the inside.
#[test]
fn no_packet_leaves_untranslated_at_any_moment() {
    let mut bench = Bench::alone();
    // So that nothing ever waits for it.
    bench.put(
        "ports",
        "next",
        r#"{ "network": "public", "mac": "02:00:00:00:0e:01", "addresses": ["203.0.113.1"], "interface": "vm1",
            "anti_spoofing": false }"#,
    );
    let with = r1(HERE, false, "");
    let other = with.replace("203.0.113.5/24", "203.0.113.6/24");
    let tenant = with.replacen('{', r#"{ "tenant": "acme", "#, 1);
    let elsewhere = r1(H2, true, "");
    let central = r1(HERE, true, "");
    let bare = without_way(&with);
    let routers = [&with, &bare, &other, &tenant, &central, &bare, &elsewhere];
    let gone = format!(
        r#"{{ "put": {{ "floating-ips": {{ "fip1": {} }} }}, "delete": {{ "routers": ["r1"] }} }}"#,
        r#"{ "address": "203.0.113.7", "network": "public" }"#
    );
    let fips = [
        r#"{ "address": "203.0.113.7", "network": "public", "fixed_address": "10.1.0.5", "router": "r1" }"#,
        r#"{ "address": "203.0.113.7", "network": "public", "port": "red1" }"#,
        r#"{ "address": "203.0.113.7", "network": "public" }"#,
    ];
    let transactions: Vec<String> = (0..routers.len() * fips.len() * 4)
        .flat_map(|step| {
            let router = routers[step % routers.len()];
            let is_bare = *router == bare;
            let fip = match is_bare {
                true => fips[2],
                false => fips[step % fips.len()],
            };
            // A router may not lose what a floating IP leads through.
            let first = put(&format!(r#""floating-ips": {{ "fip1": {} }}"#, fips[2]));
            let then = put(&format!(
                r#""routers": {{ "r1": {router} }}, "floating-ips": {{ "fip1": {fip} }}"#
            ));
            match step % 3 {
                0 => vec![first, gone.clone(), then],
                _ => vec![first, then],
            }
        })
        .collect();

    let (stop, turns) = (AtomicBool::new(false), AtomicU64::new(0));
    bench.worker.running.store(true, Ordering::Release);
    let (manager, plane) = (&bench.manager, &bench.plane);
    let (state, reader, pipeline) = (&mut bench.state, &mut bench.reader, &mut bench.pipeline);
    let seen = std::thread::scope(|scope| {
        let forwarding = scope.spawn(|| {
            reader.online();
            let mut seen = std::collections::BTreeMap::<[u8; 4], u64>::new();
            let mut port = 0u16;
            while !stop.load(Ordering::Relaxed) {
                turns.fetch_add(1, Ordering::Relaxed);
                state.attend();
                let mut io = MemoryIo::default();
                let mut burst = Burst::new();
                for _ in 0..4 {
                    port = port.wrapping_add(1);
                    let frame = tcp_out("10.1.0.5", port % 64 + 1, FAR, tcp::SYN);
                    burst.push(MemoryPacket::new(&frame));
                }
                let tables = reader.view();
                pipeline.process(&tables, state, &mut io, TRUNK, &mut burst, &mut Unobserved);
                reader.quiescent();
                state.translator.tick(state.seconds, 64);
                for (interface, frame) in frames_of(io) {
                    if interface == EXT && frame[12..14] == [8, 0] {
                        let source: [u8; 4] = frame[26..30].try_into().unwrap();
                        *seen.entry(source).or_default() += 1;
                    }
                }
            }
            reader.offline();
            seen
        });
        for (nth, transaction) in transactions.iter().enumerate() {
            let body = transaction.clone().into();
            let made = manager.write_blocking(Batch { body }, Options::default());
            made.unwrap_or_else(|refusal| panic!("{nth}: {refusal} {transaction}"));
            plane.release_pools();
            plane.control.lock().tick();
            let now = turns.load(Ordering::Relaxed);
            while turns.load(Ordering::Relaxed) < now + 3 && !forwarding.is_finished() {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
        forwarding.join().unwrap()
    });
    bench.worker.running.store(false, Ordering::Release);
    let outside: Vec<[u8; 4]> = seen.keys().copied().collect();
    assert_eq!(
        outside,
        [[203, 0, 113, 5], [203, 0, 113, 6], [203, 0, 113, 7]],
        "{seen:?}"
    );
}

#[test]
fn an_explanation_knows_the_workers_sessions_and_makes_none() {
    let mut bench = Bench::alone();
    let told = bench.explained("trunk", tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    assert_eq!(told.outcome, Outcome::Forwarded);
    assert_eq!(
        said(&told),
        "by SNAT, in a new session, which keeps its port: source 10.1.0.5:40000 becomes 203.0.113.5:40000"
    );
    assert_eq!(
        told.packets[0].bytes,
        outside(QG, QG_IP, 40000, FAR, 63),
        "the packet itself"
    );
    assert_eq!(bench.sessions(SessionQuery::default()), []);

    bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    let (_, frame) = bench.forwarded(TRUNK, &tcp_out("10.2.0.5", 40000, FAR, tcp::SYN));
    let port = u16::from_be_bytes([frame[34], frame[35]]);
    assert_ne!(port, 40000);
    // In the middle of the stream, by a port that no other translator would have come upon.
    let told = bench.explained("trunk", tcp_out("10.2.0.5", 40000, FAR, tcp::ACK));
    assert_eq!(told.outcome, Outcome::Forwarded, "{told:?}");
    assert_eq!(
        said(&told),
        format!(
            "by SNAT, in the session that worker 0 has of it (opening, ends in 240 s if nothing follows): source \
             10.2.0.5:40000 becomes 203.0.113.5:{port}"
        )
    );
    assert_eq!(told.packets[0].bytes[34..36], port.to_be_bytes());
    // Another end, by the same port.
    let told = bench.explained("trunk", tcp_out("10.2.0.5", 40000, "198.18.9.9", tcp::SYN));
    assert!(
        said(&told).contains("by the port that its station has for it already")
            && said(&told).ends_with(&format!("203.0.113.5:{port}")),
        "{}",
        said(&told)
    );
    // The answer, what the mapping lets in, and what nobody has asked for.
    let told = bench.explained("vm1", inbound(QG, QG_IP, port, tcp::SYN | tcp::ACK));
    assert_eq!(told.outcome, Outcome::Forwarded);
    assert!(
        said(&told).contains("the session that worker 0 has")
            && said(&told).ends_with(&format!(
                "destination 203.0.113.5:{port} becomes 10.2.0.5:40000"
            )),
        "{}",
        said(&told)
    );
    let stranger = craft::ethernet(QG, NEXT)
        .ipv4("198.18.9.9", QG_IP)
        .tcp(99, port, tcp::SYN, b"");
    let told = bench.explained("vm1", stranger);
    assert!(said(&told).contains("lets in"), "{}", said(&told));
    let told = bench.explained("vm1", inbound(QG, QG_IP, 7, tcp::ACK));
    assert_eq!(told.outcome, Outcome::Dropped);
    assert_eq!(
        told.drop.unwrap().description,
        DropReason::NatNoSession.description()
    );
    // An error about what was sent is known by the session that it quotes.
    let sent = craft::ethernet(QG, NEXT)
        .ipv4(QG_IP, FAR)
        .tcp(port, 80, tcp::SYN, b"");
    let error = craft::ethernet(QG, NEXT)
        .ipv4("198.18.9.1", QG_IP)
        .icmp(11, 0, 0, &sent[14..]);
    let told = bench.explained("vm1", error);
    assert_eq!(told.outcome, Outcome::Forwarded, "{told:?}");
    assert_eq!(told.packets[0].bytes[34..38], [10, 2, 0, 5], "{told:?}");
    let rows = bench.sessions(SessionQuery::default());
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.state == SessionState::Opening));

    // While the worker cannot be asked that is said.
    let told = explain(
        &bench.plane,
        &bench.manager,
        "trunk",
        tcp_out("10.2.0.5", 40000, FAR, tcp::SYN),
    );
    assert!(said(&told).contains("not known: "), "{}", said(&told));
}

#[test]
fn an_explanation_names_the_rule() {
    let mut bench = Bench::outside(&r1(
        HERE,
        false,
        r#""exempt": ["198.18.8.0/24"], "same_scope": ["10.2.0.0/16"],"#,
    ));
    let out = |to| tcp_out("10.1.0.5", 40000, to, tcp::SYN);
    let told = bench.explained("trunk", out("198.18.8.1"));
    assert!(said(&told).contains("exempt"), "{}", said(&told));
    let told = bench.explained("trunk", tcp_out("10.2.0.5", 1, FAR, tcp::SYN));
    assert!(said(&told).contains("address scope"), "{}", said(&told));
    bench.fip(
        r#"{ "address": "203.0.113.7", "network": "public",
            "forwardings": [{ "protocol": "tcp", "port": 8080, "to": "10.1.0.5:40000" }] }"#,
    );
    let told = bench.explained("trunk", out(FAR));
    assert_eq!(
        said(&told),
        "by port forwarding: source 10.1.0.5:40000 becomes 203.0.113.7:8080"
    );
    bench.fip(r#"{ "address": "203.0.113.7", "network": "public", "port": "red1" }"#);
    let told = bench.explained("trunk", out(FAR));
    assert!(
        said(&told).starts_with("by floating IP") && said(&told).ends_with("203.0.113.7:40000"),
        "{}",
        said(&told)
    );
    let told = bench.explained("vm1", inbound(QG, FIP, 22, tcp::SYN));
    assert!(
        said(&told).ends_with("destination 203.0.113.7:22 becomes 10.1.0.5:22"),
        "{}",
        said(&told)
    );
    let told = bench.explained("vm1", inbound(QG, "203.0.113.99", 22, tcp::SYN));
    assert_eq!(told.outcome, Outcome::Dropped);
    assert_eq!(told.drop.unwrap().reason, DropReason::NatNotOurs.name());
}

#[test]
fn rfc6888_req12_who_had_which_port_is_logged_and_what_is_lost_is_said() {
    let mut bench = Bench::alone();
    bench.logs_with_room(3);
    let directory = std::env::temp_dir().join(format!("vtepd-nat-log-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("nat.log");
    let write = |bench: &mut Bench| {
        bench.state.tell_of_translations();
        let log = bench.log(Sink::open(&Target::File(path.clone())).unwrap());
        bench.asks(move |_| log.run(&AtomicBool::new(true)));
    };
    bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    // The same port to another end is no news.
    bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, "198.18.9.9", tcp::SYN));
    write(&mut bench);
    let text = std::fs::read_to_string(&path).unwrap();
    let (started, line) = text.trim_end().split_once('\n').unwrap();
    assert!(started.ends_with("Z started"), "{text}");
    let (_, line) = line.split_once(' ').unwrap();
    assert_eq!(
        line,
        "port-taken router=r1 tenant=r1 inside=10.1.0.5 outside=203.0.113.5 protocol=tcp ports=40000"
    );
    for port in 1..=5 {
        bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000 + port, FAR, tcp::SYN));
    }
    write(&mut bench);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    assert!(lines[6].ends_with(" records-lost count=2"), "{text}");
    std::fs::remove_dir_all(directory).unwrap();
}

/// A deleted router's number is given to the next one at once, while the sessions of the former still end.
#[test]
fn the_log_names_the_router_that_had_a_port_and_not_who_has_its_number_now() {
    let mut bench = Bench::alone();
    bench.logs();
    bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000, FAR, tcp::SYN));
    bench.delete("routers", "r1");
    let next = r1(HERE, false, "")
        .replace("203.0.113.5/24", "203.0.113.6/24")
        .replacen('{', r#"{ "tenant": "acme", "#, 1);
    // The next hop is still known: the host's own gateway out there can ask for it, too.
    bench.put("routers", "r2", &next);
    bench.asks(|_| ());
    let lines = bench.logged(|bench| {
        bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40001, FAR, tcp::SYN));
    });
    assert!(
        lines[1].contains(" port-taken router=r1 tenant=r1 ")
            && lines[2].contains(" port-freed router=r1 tenant=r1 ")
            && lines[3].contains(" port-taken router=r2 tenant=acme "),
        "{lines:#?}"
    );
    while bench.numbers() > 1 {
        // The worker clears the former one's up.
    }
    let names = Arc::clone(bench.plane.nat_names());
    let mut vrfs = (0..4).filter_map(VrfIndex::new);
    let former = vrfs.find_map(|vrf| names.pool(&(vrf, SubscriberIndex(0), address(QG_IP))));
    assert_eq!(former, None, "nobody speaks of it any more");
}

/// Syslog that does not read keeps neither the workers nor the end.
#[test]
fn a_log_that_nobody_reads_does_not_keep_the_daemon_from_stopping() {
    let mut bench = Bench::alone();
    bench.logs();
    let directory = std::env::temp_dir().join(format!("vtepd-deaf-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("log");
    let _deaf = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let sink = Sink::open(&Target::Local(path.clone())).unwrap();
    // Until it has no room for more.
    let other = std::os::unix::net::UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"", &path).is_ok() {}
    for port in 0..200 {
        bench.forwarded(TRUNK, &tcp_out("10.1.0.5", 40000 + port, FAR, tcp::SYN));
    }
    bench.state.tell_of_translations();
    let log = bench.log(sink);
    bench.asks(move |_| log.run(&AtomicBool::new(true)));
    assert!(bench.worker.channel.nat.log.is_empty());
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn an_explanation_crosses_to_the_worker_that_owns_the_station() {
    let bench = Bench::with(Room { workers: 3, ..ROOM });
    bench.replace(ROUTED).unwrap();
    bench.commanded();
    let router = r1(HERE, false, "");
    let bench = Bench::led_outside(bench, &router);
    let mut crossed = 0;
    for station in 10..42 {
        bench.put(
            "ports",
            "red1",
            &format!(
                r#"{{ "network": "red", "mac": "{RED1}", "addresses": ["10.1.0.{station}"], "interface": "trunk", "vlan": 11 }}"#
            ),
        );
        let frame = tcp_out(&format!("10.1.0.{station}"), 40000, FAR, tcp::SYN);
        let told = explain(&bench.plane, &bench.manager, "trunk", frame);
        assert_eq!(told.outcome, Outcome::Forwarded, "{told:?}");
        assert!(
            told.packets[0].summary.contains("203.0.113.5"),
            "{:?}",
            told.packets
        );
        let codes: Vec<&str> = told.steps.iter().map(|step| step.code.as_str()).collect();
        crossed += usize::from(codes.contains(&"handed-over"));
    }
    assert!((1..32).contains(&crossed), "{crossed} of 32");
}
