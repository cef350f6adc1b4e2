//! The real binary against a served API, over TCP and over a Unix socket.

mod support;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use mgmt_api::manager::Manager;
use mgmt_api::rest::{self, Bound, Config, Endpoint, ServeError};
use serde_json::{Value, json};
use support::FakeControl;
use tokio::sync::oneshot;

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// A server on sockets of its own, stopped when dropped.
struct Served {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Served {
    fn new(endpoint: &Endpoint) -> Self {
        let runtime = runtime();
        let (manager, _writer) = Manager::start(Arc::new(FakeControl::default()), None).unwrap();
        let bound = runtime.block_on(rest::bind(endpoint)).unwrap();
        let address = match (&bound, endpoint) {
            (Bound::Tcp(_), _) => format!("http://{}", bound.tcp_address().unwrap()),
            (_, Endpoint::Unix(path)) => format!("unix:{}", path.display()),
            _ => unreachable!("bound as asked"),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let router = rest::router(manager, Config::default());
        let thread = std::thread::spawn(move || {
            let shutdown = async {
                let _ = stopped.await;
            };
            runtime.block_on(rest::serve(vec![bound], router, shutdown))
        });
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn tcp() -> Self {
        Self::new(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap()))
    }

    fn stop(mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap().unwrap();
    }

    fn run(&self, line: &str) -> Output {
        run(&self.address, line, None)
    }

    /// What a command prints that succeeds.
    #[track_caller]
    fn says(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.says(&format!("{line} -o json"))).unwrap()
    }

    /// The one line on stderr of a command that fails with this code.
    #[track_caller]
    fn fails(&self, code: i32, line: &str) -> String {
        failed(&self.run(line), code)
    }

