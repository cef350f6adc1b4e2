//! The API against its own document: every path and method in it is called, and the answer must be as it says.

mod support;

use axum::http::header;
use mgmt_api::control::{MetadataAsker, Neighbour, NeighbourLocation, NeighbourOrigin};
use mgmt_api::mac::Mac;
use mgmt_api::resources::{Attachment, Interface, NatLimits, Network};
use mgmt_api::state::Handle;
use mgmt_api::translation::{
    NatPool, NatPoolState, NatTenant, PortUse, SessionProtocol, SessionRow, SessionState,
};
use serde_json::{Value, json};
use support::api::{Answer, Api};

/// What to send for each documented operation, in an order that works.
fn calls() -> Vec<(&'static str, &'static str, String, Option<Value>, u16)> {
    let port = json!({
        "network": "blue", "mac": "52:54:00:00:00:01", "addresses": ["10.0.0.1"], "interface": "eth1", "vlan": 100,
        "anti_spoofing": false, "hostname": "vm1", "dhcp_options": {"bootfile-name": "pxelinux.0"},
        "allowed_address_pairs": [{"address": "10.0.0.50"}, {"address": "10.1.0.0/16", "mac": "52:54:00:00:00:09"}],
    });
    let multicast = json!({
        "description": "All fields.", "segment": {"type": "vxlan", "vni": 20}, "mtu": 1400,
        "bindings": [{"interface": "eth1", "vlan": 7, "tpid": "802.1ad"}],
        "flood": {"mode": "multicast", "group": "239.1.1.1", "interface": "eth0"},
        "hosts": ["h1"], "learning": false, "ageing": 10, "learn_limit": 5, "vlan_transparent": true, "arp_suppression": false,
        "gateway_from_underlay": true, "metadata": false,
        "subnets": [
            {
                "cidr": "10.3.0.0/24", "gateway": "10.3.0.1", "dns": ["10.3.0.2"], "dhcp": true, "lease_seconds": 600,
                "routes": [{"destination": "10.9.0.0/16", "via": "10.3.0.254"}],
                "dhcp_options": {"domain-name": "example.org", "42": "192.0.2.1"},
            },
            {"cidr": "2001:db8:3::/64", "gateway": "2001:db8:3::1", "ipv6_mode": "dhcpv6-stateless"},
        ],
    });
    let router = json!({
        "description": "All fields.", "distributed": false, "host": "h1",
        "interfaces": [{"network": "blue", "mac": "fa:16:3e:00:00:01", "addresses": ["192.168.1.1/24", "2001:db8:1::1/64"]}],
        "routes": [{"destination": "0.0.0.0/0", "via": "192.168.1.254"}],
    });
    let public = json!({
        "segment": {"type": "flat", "interface": "eth1"},
        "subnets": [{"cidr": "10.100.0.0/24", "gateway": "10.100.0.1"}],
        "external": {"floating_ip_gateways": [{"host": "h1", "mac": "fa:16:3e:7d:bd:86", "address": "10.100.0.2"}]},
    });
    let way_outside = json!({
        "tenant": "acme",
        "interfaces": [{
            "network": "inside", "mac": "fa:16:3e:5b:89:14", "addresses": ["192.168.9.1/24"],
            "central": {"mac": "fa:16:3e:19:e1:98", "addresses": ["192.168.9.11"]},
        }],
        "external_gateway": {
            "network": "public",
            "gateways": [{"host": "this-host", "mac": "fa:16:3e:70:a5:d3", "addresses": ["10.100.0.5/24"]}],
            "next_hops": ["10.100.0.1"], "snat": true, "filtering": "address-dependent", "exempt": ["198.51.100.0/24"],
            "same_scope": ["10.1.0.0/16"], "outbound_only_ipv6": true, "floating_ip_hops": 1,
        },
    });
    let call = |method, template, path: &str, body, status| {
        (method, template, path.to_owned(), body, status)
    };
    vec![
        call(
            "put",
            "/v1/interfaces/{id}",
            "/v1/interfaces/small",
            Some(
                json!({"description": "spare", "addresses": ["198.51.100.1/24"], "vlan": 9, "gateway": "198.51.100.254", "routes": [{"destination": "203.0.113.0/24", "via": "198.51.100.2"}]}),
            ),
            201,
        ),
        call(
            "get",
            "/v1/interfaces/{id}",
            "/v1/interfaces/small",
            None,
            200,
        ),
        call("get", "/v1/interfaces", "/v1/interfaces", None, 200),
        call(
            "get",
            "/v1/interfaces/{id}/status",
            "/v1/interfaces/eth0/status",
            None,
            200,
        ),
        call(
            "get",
            "/v1/interfaces/{id}/status",
            "/v1/interfaces/no/status",
            None,
            404,
        ),
        call(
            "put",
            "/v1/hosts/{id}",
            "/v1/hosts/h2",
            Some(
                json!({"vtep": "192.0.2.13", "dvr_mac": "fa:16:3f:00:00:02", "udp_checksum": "on"}),
            ),
            201,
        ),
        call("get", "/v1/hosts/{id}", "/v1/hosts/h2", None, 200),
        call("get", "/v1/hosts", "/v1/hosts?limit=1", None, 200),
        call(
            "put",
            "/v1/networks/{id}",
            "/v1/networks/red",
            Some(multicast),
            201,
        ),
        call(
            "put",
            "/v1/networks/{id}",
            "/v1/networks/green",
            Some(json!({"segment": {"type": "vlan", "interface": "eth1", "vlan": 30}})),
            201,
        ),
        call(
            "put",
            "/v1/networks/{id}",
            "/v1/networks/bad",
            Some(json!({"segment": 1})),
            422,
        ),
        call(
            "put",
            "/v1/networks/{id}",
            "/v1/networks/bad",
            Some(json!({"segment": {"type": "vxlan", "vni": 20}})),
            409,
        ),
        call("get", "/v1/networks/{id}", "/v1/networks/red", None, 200),
        call(
            "get",
            "/v1/networks/{id}/status",
            "/v1/networks/green/status",
            None,
            200,
        ),
        call(
            "get",
            "/v1/networks/{id}/status",
            "/v1/networks/no/status",
            None,
            404,
        ),
        call("get", "/v1/networks", "/v1/networks", None, 200),
        call(
            "put",
            "/v1/ports/{id}",
            "/v1/ports/p1?dry_run=true",
            Some(port.clone()),
            200,
        ),
        call(
            "put",
            "/v1/ports/{id}",
            "/v1/ports/p1",
            Some(port.clone()),
            201,
        ),
        call(
            "put",
            "/v1/ports/{id}",
            "/v1/ports/p1?diff=true",
            Some(port),
            200,
        ),
        call("get", "/v1/ports/{id}", "/v1/ports/p1", None, 200),
        call("get", "/v1/ports", "/v1/ports?network=blue", None, 200),
        call(
            "put",
            "/v1/fdb/{network}/{mac}",
            "/v1/fdb/blue/52:54:00:00:00:02",
            Some(json!({"host": "h1"})),
            201,
        ),
        call(
            "get",
            "/v1/fdb/{network}/{mac}",
            "/v1/fdb/blue/52:54:00:00:00:02",
            None,
            200,
        ),
        call("get", "/v1/fdb/{network}", "/v1/fdb/blue", None, 200),
        call("get", "/v1/fdb", "/v1/fdb?network=blue", None, 200),
        call(
            "get",
            "/v1/neighbours",
            "/v1/neighbours?network=blue",
            None,
            200,
        ),
        call(
            "get",
            "/v1/neighbours",
            "/v1/neighbours?network=no",
            None,
            404,
        ),
        call("get", "/v1/metadata", "/v1/metadata?limit=1", None, 200),
        call(
            "post",
            "/v1/explain",
            "/v1/explain",
            Some(json!({"interface": "eth1", "frame": "52540000000152540000000208000000"})),
            200,
        ),
        call(
            "post",
            "/v1/explain",
            "/v1/explain",
            Some(
                json!({"from": "p1", "to": "10.0.0.255", "destination_mac": "ff:ff:ff:ff:ff:ff", "protocol": "udp/67"}),
            ),
            200,
        ),
        call(
            "post",
            "/v1/explain",
            "/v1/explain",
            Some(json!({"from": "p1"})),
            422,
        ),
        call("delete", "/v1/fdb", "/v1/fdb?network=blue", None, 200),
        call(
            "put",
            "/v1/routers/{id}",
            "/v1/routers/r1",
            Some(router),
            201,
        ),
        call("get", "/v1/routers/{id}", "/v1/routers/r1", None, 200),
        call("get", "/v1/routers", "/v1/routers", None, 200),
        call(
            "put",
            "/v1/routes/{router}/{address}/{length}",
            "/v1/routes/r1/2001:db8::/32",
            Some(json!({"via": ["2001:db8:1::fe", "2001:db8:1::fd"]})),
            201,
        ),
        call(
            "get",
            "/v1/routes/{router}/{address}/{length}",
            "/v1/routes/r1/2001:db8::/32",
            None,
            200,
        ),
        call("get", "/v1/routes/{router}", "/v1/routes/r1", None, 200),
        call(
            "put",
            "/v1/networks/{id}",
            "/v1/networks/public",
            Some(public),
            201,
        ),
        call(
            "put",
            "/v1/routers/{id}",
            "/v1/routers/r2",
            Some(way_outside),
            201,
        ),
        call(
            "put",
            "/v1/floating-ips/{id}",
            "/v1/floating-ips/fip1",
            Some(json!({
                "description": "All fields.", "address": "10.100.0.7", "network": "public", "router": "r2", "port": "vm1",
                "fixed_address": "192.168.9.9", "distributed": true,
            })),
            201,
        ),
        call(
            "put",
            "/v1/floating-ips/{id}",
            "/v1/floating-ips/fip2",
            Some(json!({
                "address": "10.100.0.8", "network": "public",
                "forwardings": [{"protocol": "tcp", "port": 80, "to": "192.168.9.10:8080"}],
            })),
            201,
        ),
        call(
            "get",
            "/v1/floating-ips/{id}",
            "/v1/floating-ips/fip1",
            None,
            200,
        ),
        call("get", "/v1/floating-ips", "/v1/floating-ips", None, 200),
        call("get", "/v1/routers/{id}", "/v1/routers/r2", None, 200),
        call("get", "/v1/networks/{id}", "/v1/networks/public", None, 200),
        call(
            "get",
            "/v1/neighbours",
            "/v1/neighbours?network=public",
            None,
            200,
        ),
        call(
            "put",
            "/v1/tenants/{id}",
            "/v1/tenants/acme",
            Some(json!({
                "description": "All fields.",
                "nat": {"sessions": 1, "sessions_per_second": 2, "ports": 3, "fragments": 4},
            })),
            201,
        ),
        call("get", "/v1/tenants/{id}", "/v1/tenants/acme", None, 200),
        call("get", "/v1/tenants", "/v1/tenants", None, 200),
        call("delete", "/v1/tenants/{id}", "/v1/tenants/acme", None, 204),
        call(
            "put",
            "/v1/nat-settings/{id}",
            "/v1/nat-settings/default",
            Some(json!({
                "timeouts": {"tcp_established": 1, "tcp_transitory": 2, "udp": 3, "icmp": 4, "rest": 0, "fragment": 6},
                "short_timeouts": true, "inbound_refresh": false, "unsolicited_syn": "unreachable", "port_block": 64,
                "limits": {"sessions": 1, "sessions_per_second": 2, "ports": 3, "fragments": 4},
            })),
            201,
        ),
        call(
            "get",
            "/v1/nat-settings/{id}",
            "/v1/nat-settings/default",
            None,
            200,
        ),
        call("get", "/v1/nat-settings", "/v1/nat-settings", None, 200),
        call(
            "delete",
            "/v1/nat-settings/{id}",
            "/v1/nat-settings/default",
            None,
            204,
        ),
        call("get", "/v1/sessions", "/v1/sessions?limit=1", None, 200),
        call(
            "get",
            "/v1/sessions",
            "/v1/sessions?router=r2&protocol=tcp&inside=192.168.9.9&inside_port=1&outside=10.100.0.5&outside_port=2&remote=192.0.2.1&remote_port=3&state=closed-inside&cursor=0-0",
            None,
            200,
        ),
        call("get", "/v1/sessions", "/v1/sessions?router=no", None, 404),
        call(
            "delete",
            "/v1/sessions",
            "/v1/sessions?router=no",
            None,
            404,
        ),
        call("delete", "/v1/sessions", "/v1/sessions?all=true", None, 200),
        call("get", "/v1/nat/pools", "/v1/nat/pools", None, 200),
        call("get", "/v1/nat/tenants", "/v1/nat/tenants", None, 200),
        call("get", "/v1/events", "/v1/events?limit=0", None, 200),
        call("get", "/v1/state", "/v1/state", None, 200),
        call(
            "delete",
            "/v1/floating-ips/{id}",
            "/v1/floating-ips/fip1",
            None,
            204,
        ),
        call(
            "delete",
            "/v1/floating-ips/{id}",
            "/v1/floating-ips/fip2",
            None,
            204,
        ),
        call("delete", "/v1/routers/{id}", "/v1/routers/r2", None, 204),
        call(
            "post",
            "/v1/transaction",
            "/v1/transaction?diff=true",
            Some(
                json!({"put": {"hosts": {"h3": {"vtep": "192.0.2.14"}}}, "delete": {"hosts": ["h2"]}}),
            ),
            200,
        ),
        call(
            "put",
            "/v1/state",
            "/v1/state?dry_run=true",
            Some(json!({})),
            200,
        ),
        call("get", "/v1/workers", "/v1/workers", None, 200),
        call("get", "/v1/drops", "/v1/drops", None, 200),
        call("get", "/v1/tables", "/v1/tables", None, 200),
        call("get", "/v1/underlay", "/v1/underlay", None, 200),
        call(
            "get",
            "/v1/status/interfaces",
            "/v1/status/interfaces",
            None,
            200,
        ),
        call("get", "/v1/version", "/v1/version", None, 200),
        call("get", "/healthz", "/healthz", None, 200),
        call("get", "/metrics", "/metrics", None, 200),
        call(
            "delete",
            "/v1/networks/{id}",
            "/v1/networks/blue",
            None,
            409,
        ),
        call(
            "delete",
            "/v1/routes/{router}/{address}/{length}",
            "/v1/routes/r1/2001:db8::/32",
            None,
            204,
        ),
        call("delete", "/v1/routers/{id}", "/v1/routers/r1", None, 204),
        call(
            "delete",
            "/v1/fdb/{network}/{mac}",
            "/v1/fdb/blue/52:54:00:00:00:02",
            None,
            204,
        ),
        call(
            "delete",
            "/v1/ports/{id}",
            "/v1/ports/p1?dry_run=true",
            None,
            200,
        ),
        call("delete", "/v1/ports/{id}", "/v1/ports/p1", None, 204),
        call("delete", "/v1/ports/{id}", "/v1/ports/p1", None, 404),
        call("delete", "/v1/networks/{id}", "/v1/networks/red", None, 204),
        call("delete", "/v1/hosts/{id}", "/v1/hosts/h3", None, 204),
        call(
            "delete",
            "/v1/interfaces/{id}",
            "/v1/interfaces/small",
            None,
            204,
        ),
    ]
}

