//! Health and metrics.

use serde_json::json;

use crate::support::api::Api;

#[tokio::test]
async fn health_and_metrics_follow_the_workers() {
    let api = Api::with_fabric().await;
    assert_eq!(
        api.get("/healthz").await.expect(200),
        json!({"status": "ok"})
    );
    api.control
        .sick
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = api.get("/healthz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.refused("unhealthy", None).contains("worker 0"));

    let workers = api.get("/v1/workers").await.expect(200);
    let counts = ["handed_over", "taken_over", "kept", "nat_refused"];
    let counts = counts.map(|name| workers["items"][0][name].as_u64());
    assert_eq!(counts, [4, 3, 2, 1].map(Some));

    let metrics = api.get("/metrics").await;
    assert!(
        metrics.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    for line in [
        "vtepd_resources{kind=\"networks\"} 1",
        "vtepd_drops_total{interface=\"\",reason=\"vni-unknown\"} 7",
        "vtepd_worker_busy_ratio{core=\"3\",worker=\"0\"} 0.25",
        "vtepd_worker_handed_over_total{core=\"3\",worker=\"0\"} 4",
        "vtepd_worker_taken_over_total{core=\"3\",worker=\"0\"} 3",
        "vtepd_worker_kept_total{core=\"3\",worker=\"0\"} 2",
        "vtepd_worker_nat_refused_total{core=\"3\",worker=\"0\"} 1",
        "vtepd_stage_cycles_total{stage=\"parse\",worker=\"0\"} 400",
        "vtepd_interface_receive_bytes_total{device=\"eth0\",interface=\"eth0\"} 640",
        "vtepd_interface_speed_bytes_per_second{device=\"eth1\",interface=\"eth1\"} 1250000000",
        "vtepd_healthy 0",
        "vtepd_api_request_duration_seconds_count{method=\"GET\",path=\"/healthz\",status=\"503\"} 1",
    ] {
        assert!(
            metrics.text.lines().any(|found| found == line),
            "{line} is not in\n{}",
            metrics.text
        );
    }
}
