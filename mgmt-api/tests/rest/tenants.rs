//! Tenants' limits and the settings of address translation.

use serde_json::{Value, json};

use crate::support::api::Api;

fn limits(api: &Api, tenant: &str) -> [u32; 4] {
    api.manager.read(|state| {
        let limits = state.view().nat_limits(&tenant.parse().unwrap());
        [
            limits.sessions,
            limits.sessions_per_second,
            limits.ports,
            limits.fragments,
        ]
    })
}

#[tokio::test]
async fn limits_of_a_tenant_are_its_own_over_those_of_the_settings_over_the_defaults() {
    let api = Api::new();
    let defaults = [1 << 18, 50_000, 64_512, 256];
    assert_eq!(limits(&api, "acme"), defaults);
    let acme = json!({"description": "A customer.", "nat": {"sessions": 100, "fragments": 0}});
    let shown = api.put("/v1/tenants/acme", acme.clone()).await.expect(201);
    assert_eq!(
        (&shown["id"], &shown["nat"]),
        (&"acme".into(), &acme["nat"])
    );
    assert_eq!(limits(&api, "acme"), [100, 50_000, 64_512, 0]);
    let settings = json!({"limits": {"sessions": 5000, "ports": 1000}});
    api.put("/v1/nat-settings/default", settings)
        .await
        .expect(201);
    assert_eq!(limits(&api, "acme"), [100, 50_000, 1000, 0]);
    assert_eq!(limits(&api, "other"), [5000, 50_000, 1000, 256]);
    api.delete("/v1/tenants/acme").await.expect(204);
    assert_eq!(limits(&api, "acme"), [5000, 50_000, 1000, 256]);
    api.delete("/v1/nat-settings/default").await.expect(204);
    assert_eq!(limits(&api, "acme"), defaults);
}

#[tokio::test]
async fn settings_are_read_with_their_defaults() {
    let api = Api::new();
    let defaults = json!({
        "id": "default",
        "timeouts": {"tcp_established": 7440, "tcp_transitory": 240, "udp": 300, "icmp": 60, "rest": 120, "fragment": 5},
        "short_timeouts": false,
        "inbound_refresh": true,
        "unsolicited_syn": "silent",
        "limits": {"sessions": 262_144, "sessions_per_second": 50_000, "ports": 64_512, "fragments": 256},
        "port_block": 0,
    });
    let shown = api
        .put("/v1/nat-settings/default", json!({}))
        .await
        .expect(201);
    assert_eq!(shown, defaults);
    let some = json!({
        "timeouts": {"udp": 120, "rest": 0}, "inbound_refresh": false, "unsolicited_syn": "unreachable", "port_block": 64,
    });
    let shown = api.put("/v1/nat-settings/default", some).await.expect(200);
    assert_eq!(shown["timeouts"]["udp"], 120);
    assert_eq!(
        shown["timeouts"]["icmp"], 60,
        "what is left out is the default"
    );
    api.manager.read(|state| {
        let settings = state.view().nat_settings();
        assert_eq!((settings.timeouts.udp, settings.timeouts.rest), (120, 0));
        assert!(!settings.inbound_refresh);
        assert_eq!(settings.port_block, 64);
    });
    assert_eq!(
        api.put("/v1/nat-settings/default", shown.clone())
            .await
            .expect(200),
        shown
    );
    let listed = api.get("/v1/nat-settings?limit=1").await.expect(200);
    assert_eq!(listed["items"], json!([shown]));
    assert_eq!(listed.get("next"), None);
}

/// RFC 5382, REQ-5; RFC 4787, REQ-5; RFC 5508, REQ-2.
#[tokio::test]
async fn timeouts_below_what_the_rfcs_demand_are_taken_only_if_that_is_meant() {
    let api = Api::new();
    let least = [
        ("tcp_established", 7440, "RFC 5382, REQ-5"),
        ("tcp_transitory", 240, "RFC 5382, REQ-5"),
        ("udp", 120, "RFC 4787, REQ-5"),
        ("icmp", 60, "RFC 5508, REQ-2"),
    ];
    let settings = "/v1/nat-settings/default";
    for (name, seconds, rfc) in least {
        let with = |seconds: u32, short: bool| {
            let mut document = json!({"timeouts": {}, "short_timeouts": short});
            document["timeouts"][name] = seconds.into();
            document
        };
        let field = format!("/timeouts/{name}");
        let refused = api.put(settings, with(seconds - 1, false)).await;
        let sentence = refused.refused("invalid", Some(&field));
        assert!(
            sentence.contains(rfc) && sentence.contains("short_timeouts"),
            "{sentence}"
        );
        let least = api.put(settings, with(seconds, false)).await;
        assert!(least.status.is_success(), "{}", least.text);
        let short = api.put(settings, with(1, true)).await.expect(200);
        assert_eq!(short["timeouts"][name], 1);
        assert_eq!(short["short_timeouts"], true);
        let refused = api.put(settings, with(0, true)).await;
        refused.refused("invalid", Some(&field));
        // What was meant once is not meant for ever.
        let refused = api.put(settings, with(1, false)).await;
        refused.refused("invalid", Some(&field));
    }
}

#[tokio::test]
async fn what_settings_and_limits_cannot_be_is_refused() {
    let api = Api::new();
    let timeout = |name: &str, seconds: u32| {
        let mut timeouts = json!({});
        timeouts[name] = seconds.into();
        json!({"timeouts": timeouts})
    };
    let block = |block: u32| json!({"port_block": block});
    let settings = "nat-settings/default";
    let cases: [(&str, Value, &str); 14] = [
        (settings, json!({"colour": 1}), "/colour"),
        (settings, json!({"timeouts": {"sctp": 1}}), "/timeouts/sctp"),
        (settings, timeout("udp", 0), "/timeouts/udp"),
        (settings, timeout("icmp", 604_801), "/timeouts/icmp"),
        (
            settings,
            timeout("tcp_established", 0),
            "/timeouts/tcp_established",
        ),
        (settings, timeout("rest", 604_801), "/timeouts/rest"),
        (
            settings,
            json!({"unsolicited_syn": "loud"}),
            "/unsolicited_syn",
        ),
        (settings, block(8), "/port_block"),
        (settings, block(48), "/port_block"),
        (settings, block(8192), "/port_block"),
        (
            settings,
            json!({"limits": {"sessions": -1}}),
            "/limits/sessions",
        ),
        (settings, json!({"limits": {"colour": 1}}), "/limits/colour"),
        ("tenants/acme", json!({"nat": {"colour": 1}}), "/nat/colour"),
        (
            "tenants/acme",
            json!({"nat": {"ports": "many"}}),
            "/nat/ports",
        ),
    ];
    for (path, body, field) in cases {
        api.refuses([(path, body, "invalid", Some(field))]).await;
    }
    for block in [16, 4096] {
        let answer = api
            .put("/v1/nat-settings/default", json!({"port_block": block}))
            .await;
        assert!(answer.status.is_success(), "{}", answer.text);
    }
    let sentence = api.put("/v1/nat-settings/mine", json!({})).await.json()["detail"].to_string();
    assert!(
        sentence.contains("the only settings are named default"),
        "{sentence}"
    );
}
