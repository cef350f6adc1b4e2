//! What was answered survives: kill -9, a full disk, a damaged store.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use mgmt_api::manager::Manager;
use mgmt_api::request::{Batch, Options};
use mgmt_api::rest::Config;
use mgmt_api::store::{Store, StoreError};
use serde_json::{Value, json};
use support::FakeControl;
use support::api::{Api, cloud, fabric};

fn port(n: u32) -> Value {
    let [_, a, b, c] = n.to_be_bytes();
    let mac = format!("52:54:00:{a:02x}:{b:02x}:{c:02x}");
    json!({"network": "blue", "mac": mac, "addresses": [format!("10.{a}.{b}.{c}")], "host": "h1"})
}

fn dvr_host() -> Value {
    json!({"vtep": "192.0.2.11", "dvr_mac": "fa:16:3f:00:00:01"})
}

fn routed_network() -> Value {
    json!({
        "segment": {"type": "vxlan", "vni": 11}, "gateway_from_underlay": true,
        "subnets": [
            {"cidr": "192.168.1.0/24", "gateway": "192.168.1.1", "dhcp_options": {"15": "example.org", "224": "0x00"}},
            {"cidr": "2001:db8:1::/64", "ipv6_mode": "dhcpv6-stateful"},
        ],
    })
}

fn guarded_port() -> Value {
    json!({
        "network": "red", "mac": "52:54:00:ff:00:09", "addresses": ["192.168.1.9"], "host": "h1", "hostname": "vm9",
        "allowed_address_pairs": [{"address": "192.168.1.50"}], "dhcp_options": {"bootfile-name": "pxelinux.0"},
    })
}

fn router() -> Value {
    json!({
        "interfaces": [{"network": "red", "mac": "fa:16:3e:00:00:01", "addresses": ["192.168.1.1/24", "2001:db8:1::1/64"]}],
        "routes": [{"destination": "0.0.0.0/0", "via": "192.168.1.254"}],
    })
}

fn open(store: &Path) -> Api {
    Api::over(
        FakeControl::default(),
        Some(store.to_owned()),
        Config::default(),
    )
}

#[tokio::test]
async fn the_state_is_there_again_and_the_control_plane_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let state = {
        let api = open(directory.path());
        api.post("/v1/transaction", fabric()).await.expect(200);
        for n in 0..20 {
            api.put(&format!("/v1/ports/p{n}"), port(n))
                .await
                .expect(201);
        }
        api.put("/v1/ports/9b8a1d9c-0f6e-4c0e-8d49-2a5b7c6d1e0f", port(99))
            .await
            .expect(201);
        api.put(
            "/v1/fdb/blue/52:54:00:ff:00:02",
            json!({"interface": "eth1", "vlan": 100}),
        )
        .await
        .expect(201);
        api.put("/v1/hosts/this-host", dvr_host()).await.expect(200);
        api.put("/v1/networks/red", routed_network())
            .await
            .expect(201);
        api.put("/v1/ports/guarded", guarded_port())
            .await
            .expect(201);
        api.put("/v1/routers/r1", router()).await.expect(201);
        for (prefix, via) in [
            ("10.0.0.0/8", "192.168.1.254"),
            ("2001:db8:ff::/48", "2001:db8:1::fe"),
        ] {
            let via = json!({"via": [via]});
            api.put(&format!("/v1/routes/r1/{prefix}"), via)
                .await
                .expect(201);
        }
        api.delete("/v1/ports/p7").await.expect(204);
        api.put("/v1/ports/p8", port(8000)).await.expect(200);
        let state = api.state().await;
        api.close();
        state
    };
    let api = open(directory.path());
    assert_eq!(api.state().await, state);
    let mirror = api.control.mirror.lock();
    assert_eq!(mirror.fdb.len(), 22);
    assert_eq!((mirror.bindings.len(), mirror.members.len()), (1, 2));
    assert_eq!(
        api.control
            .applied
            .load(std::sync::atomic::Ordering::SeqCst),
        1,
        "one apply at boot"
    );
}

