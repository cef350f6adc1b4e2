//! Random operations: mostly sound by themselves, often at odds with the others.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::outside::{central, external_network, floating_ip, way_outside};

#[derive(Debug, Clone)]
pub enum Operation {
    Put(&'static str, String, Value),
    Delete(&'static str, String),
}

fn interface() -> impl Strategy<Value = Operation> {
    let addresses = prop_oneof![
        3 => Just(json!([])),
        3 => Just(json!(["192.0.2.11/24"])),
        1 => Just(json!(["198.51.100.11/24", "2001:db8::11/64"])),
        1 => Just(json!(["192.0.2.12/25"])),
    ];
    let mtu = prop_oneof![4 => Just(Value::Null), 1 => Just(json!(1400)), 1 => Just(json!(9000))];
    ("eth[01]", addresses, mtu).prop_map(|(id, addresses, mtu)| {
        Operation::Put(
            "interfaces",
            id,
            without_nulls(json!({"addresses": addresses, "mtu": mtu})),
        )
    })
}

fn host() -> impl Strategy<Value = Operation> {
    let id = prop_oneof![6 => "h[1-3]", 1 => Just("this-host".to_owned())];
    let vtep = prop_oneof!["192\\.0\\.2\\.1[1-3]", Just("2001:db8::12".to_owned())];
    // Now and then one that a gateway may have.
    let dvr_mac = prop_oneof![
        2 => Just(Value::Null),
        4 => (1..4_u8).prop_map(|n| json!(format!("fa:16:3f:00:00:{n:02x}"))),
        1 => Just(json!("52:54:00:00:00:01")),
    ];
    (id, vtep, dvr_mac).prop_map(|(id, vtep, dvr_mac)| {
        let document = json!({"vtep": vtep, "dvr_mac": dvr_mac});
        Operation::Put("hosts", id, without_nulls(document))
    })
}

/// A VLAN of an interface, now and then with the other tag type.
fn tagged() -> impl Strategy<Value = Value> {
    let tpid = prop_oneof![3 => Just(Value::Null), 1 => Just(json!("802.1ad"))];
    ("eth[01]", 1..3_u32, tpid).prop_map(|(own, vlan, tpid)| {
        without_nulls(json!({"interface": own, "vlan": vlan, "tpid": tpid}))
    })
}

fn network() -> impl Strategy<Value = Operation> {
    let segment = prop_oneof![
        3 => (1..4_u32).prop_map(|vni| json!({"type": "vxlan", "vni": vni})),
        1 => (1..3_u32).prop_map(|vlan| json!({"type": "vlan", "interface": "eth1", "vlan": vlan})),
    ];
    let bindings = prop_oneof![
        2 => Just(json!([])),
        1 => tagged().prop_map(|own| json!([own])),
        1 => (tagged(), tagged()).prop_map(|own| json!([own.0, own.1])),
        1 => "eth[01]".prop_map(|own| json!([{"interface": own}])),
    ];
    let mtu = prop_oneof![3 => Just(Value::Null), 1 => Just(json!(1450)), 1 => Just(json!(1430)), 1 => Just(json!(1500))];
    let subnets = prop_oneof![
        3 => Just(json!([])),
        2 => Just(json!([subnet("10.0.0.0/24")])),
        1 => Just(json!([subnet("10.0.0.0/30"), subnet("10.0.0.4/30")])),
    ];
    ("n[1-3]", segment, bindings, mtu, subnets).prop_map(|(id, segment, bindings, mtu, subnets)| {
        let document =
            json!({"segment": segment, "bindings": bindings, "mtu": mtu, "subnets": subnets});
        Operation::Put("networks", id, without_nulls(document))
    })
}

fn subnet(cidr: &str) -> Value {
    json!({"cidr": cidr, "dhcp": true, "lease_seconds": 86400})
}

fn place() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => "h[1-3]".prop_map(|host| json!({"host": host})),
        1 => tagged(),
    ]
}

fn port() -> impl Strategy<Value = Operation> {
    let addresses = prop::collection::btree_set(1..5_u8, 0..3);
    ("p[1-6]", "n[1-3]", 1..6_u8, addresses, place()).prop_map(
        |(id, network, mac, addresses, place)| {
            let addresses: Vec<_> = addresses
                .into_iter()
                .map(|n| format!("10.0.0.{n}"))
                .collect();
            let mac = format!("52:54:00:00:00:{mac:02x}");
            let mut document = json!({"network": network, "mac": mac, "addresses": addresses});
            merge(&mut document, place);
            Operation::Put("ports", id, document)
        },
    )
}

fn static_entry() -> impl Strategy<Value = Operation> {
    ("n[1-3]", 1..6_u8, place()).prop_map(|(network, mac, place)| {
        Operation::Put("fdb", format!("{network}/52:54:00:00:00:{mac:02x}"), place)
    })
}

