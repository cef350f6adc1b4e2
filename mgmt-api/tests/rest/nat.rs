//! How full address translation is: pools, tenants, and the metrics of both.

use mgmt_api::resources::{NatLimits, Router};
use mgmt_api::state::Handle;
use mgmt_api::translation::{NatPool, NatPoolState, NatTenant, PortUse, SessionProtocol};
use serde_json::json;

use crate::support::api::{Api, cloud};

async fn with_pools() -> Api {
    let api = Api::new();
    api.post("/v1/transaction", cloud()).await.expect(200);
    let acme = json!({"nat": {"sessions_per_second": 100}});
    api.put("/v1/tenants/acme", acme).await.expect(201);
    let router = api.manager.read(|state| {
        let view = state.view();
        view.find::<Router>(&"r1".parse().unwrap()).unwrap()
    });
    let pool = |router, address: &str, state| NatPool {
        router,
        address: address.parse().unwrap(),
        sessions: 12,
        ports: SessionProtocol::ALL
            .map(|protocol| PortUse {
                protocol,
                used: 10,
                free: 64_502,
            })
            .to_vec(),
        state,
    };
    *api.control.pools.lock() = vec![
        pool(router, "10.100.0.6", NatPoolState::Closing),
        pool(router, "10.100.0.5", NatPoolState::Open),
        // Taken away from another tenant a moment ago, and given back.
        pool(router, "10.100.0.5", NatPoolState::Closing),
        // Its router has just gone.
        pool(Handle::new(77), "10.100.0.4", NatPoolState::Closing),
    ];
    let tenant = |tenant: &str| NatTenant {
        tenant: tenant.parse().unwrap(),
        sessions: 12,
        ports: 10,
        fragments: 1,
        limits: NatLimits::default(),
    };
    *api.control.tenants.lock() = vec![tenant("r1"), tenant("acme")];
    api
}

#[tokio::test]
async fn pools_and_tenants_are_listed_by_name() {
    let api = with_pools().await;
    let pools = api.get("/v1/nat/pools").await.expect(200);
    let items = pools["items"].as_array().unwrap();
    assert_eq!(items.len(), 3);
    assert_eq!(
        items[0],
        json!({
            "router": "r1", "address": "10.100.0.5", "sessions": 12, "state": "open",
            "ports": [
                {"protocol": "tcp", "used": 10, "free": 64_502},
                {"protocol": "udp", "used": 10, "free": 64_502},
                {"protocol": "icmp", "used": 10, "free": 64_502},
            ],
        })
    );
    assert_eq!(items[1]["state"], "closing");
    assert_eq!(items[2]["state"], "closing");
    let tenants = api.get("/v1/nat/tenants").await.expect(200);
    let items = tenants["items"].as_array().unwrap();
    assert_eq!(
        items[0],
        json!({
            "tenant": "acme", "sessions": 12, "ports": 10, "fragments": 1,
            "limits": {"sessions": 262_144, "sessions_per_second": 50_000, "ports": 64_512, "fragments": 256},
            "limits_from": "tenants",
        })
    );
    let own = (&items[1]["tenant"], &items[1]["limits_from"]);
    assert_eq!(own, (&json!("r1"), &json!("nat-settings")));
}

#[tokio::test]
async fn metrics_have_pools_tenants_and_events() {
    let api = with_pools().await;
    let metrics = api.get("/metrics").await.text;
    for line in [
        r#"vtepd_nat_pool_sessions{address="10.100.0.5",router="r1"} 24"#,
        r#"vtepd_nat_pool_ports_used{address="10.100.0.5",protocol="udp",router="r1"} 20"#,
        r#"vtepd_nat_pool_ports_free{address="10.100.0.5",protocol="udp",router="r1"} 64502"#,
        r#"vtepd_nat_pool_ports_free{address="10.100.0.6",protocol="icmp",router="r1"} 0"#,
        r#"vtepd_nat_tenant_sessions{tenant="acme"} 12"#,
        r#"vtepd_nat_tenant_sessions_limit{tenant="acme"} 262144"#,
        r#"vtepd_nat_tenant_ports{tenant="r1"} 10"#,
        r#"vtepd_nat_tenant_fragments_limit{tenant="r1"} 256"#,
        r#"vtepd_events_total{kind="nat-sessions-full"} 0"#,
        r#"vtepd_resources{kind="floating-ips"} 0"#,
    ] {
        assert!(
            metrics.lines().any(|own| own == line),
            "{line} in {metrics}"
        );
    }
}