#[tokio::test]
async fn ways_outside_and_what_was_found_for_floating_ips_are_there_again() {
    let directory = tempfile::tempdir().unwrap();
    let state = {
        let api = open(directory.path());
        api.post("/v1/transaction", cloud()).await.expect(200);
        let more = json!({"put": {
            "floating-ips": {
                "whole": {"address": "10.100.0.7", "network": "public", "port": "vm1"},
                "parts": {"address": "10.100.0.8", "network": "public",
                    "forwardings": [{"protocol": "udp", "port": 53, "to": "192.168.2.9:53"}]},
                "held": {"address": "10.100.0.9", "network": "public"},
            },
            "tenants": {"acme": {"nat": {"ports": 7}}},
            "nat-settings": {"default": {"timeouts": {"udp": 120}}},
        }});
        api.post("/v1/transaction", more).await.expect(200);
        // It had to be found then; now two could be meant, but it is known.
        let twin = json!({
            "interfaces": [{"network": "blue", "mac": "fa:16:3e:00:00:77", "addresses": ["192.168.2.1/24"]}],
            "external_gateway": {"network": "public",
                "gateways": [{"mac": "fa:16:3e:70:a5:d9", "addresses": ["10.100.0.15/24"]}]},
        });
        api.put("/v1/routers/a", twin).await.expect(201);
        let state = api.state().await;
        api.close();
        state
    };
    let api = open(directory.path());
    assert_eq!(api.state().await, state);
    assert_eq!(state["floating-ips"]["parts"]["router"], "r1");
    assert_eq!(
        state["floating-ips"]["whole"]["fixed_address"],
        "192.168.1.9"
    );
    // And loads as a whole elsewhere.
    let other = Api::new();
    let written = other.call("PUT", "/v1/state", Some(state.clone())).await;
    written.expect(200);
    assert_eq!(other.state().await, state);
}

/// Run as a process of its own by the tests below; alone it does nothing.
#[test]
#[ignore = "started by other tests"]
fn child() {
    let Some(store) = std::env::var_os("CHILD_STORE") else {
        return;
    };
    let control = Arc::new(FakeControl::default());
    let (manager, _writer) = Manager::start(control, Some(store.into())).unwrap();
    let write = |body: Value| {
        let body = body.to_string().into();
        manager.write_blocking(Batch { body }, Options::default())
    };
    if manager.read(|state| state.table::<mgmt_api::resources::Network>().is_empty()) {
        write(fabric()).unwrap();
    }
    let first = manager.read(|state| state.table::<mgmt_api::resources::Port>().len());
    for n in u32::try_from(first).unwrap().. {
        // Two ports at once: neither may ever be seen without the other.
        let (a, b) = (2 * n, 2 * n + 1);
        let ports = json!({format!("p{a}"): port(a), format!("p{b}"): port(b)});
        match write(json!({"put": {"ports": ports}})) {
            Ok(_) => println!("\nanswered {b}"),
            Err(refusal) => {
                println!("\nrefused {}: {refusal}", refusal.code.as_str());
                return;
            }
        }
    }
}

