//! How long a change takes where there is much already. Figures, not verdicts: run them alone and in release,
//! `cargo test --release -p vtepd scale -- --ignored --nocapture`.

use serde_json::{Value, json};

use super::*;

/// Routers, or floating IPs of one router.
const MANY: u32 = 10_000;
/// Changes that are measured.
const CHANGES: u32 = 200;

const LARGE: Room = Room {
    tables: Limits {
        fdb: 200_000,
        neighbours: 200_000,
    },
    routes: 1_000_000,
    translation: TranslationCapacity {
        pools: 20_000,
        spare_pools: 256,
        tenants: 20_000,
    },
    workers: 2,
};

fn ipv4(base: [u8; 4], number: u32) -> String {
    std::net::Ipv4Addr::from_bits(u32::from_be_bytes(base) + number).to_string()
}

fn mac(kind: u8, number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    format!("fa:16:{kind:02x}:{a:02x}:{b:02x}:{c:02x}")
}

fn public() -> Value {
    json!({ "segment": { "type": "flat", "interface": "vm1" }, "mtu": 1500,
        "subnets": [{ "cidr": "100.64.0.0/10", "gateway": "100.64.0.1", "dhcp": false }],
        "external": { "floating_ip_gateways": [{ "mac": "fa:16:3e:7d:00:02" }] } })
}

fn base() -> Value {
    json!({ "interfaces": { "up0": { "addresses": ["192.0.2.11/24"], "gateway": "192.0.2.1" },
                            "vm1": { "mtu": 1500 }, "trunk": { "mtu": 1500 } },
            "hosts": { "h2": { "vtep": "198.51.100.12" } },
            "networks": { "public": public() }, "ports": {}, "routers": {}, "floating-ips": {} })
}

/// A router of this host with its gateway outside.
fn router(number: u32, description: &str) -> Value {
    json!({ "distributed": false, "description": description,
        "interfaces": [{ "network": format!("n{number}"), "mac": mac(1, number), "addresses": ["10.0.0.1/8"] }],
        "external_gateway": { "network": "public", "gateways": [
            { "mac": mac(2, number), "addresses": [ipv4([100, 64, 1, 0], number) + "/10"] }] } })
}

/// The `at`th of all floating IPs, to a station of a router or to none.
fn floating_ip(router: u32, at: u32, station: Option<u32>) -> Value {
    let mut document = json!({ "network": "public", "address": ipv4([100, 96, 0, 0], at) });
    if let Some(station) = station {
        document["router"] = json!(format!("r{router}"));
        document["port"] = json!(format!("p{router}-{station}"));
    }
    document
}

fn add_router(state: &mut Value, number: u32, stations: u32) {
    let network = format!("n{number}");
    state["networks"][&network] = json!({ "segment": { "type": "vxlan", "vni": 1000 + number } });
    state["routers"][format!("r{number}")] = router(number, "");
    for station in 0..stations {
        let at = number + station;
        state["ports"][format!("p{number}-{station}")] = json!({ "network": network, "mac": mac(3, at),
            "addresses": [ipv4([10, 0, 1, 0], station)], "host": "h2" });
        state["floating-ips"][format!("f{at}")] = floating_ip(number, at, Some(station));
    }
}

fn measure(bench: &Bench, what: &str, kind: &str, change: impl Fn(u32) -> (String, Value)) {
    let started = Instant::now();
    for number in 0..CHANGES {
        let (id, document) = change(number);
        bench.put(kind, &id, &document.to_string());
    }
    let each = started.elapsed() / CHANGES;
    println!("{what}: {each:?} each");
}

#[test]
#[ignore = "measures"]
fn a_change_among_ten_thousand_routers() {
    let bench = Bench::with(LARGE);
    let mut state = base();
    for number in 0..MANY {
        add_router(&mut state, number, 1);
    }
    bench.replace(&state.to_string()).unwrap();
    let at = |number| number * (MANY / CHANGES);
    measure(
        &bench,
        "a floating IP is disassociated",
        "floating-ips",
        |number| {
            let at = at(number);
            (format!("f{at}"), floating_ip(at, at, None))
        },
    );
    measure(
        &bench,
        "a floating IP is associated",
        "floating-ips",
        |number| {
            let at = at(number);
            (format!("f{at}"), floating_ip(at, at, Some(0)))
        },
    );
    measure(&bench, "a router is described", "routers", |number| {
        let at = at(number);
        (format!("r{at}"), router(at, "changed"))
    });
    let mut more = base();
    more["networks"] = json!({});
    for number in MANY..MANY + CHANGES {
        more["networks"][format!("n{number}")] =
            json!({ "segment": { "type": "vxlan", "vni": 1000 + number } });
    }
    bench
        .transact(&json!({ "put": { "networks": more["networks"] } }).to_string())
        .unwrap();
    measure(&bench, "a router comes", "routers", |number| {
        let at = MANY + number;
        (format!("r{at}"), router(at, ""))
    });
}

#[test]
#[ignore = "measures"]
fn a_change_among_ten_thousand_floating_ips_of_one_router() {
    let bench = Bench::with(LARGE);
    let mut state = base();
    add_router(&mut state, 0, MANY);
    bench.replace(&state.to_string()).unwrap();
    let at = |number| number * (MANY / CHANGES);
    measure(
        &bench,
        "a floating IP is disassociated",
        "floating-ips",
        |number| {
            let at = at(number);
            (format!("f{at}"), floating_ip(0, at, None))
        },
    );
    measure(
        &bench,
        "a floating IP is associated",
        "floating-ips",
        |number| {
            let at = at(number);
            (format!("f{at}"), floating_ip(0, at, Some(at)))
        },
    );
}
