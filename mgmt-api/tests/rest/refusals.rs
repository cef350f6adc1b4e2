//! What is refused, with which code and field.

use serde_json::{Value, json};

use crate::support::api::Api;

/// What is refused, with which code and field. Every case starts from the same small fabric.
#[tokio::test]
async fn contradictions_are_refused_and_change_nothing() {
    let vxlan = |vni: u32| json!({"type": "vxlan", "vni": vni});
    let vlan =
        |interface: &str, vlan: u32| json!({"type": "vlan", "interface": interface, "vlan": vlan});
    let port = |mac: &str, address: &str| json!({"network": "blue", "mac": mac, "addresses": [address], "host": "h1"});
    let cases: Vec<(&str, Value, &str, Option<&str>)> = vec![
        // Values.
        (
            "networks/n",
            json!({"segment": vxlan(0)}),
            "invalid",
            Some("/segment/vni"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(1 << 24)}),
            "invalid",
            Some("/segment/vni"),
        ),
        (
            "networks/n",
            json!({"segment": {"type": "vxlan"}}),
            "invalid",
            Some("/segment"),
        ),
        (
            "networks/n",
            json!({"segment": {"type": "gre"}}),
            "invalid",
            Some("/segment/type"),
        ),
        (
            "networks/n",
            json!({"segment": vlan("eth1", 4095)}),
            "invalid",
            Some("/segment/vlan"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "ageing": 0}),
            "invalid",
            Some("/ageing"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "ageing": 32_001}),
            "invalid",
            Some("/ageing"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "mtu": 67}),
            "invalid",
            Some("/mtu"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "colour": 1}),
            "invalid",
            Some("/colour"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth1", "vlan": 0}]}),
            "invalid",
            Some("/bindings/0/vlan"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth1", "tpid": "802.1ad"}]}),
            "invalid",
            Some("/bindings/0/tpid"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "flood": {"mode": "multicast", "group": "192.0.2.9"}}),
            "invalid",
            Some("/flood/group"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "flood": {"mode": "multicast", "group": "224.0.0.1"}}),
            "invalid",
            Some("/flood/group"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "flood": {"mode": "multicast", "group": "ff02::1"}}),
            "invalid",
            Some("/flood/group"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "flood": {"mode": "multicast", "group": "ff11::7"}}),
            "invalid",
            Some("/flood/group"),
        ),
        (
            "hosts/h",
            json!({"vtep": "255.255.255.255"}),
            "invalid",
            Some("/vtep"),
        ),
        (
            "hosts/h",
            json!({"vtep": "0.0.0.0"}),
            "invalid",
            Some("/vtep"),
        ),
        ("hosts/h", json!({"vtep": "::"}), "invalid", Some("/vtep")),
        (
            "hosts/h",
            json!({"vtep": "127.0.0.1"}),
            "invalid",
            Some("/vtep"),
        ),
        ("hosts/h", json!({"vtep": "::1"}), "invalid", Some("/vtep")),
        (
            "hosts/h",
            json!({"vtep": "ff0e::1"}),
            "invalid",
            Some("/vtep"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "hosts": ["this-host"]}),
            "invalid",
            Some("/hosts/0"),
        ),
        (
            "ports/p",
            port("01:00:5e:00:00:01", "10.0.0.1"),
            "invalid",
            Some("/mac"),
        ),
        (
            "ports/p",
            port("00:00:00:00:00:00", "10.0.0.1"),
            "invalid",
            Some("/mac"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00", "10.0.0.1"),
            "invalid",
            Some("/mac"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:01", "224.0.0.1"),
            "invalid",
            Some("/addresses/0"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:01", "10.0.0.256"),
            "invalid",
            Some("/addresses/0"),
        ),
        (
            "ports/p",
            json!({"network": "blue", "mac": "52:54:00:00:00:01"}),
            "invalid",
            Some("/interface"),
        ),
        (
            "ports/p",
            json!({"mac": "52:54:00:00:00:01", "host": "h1"}),
            "invalid",
            Some(""),
        ),
        ("hosts/h", json!({}), "invalid", Some("/vtep")),
        (
            "hosts/h",
            json!({"vtep": "239.1.1.1"}),
            "invalid",
            Some("/vtep"),
        ),
        (
            "hosts/h",
            json!({"vtep": "192.0.2.13", "udp_port": 0}),
            "invalid",
            Some("/udp_port"),
        ),
        (
            "hosts/this-host",
            json!({"vtep": "192.0.2.99"}),
            "invalid",
            Some("/vtep"),
        ),
        (
            "interfaces/small",
            json!({"mtu": 9000}),
            "invalid",
            Some("/mtu"),
        ),
        (
            "interfaces/small",
            json!({"vlan": 5}),
            "invalid",
            Some("/vlan"),
        ),
        (
            "interfaces/small",
            json!({"addresses": ["198.51.100.0/24"]}),
            "invalid",
            Some("/addresses/0"),
        ),
        (
            "interfaces/small",
            json!({"addresses": ["198.51.100.1/24"], "gateway": "198.51.101.1"}),
            "invalid",
            Some("/gateway"),
        ),
        (
            "interfaces/small",
            json!({"addresses": ["198.51.100.1/24"], "routes": [{"destination": "0.0.0.0/0", "via": "203.0.113.1"}]}),
            "invalid",
            Some("/routes/0/via"),
        ),
        // References.
        (
            "interfaces/eth7",
            json!({}),
            "unknown-reference",
            Some("/device"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth9"}]}),
            "unknown-reference",
            Some("/bindings/0/interface"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "hosts": ["h9"]}),
            "unknown-reference",
            Some("/hosts/0"),
        ),
        (
            "ports/p",
            json!({"network": "no", "mac": "52:54:00:00:00:01", "host": "h1"}),
            "unknown-reference",
            Some("/network"),
        ),
        (
            "ports/p",
            json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h9"}),
            "unknown-reference",
            Some("/host"),
        ),
        (
            "fdb/no/52:54:00:00:00:01",
            json!({"host": "h1"}),
            "unknown-reference",
            Some(""),
        ),
        // Contradictions.
        (
            "networks/n",
            json!({"segment": vxlan(10)}),
            "conflict",
            Some("/segment/vni"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth1", "vlan": 100}]}),
            "conflict",
            Some("/bindings/0"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth1"}, {"interface": "eth0"}]}),
            "conflict",
            Some("/bindings/1"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "bindings": [{"interface": "eth1"}, {"interface": "eth1"}]}),
            "conflict",
            Some("/bindings/1"),
        ),
        (
            "networks/n",
            json!({"segment": vlan("eth1", 100)}),
            "conflict",
            Some("/segment"),
        ),
        (
            "networks/n",
            json!({"segment": vlan("eth1", 5), "bindings": [{"interface": "eth1", "vlan": 5}]}),
            "conflict",
            Some("/bindings/0"),
        ),
        (
            "networks/n",
            json!({"segment": vlan("eth1", 5), "hosts": ["h1"]}),
            "conflict",
            Some("/hosts"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "mtu": 1451}),
            "conflict",
            Some("/mtu"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "mtu": 1431, "flood": {"mode": "multicast", "group": "ff05::1"}}),
            "conflict",
            Some("/mtu"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "mtu": 1447, "vlan_transparent": true}),
            "conflict",
            Some("/mtu"),
        ),
        (
            "networks/n",
            json!({"segment": vlan("eth1", 5), "mtu": 1501}),
            "conflict",
            Some("/mtu"),
        ),
        (
            "networks/n",
            json!({"segment": vxlan(11), "flood": {"mode": "multicast", "group": "239.1.1.1", "interface": "eth1"}}),
            "conflict",
            Some("/flood/interface"),
        ),
        (
            "networks/blue",
            json!({"segment": vxlan(10), "id": "red"}),
            "conflict",
            Some("/id"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:aa", "10.0.0.1"),
            "conflict",
            Some("/mac"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:01", "10.0.0.170"),
            "conflict",
            Some("/addresses/0"),
        ),
        (
            "ports/p",
            port("52:54:00:00:00:bb", "10.0.0.1"),
            "conflict",
            Some("/mac"),
        ),
        (
            "ports/p",
            json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1", "vlan": 4}),
            "conflict",
            Some("/vlan"),
        ),
        (
            "ports/p",
            json!({"network": "blue", "mac": "52:54:00:00:00:01", "interface": "eth0"}),
            "conflict",
            Some("/interface"),
        ),
        (
            "ports/p",
            json!({"network": "blue", "mac": "52:54:00:00:00:01", "host": "h1", "addresses": ["10.0.0.1", "10.0.0.1"]}),
            "conflict",
            Some("/addresses/1"),
        ),
        (
            "fdb/blue/52:54:00:00:00:aa",
            json!({"host": "h1"}),
            "conflict",
            Some(""),
        ),
        (
            "hosts/h",
            json!({"vtep": "192.0.2.12"}),
            "conflict",
            Some("/vtep"),
        ),
        (
            "hosts/h",
            json!({"vtep": "2001:db8::11"}),
            "conflict",
            Some("/vtep"),
        ),
        (
            "hosts/h",
            json!({"vtep": "192.0.2.13", "dvr_mac": "fa:16:3f:00:00:01"}),
            "conflict",
            Some("/dvr_mac"),
        ),
        (
            "interfaces/x",
            json!({"device": "eth1"}),
            "conflict",
            Some("/device"),
        ),
        (
            "interfaces/small",
            json!({"addresses": ["192.0.2.77/25"]}),
            "conflict",
            Some("/addresses/0"),
        ),
        (
            "interfaces/small",
            json!({"addresses": ["203.0.113.5/24"]}),
            "conflict",
            Some("/addresses/0"),
        ),
        (
            "interfaces/eth0",
            json!({"addresses": ["192.0.2.11/24"], "mtu": 1400}),
            "conflict",
            Some("/mtu"),
        ),
        (
            "interfaces/eth0",
            json!({"addresses": ["192.0.2.10/24"]}),
            "conflict",
            Some("/addresses"),
        ),
        (
            "interfaces/eth1",
            json!({"addresses": ["198.51.100.1/24"], "vlan": 100}),
            "conflict",
            Some("/vlan"),
        ),
        (
            "hosts/h6",
            json!({"vtep": "2001:db8::12"}),
            "conflict",
            Some("/vtep"),
        ),
    ];

    let api = Api::with_fabric().await;
    let more = json!({"put": {
        "hosts": {"h1": {"vtep": "192.0.2.12", "dvr_mac": "fa:16:3f:00:00:01"}, "far": {"vtep": "203.0.113.5"}},
        "networks": {"tight": {"segment": vxlan(77), "mtu": 1450}},
        "ports": {"taken": port("52:54:00:00:00:aa", "10.0.0.170")},
        "fdb": {"blue/52:54:00:00:00:bb": {"host": "h1"}},
    }});
    api.post("/v1/transaction", more).await.expect(200);
    api.refuses(cases).await;
}
