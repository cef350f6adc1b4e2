//! Questions about packets: what is looked up, and what the control plane is asked.

use mgmt_api::explain::{ExplainFrame, ExplainQuery, PacketFields, Transport};
use mgmt_api::resources::Interface;
use serde_json::{Value, json};

use crate::support::api::{Api, cloud, fabric};

/// `red` and `blue` with router `r1` between them, `vlan` with a VLAN as its segment; `a*` live here and `b*` on h1.
async fn with_ports() -> Api {
    let api = Api::new();
    let mut fabric = fabric();
    let put = &mut fabric["put"];
    put["hosts"]["this-host"]["dvr_mac"] = "fa:16:3f:00:00:01".into();
    put["hosts"]["h1"]["dvr_mac"] = "fa:16:3f:00:00:02".into();
    put["hosts"]["h2"] = json!({"vtep": "192.0.2.13"});
    let subnets = |cidrs: &[&str]| -> Value {
        let subnets = cidrs.iter().map(|cidr| json!({"cidr": cidr}));
        subnets.collect()
    };
    put["networks"]["red"] = json!({
        "segment": {"type": "vxlan", "vni": 11},
        "subnets": subnets(&["192.168.1.0/24", "2001:db8:1::/64"]),
    });
    put["networks"]["blue"]["subnets"] = subnets(&["192.168.2.0/24"]);
    put["networks"]["vlan"] =
        json!({"segment": {"type": "vlan", "interface": "eth1", "vlan": 300}});
    put["routers"]["r1"] = json!({"interfaces": [
        {"network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["192.168.1.1/24", "2001:db8:1::1/64"]},
        {"network": "blue", "mac": "fa:16:3e:00:00:02", "addresses": ["192.168.2.1/24"]},
        {"network": "vlan", "mac": "fa:16:3e:00:00:03", "addresses": ["192.168.3.1/24"]},
    ]});
    let port = |network: &str, n: u8, addresses: Value, place: Value| {
        let mac = format!("52:54:00:00:00:{n:02x}");
        let mut port = json!({"network": network, "mac": mac, "addresses": addresses});
        let place = place.as_object().unwrap().clone();
        port.as_object_mut().unwrap().extend(place);
        port
    };
    let here = |vlan: u16| json!({"interface": "eth1", "vlan": vlan});
    let there = json!({"host": "h1"});
    put["ports"] = json!({
        "a-red": port("red", 1, json!(["192.168.1.9", "2001:db8:1::9"]), here(7)),
        "b-red": port("red", 2, json!(["192.168.1.10", "2001:db8:1::10"]), there.clone()),
        "a-blue": port("blue", 3, json!(["192.168.2.9"]), here(100)),
        "b-blue": port("blue", 4, json!(["192.168.2.10"]), there.clone()),
        "b-vlan": port("vlan", 5, json!(["192.168.3.10"]), there),
        "a-vlan": port("vlan", 8, json!(["192.168.3.9"]), here(8)),
        "plain": port("blue", 9, json!(["192.168.2.11"]), json!({"host": "h2"})),
        "mute": port("blue", 6, json!([]), json!({"host": "h2"})),
    });
    api.post("/v1/transaction", fabric).await.expect(200);
    api
}

/// What the control plane is asked, and the interface's name.
async fn asked(api: &Api, question: Value) -> (String, PacketFields) {
    api.post("/v1/explain", question).await.expect(200);
    let query = api.control.explained.lock().take().unwrap();
    let name = api.manager.read(|state| {
        let view = state.view();
        view.name_of::<Interface>(query.interface)
    });
    let ExplainQuery {
        frame: ExplainFrame::Packet(packet),
        ..
    } = query
    else {
        panic!("made of fields");
    };
    (name, packet)
}

fn macs(packet: &PacketFields) -> (String, String) {
    (
        packet.source_mac.to_string(),
        packet.destination_mac.to_string(),
    )
}

fn mac(n: u8) -> String {
    format!("52:54:00:00:00:{n:02x}")
}

fn gateway(n: u8) -> String {
    format!("fa:16:3e:00:00:{n:02x}")
}

#[tokio::test]
async fn a_port_here_sends_to_a_neighbour_or_to_its_gateway() {
    let api = with_ports().await;
    let question = json!({"from": "a-red", "to": "b-red", "protocol": "tcp/443"});
    let (interface, packet) = asked(&api, question).await;
    assert_eq!(interface, "interfaces/eth1");
    assert_eq!(packet.tag.unwrap().vid.get(), 7);
    assert_eq!(packet.tunnel, None);
    assert_eq!(macs(&packet), (mac(1), mac(2)));
    assert_eq!(
        (
            packet.source.to_string(),
            packet.destination.to_string(),
            packet.transport,
            packet.ttl,
            packet.length
        ),
        (
            "192.168.1.9".to_owned(),
            "192.168.1.10".to_owned(),
            Transport::Tcp {
                source_port: 49152,
                destination_port: 443
            },
            64,
            84
        )
    );
    // Another network: by the gateway, whatever is there. IPv6 likewise.
    for (to, destination) in [
        ("a-blue", "192.168.2.9"),
        ("192.168.2.77", "192.168.2.77"),
        ("10.0.0.5", "10.0.0.5"),
        ("2001:db8:7::1", "2001:db8:7::1"),
    ] {
        let (_, packet) = asked(&api, json!({"from": "a-red", "to": to})).await;
        assert_eq!(macs(&packet), (mac(1), gateway(1)), "{to}");
        assert_eq!(packet.destination.to_string(), destination);
        assert!(matches!(packet.transport, Transport::Echo { .. }));
    }
    // The gateway itself, everyone, a group, and a question.
    for (to, protocol, to_mac) in [
        ("192.168.1.1", "icmp", gateway(1).as_str()),
        ("192.168.1.255", "udp/7", "ff:ff:ff:ff:ff:ff"),
        ("239.1.2.3", "udp/7", "01:00:5e:01:02:03"),
        ("ff02::fb", "udp/7", "33:33:00:00:00:fb"),
        ("192.168.1.10", "arp", "ff:ff:ff:ff:ff:ff"),
        ("2001:db8:1::10", "nd", "33:33:ff:00:00:10"),
    ] {
        let question = json!({"from": "a-red", "to": to, "protocol": protocol});
        let (_, packet) = asked(&api, question).await;
        assert_eq!(macs(&packet).1, to_mac, "{to}");
    }
    // What is given wins: a spoofed source, a packet that is too long, another protocol.
    let question = json!({
        "from": "a-red", "to": "a-blue", "source": "192.168.1.66", "source_mac": "02:00:00:00:00:01",
        "ttl": 1, "length": 1400, "dont_fragment": true, "protocol": "47",
    });
    let (_, packet) = asked(&api, question).await;
    assert_eq!(macs(&packet), ("02:00:00:00:00:01".to_owned(), gateway(1)));
    assert_eq!(packet.source.to_string(), "192.168.1.66");
    assert_eq!((packet.ttl, packet.length), (1, 1400));
    assert!(packet.dont_fragment);
    assert_eq!(packet.transport, Transport::Other(47));
}

#[tokio::test]
async fn a_port_elsewhere_sends_what_arrives_here() {
    let api = with_ports().await;
    // Bridged: as it is, in the tunnel of its network.
    let (interface, packet) = asked(&api, json!({"from": "b-red", "to": "a-red"})).await;
    assert_eq!(interface, "interfaces/eth0");
    let tunnel = packet.tunnel.unwrap();
    assert_eq!(
        (
            tunnel.vni.get(),
            tunnel.source.to_string(),
            tunnel.destination.to_string()
        ),
        (11, "192.0.2.12".to_owned(), "192.0.2.11".to_owned())
    );
    assert_eq!(macs(&packet), (mac(2), mac(1)));
    assert_eq!(packet.ttl, 64);
    // Routed there: from its DVR MAC, in the destination's network, one hop further.
    let (_, packet) = asked(&api, json!({"from": "b-red", "to": "a-blue"})).await;
    assert_eq!(packet.tunnel.unwrap().vni.get(), 10);
    assert_eq!(macs(&packet), ("fa:16:3f:00:00:02".to_owned(), mac(3)));
    assert_eq!(packet.ttl, 63);
    // On a VLAN segment.
    let (interface, packet) = asked(&api, json!({"from": "b-vlan", "to": "a-vlan"})).await;
    assert_eq!(interface, "interfaces/eth1");
    assert_eq!(packet.tunnel, None);
    assert_eq!(packet.tag.unwrap().vid.get(), 300);

    // A host that does not route sends to the gateway itself.
    let (_, packet) = asked(&api, json!({"from": "plain", "to": "a-red"})).await;
    assert_eq!(macs(&packet), (mac(9), gateway(2)));
    assert_eq!((packet.tunnel.unwrap().vni.get(), packet.ttl), (10, 64));

    // What goes elsewhere does not come by.
    for to in ["b-blue", "10.0.0.5", "192.168.2.77", "192.168.1.1"] {
        let answer = api
            .post("/v1/explain", json!({"from": "b-red", "to": to}))
            .await;
        let sentence = answer.refused("invalid", Some("/from"));
        assert!(sentence.contains("hosts/h1"), "{sentence}");
    }
}

#[tokio::test]
async fn a_packet_may_be_given_whole() {
    let api = with_ports().await;
    let question = json!({
        "interface": "eth1", "vlan": 7, "source_mac": mac(1), "destination_mac": gateway(1),
        "source": "192.168.1.9", "destination": "192.168.2.9", "protocol": "udp/53", "source_port": 1024,
    });
    let (_, packet) = asked(&api, question).await;
    assert_eq!(packet.tag.unwrap().vid.get(), 7);
    assert_eq!(
        packet.transport,
        Transport::Udp {
            source_port: 1024,
            destination_port: 53
        }
    );
    // Or as a frame, whose answer is a drop here.
    let frame = "ff:ff:ff:ff:ff:ff 52:54:00:00:00:01 0806";
    let question = json!({"interface": "eth1", "frame": frame});
    let answer = api.post("/v1/explain", question).await.expect(200);
    assert_eq!(
        answer,
        json!({
            "frame": "ffffffffffff5254000000010806",
            "steps": [
                {"stage": "input", "code": "bound", "text": "it belongs to network blue", "entry": {"network": "blue"}},
                {"stage": "decide", "code": "vni-unknown", "text": "it goes no further"},
            ],
            "outcome": "dropped",
            "drop": {"reason": "vni-unknown", "description": "The VNI belongs to no network here."},
            "packets": [],
        })
    );
}

#[tokio::test]
async fn a_question_that_cannot_be_asked_is_refused() {
    let api = with_ports().await;
    let frame = "52540000000152540000000208000000";
    let whole = |field: &str, value: Value| {
        let mut question = json!({
            "interface": "eth1", "source_mac": mac(1), "destination_mac": mac(2),
            "source": "192.168.1.9", "destination": "192.168.2.9",
        });
        question[field] = value;
        question
    };
    for (question, code, field) in [
        (json!({}), "invalid", "/interface"),
        (json!({"frame": frame}), "invalid", "/interface"),
        (
            json!({"interface": "eth9", "frame": frame}),
            "unknown-reference",
            "/interface",
        ),
        (
            json!({"interface": "eth1", "frame": "0x12"}),
            "invalid",
            "/frame",
        ),
        (
            json!({"interface": "eth1", "frame": "1234"}),
            "invalid",
            "/frame",
        ),
        (
            json!({"interface": "eth1", "frame": frame, "ttl": 1}),
            "conflict",
            "/frame",
        ),
        (json!({"from": "a-red"}), "invalid", "/to"),
        (
            json!({"from": "a-red", "to": "nobody"}),
            "unknown-reference",
            "/to",
        ),
        (
            json!({"from": "nobody", "to": "a-red"}),
            "unknown-reference",
            "/from",
        ),
        (
            json!({"from": "a-red", "to": "a-blue", "destination": "10.0.0.1"}),
            "conflict",
            "/destination",
        ),
        (
            json!({"from": "a-red", "to": "a-blue", "interface": "eth1"}),
            "conflict",
            "/interface",
        ),
        (
            json!({"from": "a-red", "to": "192.168.1.77"}),
            "invalid",
            "/destination_mac",
        ),
        (json!({"from": "mute", "to": "a-red"}), "invalid", "/to"),
        (
            json!({"from": "mute", "to": "192.168.2.9"}),
            "invalid",
            "/source",
        ),
        (
            json!({"from": "a-blue", "to": "2001:db8::1"}),
            "invalid",
            "/source",
        ),
        (
            json!({"interface": "eth1", "to": "a-red"}),
            "invalid",
            "/to",
        ),
        (whole("source_mac", Value::Null), "invalid", "/source_mac"),
        (whole("source", "2001:db8::1".into()), "invalid", "/source"),
        (whole("protocol", "tcp".into()), "invalid", "/protocol"),
        (
            whole("protocol", "tcp/70000".into()),
            "invalid",
            "/protocol",
        ),
        (whole("protocol", "256".into()), "invalid", "/protocol"),
        (whole("length", 27.into()), "invalid", "/length"),
        (whole("tpid", "802.1ad".into()), "invalid", "/tpid"),
        (whole("colour", 1.into()), "invalid", "/colour"),
    ] {
        let answer = api.post("/v1/explain", question.clone()).await;
        assert!(!answer.status.is_success(), "{question}");
        let sentence = answer.refused(code, Some(field));
        assert!(sentence.len() > 20, "{sentence}");
    }
}

/// A cloud whose central gateway is on this host, with a station outside and a floating IP for each of two ports.
async fn with_a_way_outside() -> Api {
    let api = Api::new();
    let mut cloud = cloud();
    let put = &mut cloud["put"];
    let gateway = &mut put["routers"]["r1"]["external_gateway"]["gateways"][0];
    gateway["host"] = "this-host".into();
    put["ports"]["out"] = json!({
        "network": "public", "mac": "52:54:00:00:0e:01", "addresses": ["10.100.0.99"], "host": "net1",
    });
    put["ports"]["vm4"] = json!({
        "network": "red", "mac": "52:54:00:00:01:14", "addresses": ["192.168.1.20"], "host": "h1",
    });
    put["floating-ips"] = json!({
        "fip1": {"address": "10.100.0.7", "network": "public", "port": "vm1"},
        "fip2": {"address": "10.100.0.8", "network": "public", "port": "vm2"},
    });
    api.post("/v1/transaction", cloud).await.expect(200);
    api
}

#[tokio::test]
async fn what_leaves_by_the_central_gateway_comes_to_its_port() {
    let api = with_a_way_outside().await;
    let out = |from: &str| json!({"from": from, "to": "198.51.100.7", "protocol": "tcp/443"});
    // From here to the gateway, as everything else.
    let (interface, packet) = asked(&api, out("vm1")).await;
    assert_eq!((interface.as_str(), packet.ttl), ("interfaces/eth1", 64));
    assert_eq!(packet.destination_mac.to_string(), "fa:16:3e:5b:89:14");
    // From another host, which has routed it (S1).
    let (interface, packet) = asked(&api, out("vm4")).await;
    assert_eq!((interface.as_str(), packet.ttl), ("interfaces/eth0", 63));
    assert_eq!(packet.source_mac.to_string(), "fa:16:3f:00:00:02");
    assert_eq!(packet.destination_mac.to_string(), "fa:16:3e:19:e1:98");
    // Its host translates it by its floating IP.
    let answer = api.post("/v1/explain", out("vm2")).await;
    let sentence = answer.refused("invalid", Some("/from"));
    assert!(sentence.contains("floating-ips/fip2"), "{sentence}");
    let mut cloud = cloud();
    let router = &mut cloud["put"]["routers"]["r1"];
    api.put("/v1/routers/r1", router.take()).await.expect(200);
    let answer = api.post("/v1/explain", out("vm4")).await;
    let sentence = answer.refused("invalid", Some("/from"));
    assert!(
        sentence.contains("the central gateway of routers/r1 is not here"),
        "{sentence}"
    );
}

#[tokio::test]
async fn a_station_outside_finds_floating_ips_and_gateways() {
    let api = with_a_way_outside().await;
    let cases = [
        ("10.100.0.7", "fa:16:3e:7d:bd:86"),
        ("10.100.0.8", "fa:16:3e:7d:bd:87"),
        ("10.100.0.5", "fa:16:3e:70:a5:d3"),
        ("10.100.0.2", "fa:16:3e:7d:bd:86"),
    ];
    for (to, mac) in cases {
        let question = json!({"from": "out", "to": to, "protocol": "icmp"});
        let (interface, packet) = asked(&api, question).await;
        assert_eq!(
            (interface.as_str(), packet.ttl),
            ("interfaces/small", 64),
            "{to}"
        );
        assert_eq!(packet.destination_mac.to_string(), mac, "{to}");
    }
    let question = json!({"from": "vm1", "to": "192.168.1.11", "protocol": "icmp"});
    let (_, packet) = asked(&api, question).await;
    assert_eq!(packet.destination_mac.to_string(), "fa:16:3e:19:e1:98");
}