#[tokio::test]
async fn every_documented_operation_answers_as_documented() {
    let api = Api::with_fabric().await;
    let inside = json!({"put": {
        "networks": {"inside": {"segment": {"type": "vxlan", "vni": 77}}},
        "ports": {"vm1": {
            "network": "inside", "mac": "52:54:00:00:09:09", "addresses": ["192.168.9.9"], "interface": "eth1", "vlan": 9,
        }},
    }});
    api.post("/v1/transaction", inside).await.expect(200);
    learn_something(&api);
    let document = api.get("/openapi.json").await.expect(200);
    let calls = calls();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let is_called = calls
                .iter()
                .any(|(own, template, ..)| own == method && template == path);
            assert!(is_called, "{method} {path} is documented and not tested");
        }
    }
    for (method, template, path, body, status) in calls {
        let operation = &document["paths"][template][method];
        assert!(
            operation.is_object(),
            "{method} {template} is not documented"
        );
        if let Some(body) = &body
            && status < 400
        {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            check_schema(&document, schema, body, &path);
        }
        let answer = api.call(&method.to_uppercase(), &path, body).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{method} {path}: {}",
            answer.text
        );
        check_answer(&document, operation, &answer, &path);
    }
}

/// An entry of each form, so that the lists have something to show.
fn learn_something(api: &Api) {
    api.manager.read(|state| {
        let network = state
            .view()
            .find::<Network>(&"blue".parse().unwrap())
            .unwrap();
        let interface = state
            .view()
            .find::<Interface>(&"eth1".parse().unwrap())
            .unwrap();
        let attachment = Attachment {
            interface,
            tag: None,
        };
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        api.control
            .learned
            .lock()
            .insert((network, mac), attachment);
        *api.control.neighbours.lock() = vec![Neighbour {
            address: "10.0.0.1".parse().unwrap(),
            mac,
            location: NeighbourLocation::Local(attachment),
            origin: NeighbourOrigin::Learned,
            age: Some(3),
        }];
        // The router `r2` comes second, beside `r1`.
        let router = Handle::new(1);
        *api.control.sessions.lock() = vec![
            SessionRow {
                router,
                protocol: SessionProtocol::Tcp,
                inside: "192.168.9.9:1".parse().unwrap(),
                outside: "10.100.0.5:2".parse().unwrap(),
                remote: "192.0.2.1:3".parse().unwrap(),
                state: SessionState::ClosedInside,
                idle_seconds: 4,
                expires_in_seconds: 5,
                worker: 6,
                shared_port: true,
            };
            2
        ];
        *api.control.pools.lock() = vec![NatPool {
            router,
            address: "10.100.0.5".parse().unwrap(),
            sessions: 7,
            ports: vec![PortUse {
                protocol: SessionProtocol::Icmp,
                used: 8,
                free: 9,
            }],
            state: NatPoolState::Open,
        }];
        *api.control.tenants.lock() = vec![NatTenant {
            tenant: "acme".parse().unwrap(),
            sessions: 1,
            ports: 2,
            fragments: 3,
            limits: NatLimits::default(),
        }];
        *api.control.metadata.lock() = vec![MetadataAsker {
            address: "240.0.7.9".parse().unwrap(),
            port: "p1".parse().unwrap(),
            network: "blue".parse().unwrap(),
            mac,
            source: "10.0.0.1".parse().unwrap(),
            addresses: Box::new(["10.0.0.1".parse().unwrap()]),
        }];
    });
}