fn router() -> impl Strategy<Value = Operation> {
    let address = prop_oneof![
        3 => Just("10.0.0.1/24"),
        2 => Just("10.0.0.2/30"),
        2 => Just("10.0.1.1/24"),
        1 => Just("10.0.0.5/30"),
        1 => Just("10.1.0.130/25"),
        1 => Just("10.0.0.0/24"),
    ];
    // Mostly one that no port has.
    let mac = prop_oneof![6 => 6..9_u8, 1 => 1..6_u8];
    let interface = ("n[1-3]", mac, address).prop_map(|(network, mac, address)| {
        json!({"network": network, "mac": format!("52:54:00:00:00:{mac:02x}"), "addresses": [address]})
    });
    let route = (destination(), hop())
        .prop_map(|(destination, via)| json!({"destination": destination, "via": via}));
    let place = prop_oneof![
        4 => Just(json!({"distributed": true})),
        1 => Just(json!({"distributed": false})),
        1 => "h[1-3]".prop_map(|host| json!({"distributed": false, "host": host})),
        1 => Just(json!({"distributed": false, "host": "this-host"})),
        1 => Just(json!({"distributed": true, "host": "h1"})),
    ];
    let interfaces = prop::collection::vec((interface, central()), 0..3);
    let routes = prop::collection::vec(route, 0..3);
    // Whether it leads outside, and has central ports: mostly both or neither.
    let outside = prop_oneof![
        3 => Just((false, false)),
        3 => Just((true, true)),
        2 => Just((true, false)),
        1 => Just((false, true)),
    ];
    ("r[1-2]", interfaces, routes, place, outside, way_outside()).prop_map(
        |(id, interfaces, routes, place, (leads_outside, has_central), way)| {
            let interfaces = interfaces.into_iter().map(|(mut own, central)| {
                if has_central {
                    own["central"] = central;
                }
                own
            });
            let interfaces: Vec<_> = interfaces.collect();
            let mut document = json!({"interfaces": interfaces, "routes": routes});
            merge(&mut document, place);
            if leads_outside {
                document["external_gateway"] = way;
            }
            Operation::Put("routers", id, document)
        },
    )
}

fn destination() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "172\\.1[67]\\.0\\.0/16",
        1 => Just("0.0.0.0/0".to_owned()),
        1 => Just("10.0.0.0/24".to_owned()),
        1 => Just("127.0.0.0/8".to_owned()),
    ]
}

fn hop() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "10\\.0\\.0\\.[1-5]", 2 => Just("10.0.1.9".to_owned()), 1 => Just("10.0.0.255".to_owned()),
        1 => "10\\.1\\.0\\.[1-9]",
    ]
}

fn route() -> impl Strategy<Value = Operation> {
    let via = prop::collection::vec(hop(), 1..3);
    ("r[1-2]", destination(), via).prop_map(|(router, destination, via)| {
        Operation::Put(
            "routes",
            format!("{router}/{destination}"),
            json!({"via": via}),
        )
    })
}

fn deletion() -> impl Strategy<Value = Operation> {
    prop_oneof![
        1 => "eth[01]".prop_map(|id| Operation::Delete("interfaces", id)),
        1 => "h[1-3]".prop_map(|id| Operation::Delete("hosts", id)),
        1 => Just(Operation::Delete("hosts", "this-host".to_owned())),
        2 => "r[1-2]".prop_map(|id| Operation::Delete("routers", id)),
        2 => ("r[1-2]", destination()).prop_map(|(id, to)| Operation::Delete("routes", format!("{id}/{to}"))),
        1 => "n[1-3]".prop_map(|id| Operation::Delete("networks", id)),
        1 => Just(Operation::Delete("networks", "ext".to_owned())),
        2 => "f[1-3]".prop_map(|id| Operation::Delete("floating-ips", id)),
        4 => "p[1-6]".prop_map(|id| Operation::Delete("ports", id)),
        1 => "n[1-3]/52:54:00:00:00:0[1-5]".prop_map(|id| Operation::Delete("fdb", id)),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        2 => interface(), 3 => host(), 4 => network(), 8 => port(), 2 => static_entry(), 6 => router(), 4 => route(),
        2 => external_network(), 5 => floating_ip(), 6 => deletion(),
    ]
}

/// Mostly one at a time: of several, one is likely to be refused, and all with it.
pub fn operations() -> impl Strategy<Value = Vec<Operation>> {
    prop_oneof![
        3 => prop::collection::vec(operation(), 1),
        1 => prop::collection::vec(operation(), 2..4),
    ]
}

pub fn without_nulls(mut document: Value) -> Value {
    document
        .as_object_mut()
        .unwrap()
        .retain(|_, value| !value.is_null());
    document
}

pub fn merge(document: &mut Value, with: Value) {
    document
        .as_object_mut()
        .unwrap()
        .extend(with.as_object().unwrap().clone());
}