fn start_child(store: &Path, through: &[&str]) -> Child {
    let test = std::env::current_exe().unwrap();
    let mut line: Vec<&std::ffi::OsStr> = through.iter().map(std::ffi::OsStr::new).collect();
    line.push(test.as_os_str());
    line.extend(["--exact", "child", "--ignored", "--nocapture"].map(std::ffi::OsStr::new));
    Command::new(line[0])
        .args(&line[1..])
        .env("CHILD_STORE", store)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_answered_and_halves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut answered = 0;
    for round in 1..=4_u32 {
        let mut child = start_child(directory.path(), &[]);
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut seen = 0;
        for line in lines {
            assert!(!line.starts_with("refused"), "{line}");
            if let Some(last) = line.strip_prefix("answered ") {
                answered = last.parse::<u32>().unwrap();
                seen += 1;
                // In the middle of its writing, at another moment each round.
                if seen == 30 * round + round {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        let api = open(directory.path());
        let state = api.state().await;
        let ports = state["ports"].as_object().unwrap();
        assert_eq!(ports.len() % 2, 0, "no transaction is there by half");
        assert!(
            ports.contains_key(&format!("p{answered}")),
            "p{answered} was answered"
        );
        for (id, document) in ports {
            assert_eq!(*document, port(id[1..].parse().unwrap()));
        }
        let expected = api.control.mirror.lock().fdb.len();
        assert_eq!(expected, ports.len());
        api.close();
    }
    assert!(answered > 0);
}

#[tokio::test]
async fn a_full_disk_refuses_and_changes_nothing() {
    let namespace = ["unshare", "--mount", "--map-root-user"];
    let can = Command::new(namespace[0])
        .args(&namespace[1..])
        .arg("true")
        .status();
    if !can.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no mount namespace can be made here");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=24m tmpfs {0} && head -c 4m /dev/zero > {0}/ballast && exec \"$@\"",
        directory.path().display()
    );
    let mut through = namespace.to_vec();
    through.extend(["sh", "-c", &script, "sh"]);
    let store = directory.path().join("store");
    let mut child = start_child(&store, &through);
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    assert!(child.wait().unwrap().success());
    assert!(
        lines.iter().any(|line| line.starts_with("answered")),
        "{lines:?}"
    );
    let refused = lines
        .iter()
        .find(|line| line.starts_with("refused"))
        .unwrap();
    assert!(
        refused.starts_with("refused disk-full") && refused.contains("nothing was changed"),
        "{refused}"
    );
}

#[test]
fn a_store_has_one_user() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Store::open(directory.path()).unwrap();
    assert!(matches!(
        Store::open(directory.path()),
        Err(StoreError::Locked(_))
    ));
}

#[tokio::test]
async fn a_damaged_store_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path());
    api.post("/v1/transaction", fabric()).await.expect(200);
    api.close();
    let journal = std::fs::read_dir(directory.path())
        .unwrap()
        .filter_map(Result::ok);
    let journal = journal
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "jnl"));
    let journal = journal.expect("a journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    let at = bytes
        .windows(4)
        .position(|window| window == b"vtep")
        .expect("a document of a host");
    bytes[at] ^= 0x20;
    std::fs::write(&journal, bytes).unwrap();
    let control = Arc::new(FakeControl::default());
    let started = Manager::start(control, Some(directory.path().to_owned()));
    let error = started.err().expect("damage is seen");
    assert!(error.to_string().contains("damaged"), "{error}");
}

#[tokio::test]
async fn a_store_that_contradicts_the_configuration_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path());
    api.post("/v1/transaction", fabric()).await.expect(200);
    api.close();
    let mut control = FakeControl::default();
    control.facts.devices.remove(1);
    let started = Manager::start(Arc::new(control), Some(directory.path().to_owned()));
    let error = started
        .err()
        .expect("a state with a missing device is refused");
    let text = error.to_string();
    assert!(
        text.contains("interfaces/eth1") && text.contains("no device"),
        "{text}"
    );
    // The way out that it names: the state as text, which another start takes.
    let file = directory.path().join("refused-state.json");
    assert!(text.contains(file.to_str().unwrap()), "{text}");
    let written: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let fresh = Api::new();
    fresh.put("/v1/state", written).await.expect(200);
    let state = fresh.state().await;
    assert_eq!(state["networks"]["blue"]["segment"]["vni"], 10);
    // And the store is as it was: with its device back it is taken up.
    assert_eq!(open(directory.path()).state().await, state);
}

/// Changes a stored document into what an earlier version could have written.
fn rewrite(store: &Path, from: &str, to: &str) {
    let options = fjall::KeyspaceCreateOptions::default;
    let database = fjall::Database::builder(store).open().unwrap();
    let resources = database.keyspace("resources", options).unwrap();
    let documents: Vec<_> = resources
        .iter()
        .map(|guard| guard.into_inner().unwrap())
        .collect();
    let mut found = 0;
    for (key, document) in documents {
        let Ok(text) = std::str::from_utf8(&document) else {
            continue;
        };
        if text.contains(from) {
            found += 1;
            resources.insert(key, text.replace(from, to)).unwrap();
        }
    }
    assert_eq!(found, 1, "{from} is stored once");
    database.persist(fjall::PersistMode::SyncAll).unwrap();
}

#[tokio::test]
async fn an_age_that_was_allowed_once_is_cut_to_what_is_allowed_now() {
    let directory = tempfile::tempdir().unwrap();
    let api = open(directory.path());
    api.post("/v1/transaction", fabric()).await.expect(200);
    api.close();
    rewrite(directory.path(), r#""ageing":300"#, r#""ageing":86400"#);
    let api = open(directory.path());
    assert_eq!(api.state().await["networks"]["blue"]["ageing"], 32_000);
}