fn check_answer(document: &Value, operation: &Value, answer: &Answer, path: &str) {
    let status = answer.status.as_u16().to_string();
    let responses = &operation["responses"];
    let response = responses.get(&status).or(responses
        .get("default")
        .filter(|_| answer.status.as_u16() >= 400));
    let response = response.unwrap_or_else(|| panic!("{path}: {status} is not documented"));
    let Some(content) = response["content"].as_object() else {
        assert_eq!(answer.text, "", "{path}: a body where none is documented");
        return;
    };
    let media_type = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    let schema = content
        .get(media_type)
        .unwrap_or_else(|| panic!("{path}: {media_type} is not documented"));
    if media_type.ends_with("json") {
        check_schema(document, &schema["schema"], &answer.json(), path);
    }
}

fn check_schema(document: &Value, schema: &Value, value: &Value, path: &str) {
    let mut schema = schema.clone();
    // References point into the document, so it comes along.
    schema["components"] = document["components"].clone();
    let validator =
        jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{path}: {error}"));
    let errors: Vec<_> = validator
        .iter_errors(value)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{path}: {errors:#?} in {value:#}");
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let page = Api::new().get("/docs/").await.text;
    assert!(page.contains("swagger-ui"), "{page}");
    for line in page
        .lines()
        .filter(|line| line.contains("src=") || line.contains("href="))
    {
        assert!(
            !line.contains("http://") && !line.contains("https://"),
            "{line}"
        );
    }
}