    fn with_fabric(self) -> Self {
        self.says("interfaces put eth0 --address 192.0.2.11/24 --address 2001:db8::11/64 --gateway 192.0.2.1");
        self.says("interfaces put eth1");
        self.says("hosts put h1 --vtep 192.0.2.12");
        self.says("networks put blue --vni 10 --binding eth1:100");
        self
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

#[track_caller]
fn failed(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty());
    stderr
}

fn run(server: &str, line: &str, input: Option<&str>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vtepctl"))
        .args(line.split_whitespace())
        .env("VTEPCTL_SERVER", server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(input.unwrap_or_default().as_bytes())
        .unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn write(directory: &Path, name: &str, content: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[test]
fn an_operator_builds_a_network_without_a_file() {
    let served = Served::tcp().with_fabric();
    assert_eq!(
        served.says(
            "ports put p1 --network blue --mac 52:54:00:00:00:01 --address 10.0.0.1 --host h1"
        ),
        "1 created\n"
    );
    assert_eq!(
        served.says(
            "ports put p2 --network blue --mac 52:54:00:00:00:02 --interface eth1 --vlan 100"
        ),
        "1 created\n"
    );
    assert_eq!(
        served.says("ports set p2 --address 10.0.0.2"),
        "1 changed\n"
    );
    assert_eq!(
        served.says("ports set p2 --address 10.0.0.2"),
        "1 unchanged\n"
    );
    let list = served.says("ports list");
    let lines: Vec<_> = list
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "ID NETWORK MAC ADDRESSES LOCATION",
            "p1 blue 52:54:00:00:00:01 10.0.0.1 host h1",
            "p2 blue 52:54:00:00:00:02 10.0.0.2 local eth1:100",
        ]
    );
    assert_eq!(served.json("ports list --host h1")[0]["id"], "p1");
    assert_eq!(
        served
            .json("ports list --limit 1")
            .as_array()
            .unwrap()
            .len(),
        1
    );

    // Moving it to another host takes its interface away.
    served.says("ports set p2 --host h1");
    assert_eq!(
        served.json("ports get p2"),
        json!({
            "id": "p2", "network": "blue", "mac": "52:54:00:00:00:02", "addresses": ["10.0.0.2"], "host": "h1",
        })
    );
    served.says("fdb put blue/52:54:00:00:00:03 --interface eth1 --vlan 100");
    let table = served.says("fdb list blue");
    assert!(
        table.contains("192.0.2.12") && table.contains("local eth1:100"),
        "{table}"
    );
    assert_eq!(
        served
            .json("fdb list blue --static")
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        served.says("fdb flush --network blue"),
        "0 learned addresses forgotten\n"
    );
    served.says("networks put green --segment-vlan eth1:30 --mtu 1400 --description x");
    assert_eq!(
        served.json("networks get green")["segment"],
        json!({"type": "vlan", "interface": "eth1", "vlan": 30})
    );
    served.says("networks put red --vni 30 --group 239.1.1.1 --learning false");
    assert!(served.says("networks list").contains("multicast 239.1.1.1"));
    assert_eq!(served.says("ports delete p1 p2"), "1 deleted\n1 deleted\n");
    served.stop();
}

#[test]
fn a_state_is_exported_edited_previewed_and_applied() {
    let directory = tempfile::tempdir().unwrap();
    let served = Served::tcp().with_fabric();
    served.says("ports put p1 --network blue --mac 52:54:00:00:00:01 --host h1");
    let yaml = served.says("export -o yaml");
    let edited = yaml.replace("vni: 10", "vni: 20").replace("p1:", "p9:");
    let file = write(directory.path(), "state.yaml", &edited);

    let preview = served.says(&format!("apply -f {file} --dry-run"));
    assert!(preview.contains("~ networks/blue\n    segment: {\"type\":\"vxlan\",\"vni\":10} → {\"type\":\"vxlan\",\"vni\":20}\n"), "{preview}");
    assert!(
        preview.contains("+ ports/p9\n") && preview.contains("- ports/p1\n"),
        "{preview}"
    );
    assert!(
        preview.ends_with(
            "1 created, 1 changed, 1 deleted, 3 unchanged (dry run: nothing was changed)\n"
        ),
        "{preview}"
    );
    assert_eq!(served.json("networks get blue")["segment"]["vni"], 10);
    assert_eq!(
        served.says(&format!("apply -f {file}")),
        "1 created, 1 changed, 1 deleted, 3 unchanged\n"
    );
    assert_eq!(served.json("networks get blue")["segment"]["vni"], 20);

    // What JSON exports is taken back as it is, also from the standard input.
    let json = served.says("export -o json");
    let output = run(&served.address, "apply -f - -o json", Some(&json));
    assert!(output.status.success());
    assert_eq!(
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["unchanged"],
        5
    );
    let batch = write(directory.path(), "batch.yaml", "delete:\n  ports: [p9]\n");
    assert_eq!(
        served.says(&format!("transaction -f {batch}")),
        "1 deleted\n"
    );
    let document = served.says("networks get blue -o json");
    let output = run(
        &served.address,
        "networks put blue --mtu 1400 -f -",
        Some(&document),
    );
    assert!(output.status.success());
    assert_eq!(served.json("networks get blue")["mtu"], 1400);
    served.stop();
}

#[test]
fn what_is_shows_in_tables() {
    let served = Served::tcp().with_fabric();
    for (line, expected) in [
        ("drops", "7  vni-unknown"),
        ("drops --all", "ttl-expired"),
        ("workers", "25%"),
        ("tables", "fdb"),
        ("underlay", "reachable"),
        ("interfaces status", "net_null"),
        ("interfaces status eth1", "eth1"),
        ("networks status blue", "1450"),
        ("health", "ok"),
        ("version", "this-host"),
        ("completion bash", "_vtepctl"),
        ("completion zsh", "#compdef vtepctl"),
        ("completion fish", "complete -c vtepctl"),
        ("networks list -o yaml", "vni: 10"),
    ] {
        let printed = served.says(line);
        assert!(printed.contains(expected), "{line}: {printed}");
    }
    assert!(!served.says("drops").contains("ttl-expired"));
    served.stop();
}

#[test]
fn an_operator_routes_between_networks() {
    let served = Served::tcp().with_fabric();
    served.says("networks put red --vni 11 --subnet 192.168.1.0/24,gateway=192.168.1.1,dns=192.0.2.53,option=15=example.org --subnet 2001:db8:1::/64 --gateway-from-underlay true");
    let red = served.json("networks get red");
    assert_eq!(red["subnets"][0]["gateway"], "192.168.1.1");
    assert_eq!(
        red["subnets"][0]["dhcp_options"],
        json!({"domain-name": "example.org"})
    );
    assert_eq!(red["subnets"][1]["ipv6_mode"], "slaac");
    assert_eq!(red["gateway_from_underlay"], true);
    assert!(served.says("networks list").contains("192.168.1.0/24"));
    let line = "routers put r1 --interface network=red,mac=fa:16:3e:00:00:01,address=192.168.1.1/24,2001:db8:1::1/64 \
                --interface network=blue,mac=fa:16:3e:00:00:02,address=192.168.2.1/24 --route 10.0.0.0/8=192.168.1.254 --route 10.0.0.0/8=192.168.2.254";
    assert_eq!(served.says(line), "1 created\n");
    assert_eq!(
        served.json("routers get r1")["routes"],
        json!([
            {"destination": "10.0.0.0/8", "via": "192.168.1.254"},
            {"destination": "10.0.0.0/8", "via": "192.168.2.254"},
        ])
    );
    let table = served.says("routers list");
    for part in [
        "every host",
        "red 192.168.1.1/24, 2001:db8:1::1/64",
        "10.0.0.0/8 via 192.168.2.254",
    ] {
        assert!(table.contains(part), "{table}");
    }
    assert!(table.lines().all(|line| line.len() <= 100), "{table}");
    served.says("routers set r1 --distributed false");
    assert!(served.says("routers list").contains("this host"));

    served.says("routes put r1/10.1.0.0/16 --via 192.168.1.254 --via 192.168.1.253");
    served.says("routes put r1/2001:db8:2::/48 --via 2001:db8:1::fe");
    assert_eq!(
        served.says("routes list r1"),
        "ID                  VIA\n\
         r1/10.1.0.0/16      192.168.1.254, 192.168.1.253\n\
         r1/2001:db8:2::/48  2001:db8:1::fe\n"
    );
    assert_eq!(
        served.json("routes get r1/10.1.0.0/16")["id"],
        "r1/10.1.0.0/16"
    );
    served.says("routes delete r1/10.1.0.0/16 r1/2001:db8:2::/48");
    assert_eq!(served.json("routes list r1"), json!([]));

    served.says("ports put p1 --network red --mac 52:54:00:00:00:01 --address 192.168.1.9 --interface eth1 --vlan 7 --anti-spoofing false --allow 192.168.1.50 --allow 10.0.0.0/8=52:54:00:00:00:02 --dhcp-option ntp-servers=192.0.2.1,192.0.2.2 --hostname vm1");
    let port = served.json("ports get p1");
    assert_eq!(port["anti_spoofing"], false);
    assert_eq!(
        port["allowed_address_pairs"],
        json!([{"address": "192.168.1.50"}, {"address": "10.0.0.0/8", "mac": "52:54:00:00:00:02"}])
    );
    assert_eq!(
        port["dhcp_options"],
        json!({"ntp-servers": "192.0.2.1, 192.0.2.2"})
    );
    assert_eq!(port["hostname"], "vm1");
    assert!(
        served
            .fails(2, "routers put r2 --interface network=red,vlan=1")
            .contains("none of these")
    );
    assert!(
        served
            .fails(1, "routers put r2 --interface network=red,mac=fa:16:3e:00:00:03,address=192.168.1.0/24")
            .contains("/interfaces/0/addresses/0")
    );
    assert!(served.says("neighbours red").starts_with("ADDRESS"));
    served.stop();
}

#[test]
fn a_packet_is_explained_line_by_line() {
    let served = Served::tcp().with_fabric();
    served.says("ports put p1 --network blue --mac 52:54:00:00:00:01 --address 10.0.0.1 --interface eth1 --vlan 100");
    served.says("ports put p2 --network blue --mac 52:54:00:00:00:02 --address 10.0.0.2 --host h1");
    assert_eq!(
        served.says("explain --from p1 --to p2 tcp/443"),
        "input  bound  it belongs to network blue\n\
         forwarded\n\
         \n\
         eth1: 10.0.0.1 > 10.0.0.2\n  \
         0000  ab ab ab ab ab ab ab ab  ab ab ab ab ab ab ab ab\n  \
         0010  ab ab ab ab ab ab ab ab  ab ab ab ab ab ab ab ab\n  \
         0020  ab ab ab ab ab ab ab ab  ab ab ab ab ab ab ab ab\n  \
         0030  ab ab ab ab ab ab ab ab  ab ab ab ab\n"
    );
    assert_eq!(
        served.says("explain --interface eth1 --hex ffffffffffff5254000000010806 --verbose"),
        "input   bound        it belongs to network blue\n                     \
         {\"network\":\"blue\"}\n\
         decide  vni-unknown  it goes no further\n\
         dropped: vni-unknown, The VNI belongs to no network here.\n"
    );
    let answer = served.json("explain --from p1 --to 10.0.0.2 --ttl 1 --length 1000");
    assert_eq!(answer["outcome"], "forwarded");
    assert_eq!(answer["frame"].as_str().unwrap().len(), 2 * 1014);
    let line = served.fails(1, "explain --from p1 --to 10.0.0.77");
    assert!(line.contains("/destination_mac"), "{line}");
    assert!(served.fails(2, "explain --hex 00").contains("--interface"));
    served.stop();
}

#[test]
fn failures_have_their_codes_and_one_clear_line() {
    let served = Served::tcp().with_fabric();
    let line = served.fails(1, "networks put red --vni 10");
    assert_eq!(
        line,
        "vtepctl: networks/red: /segment/vni: VNI 10 is already that of networks/blue: choose another (conflict)\n"
    );
    assert!(
        served
            .fails(1, "ports get nope")
            .contains("there is no port nope (not-found)")
    );
    assert!(served.fails(2, "networks put").contains("Usage"));
    assert!(
        served
            .fails(2, "ports get ../state")
            .contains("no identifier")
    );
    assert!(
        served
            .fails(2, "apply -f /nonexistent")
            .contains("cannot read")
    );
    assert!(
        served
            .fails(2, "--server ftp://x version")
            .contains("unix:/PATH")
    );
    let line = served.fails(3, "--server unix:/nonexistent/api.sock version");
    assert!(
        line.contains("cannot reach vtepd at unix:/nonexistent/api.sock: No such file"),
        "{line}"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = taken.local_addr().unwrap();
    drop(taken);
    let line = served.fails(3, &format!("--server http://{free} version"));
    assert!(
        line.contains(&format!("http://{free}")) && line.contains("Connection refused"),
        "{line}"
    );
    served.stop();
}

#[test]
fn a_unix_socket_is_for_its_owner_and_group_and_is_cleaned_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    // Left behind by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let served = Served::new(&Endpoint::Unix(path.clone())).with_fabric();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o660
    );
    assert_eq!(served.json("networks list")[0]["id"], "blue");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let second = runtime.block_on(rest::bind(&Endpoint::Unix(path.clone())));
    assert!(matches!(second, Err(ServeError::InUse(_))));
    served.stop();
    assert!(!path.exists());
}

#[tokio::test]
async fn nobody_else_may_ask() {
    let refused = rest::bind(&Endpoint::Tcp("0.0.0.0:0".parse().unwrap())).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback(_))));
}

/// The order: a request under way when the server stops is answered; then the server ends.
#[test]
fn a_request_under_way_is_answered_when_the_server_stops() {
    let runtime = runtime();
    let control = Arc::new(FakeControl::default());
    let (manager, _writer) = Manager::start(control.clone(), None).unwrap();
    let bound = runtime
        .block_on(rest::bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())))
        .unwrap();
    let address = format!("http://{}", bound.tcp_address().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(rest::serve(
        vec![bound],
        rest::router(manager, Config::default()),
        async {
            let _ = stopped.await;
        },
    ));
    let gate = control.gate.lock();
    let client = std::thread::spawn(move || run(&address, "hosts put h1 --vtep 192.0.2.12", None));
    control.wait_for_apply();
    drop(stop);
    drop(gate);
    let output = client.join().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    runtime.block_on(serving).unwrap().unwrap();
}
