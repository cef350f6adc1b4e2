//! `/metrics` in the text format of Prometheus, by its naming conventions: base units, `_total` for counters.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use utoipa::openapi::path::HttpMethod;

use super::Api;
use super::endpoint::{Endpoints, Operation, text};
use super::nat;
use super::problem::Problem;
use crate::events::Event;
use crate::manager::Manager;
use crate::refusal::{Code, Refusal};
use crate::resources::{Kind, KindVisitor, each_kind};
use crate::translation::NatPoolState;

/// Prometheus' text format 0.0.4.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4";

pub(super) fn add_to(endpoints: &mut Endpoints) {
    let get = Operation::new("get_metrics", "status", "Metrics for Prometheus").answer(
        200,
        "The text format of Prometheus.",
        TEXT_FORMAT,
        text(),
    );
    endpoints.add(HttpMethod::Get, "/metrics", routing::get(get_metrics), get);
}

/// The API's own: how often it is asked for what, and how long that takes.
pub(super) struct RequestMetrics {
    registry: Registry,
    seconds: HistogramVec,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        let registry = Registry::new();
        let opts = HistogramOpts::new(
            "vtepd_api_request_duration_seconds",
            "Time to answer API requests.",
        );
        let opts = opts.buckets(vec![
            0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
        ]);
        let seconds =
            HistogramVec::new(opts, &["method", "path", "status"]).expect("names are valid");
        registry
            .register(Box::new(seconds.clone()))
            .expect("registered once");
        Self { registry, seconds }
    }
}

/// Times a request, under the pattern of its path: identifiers would make a series each.
pub(super) async fn count(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let started = std::time::Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let path = path.as_ref().map_or("other", MatchedPath::as_str);
    let status = response.status();
    let labels = [known(&method), path, status.as_str()];
    api.metrics
        .seconds
        .with_label_values(&labels)
        .observe(started.elapsed().as_secs_f64());
    response
}

/// A client may invent methods; it must not invent series.
fn known(method: &axum::http::Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "PUT" | "POST" | "DELETE" | "HEAD") => known,
        _ => "other",
    }
}

async fn get_metrics(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let version = api.config.version.clone();
    let of_requests = api.metrics.registry.gather();
    let gathered = api
        .blocking(move |manager| gather(manager, &version))
        .await?;
    let mut families = gathered.map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
    families.extend(of_requests);
    let mut body = Vec::new();
    let encoded = TextEncoder::new().encode(&families, &mut body);
    encoded.map_err(|error| Refusal::new(Code::Internal, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], body).into_response())
}

type Families = Vec<prometheus::proto::MetricFamily>;

/// The control plane keeps the counts; a scrape copies them into a registry of its own.
fn gather(manager: &Manager, version: &str) -> prometheus::Result<Families> {
    let scrape = Scrape(Registry::new());
    scrape
        .gauge(
            "vtepd_build_info",
            "Always 1; the labels say what runs.",
            &["version"],
        )?
        .with_label_values(&[version])
        .set(1);
    let healthy = scrape.gauge("vtepd_healthy", "1 if the workers run as they should.", &[])?;
    healthy
        .with_label_values::<&str>(&[])
        .set(i64::from(manager.health().is_ok()));
    resources(&scrape, manager)?;
    interfaces(&scrape, manager)?;
    workers(&scrape, manager)?;
    drops(&scrape, manager)?;
    tables(&scrape, manager)?;
    translation(&scrape, manager)?;
    events(&scrape, manager)?;
    Ok(scrape.0.gather())
}

struct Scrape(Registry);

impl Scrape {
    fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        let family = IntCounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        let family = IntGaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn ratio(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        let family = GaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }
}

/// Gauges are signed; a count that does not fit is as good as the largest.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn resources(scrape: &Scrape, manager: &Manager) -> prometheus::Result<()> {
    struct Count<'a>(&'a IntGaugeVec, &'a crate::state::State);
    impl KindVisitor for Count<'_> {
        type Error = std::convert::Infallible;
        fn visit<K: Kind>(&mut self) -> Result<(), Self::Error> {
            let len = self.1.table::<K>().len();
            self.0.with_label_values(&[K::NAME]).set(signed(len as u64));
            Ok(())
        }
    }
    let family = scrape.gauge(
        "vtepd_resources",
        "Resources of the desired state.",
        &["kind"],
    )?;
    manager.read(|state| {
        let Ok(()) = each_kind(&mut Count(&family, state));
    });
    Ok(())
}

fn interfaces(scrape: &Scrape, manager: &Manager) -> prometheus::Result<()> {
    let labels = &["interface", "device"];
    let up = scrape.gauge("vtepd_interface_up", "1 if the link is up.", labels)?;
    let mtu = scrape.gauge("vtepd_interface_mtu_bytes", "The MTU.", labels)?;
    let speed = scrape.gauge(
        "vtepd_interface_speed_bytes_per_second",
        "The link's speed.",
        labels,
    )?;
    let counter = |direction: &str, what: &str, help: &str| {
        scrape.counter(
            &format!("vtepd_interface_{direction}_{what}_total"),
            help,
            labels,
        )
    };
    let families = |direction: &str| -> prometheus::Result<[IntCounterVec; 4]> {
        Ok([
            counter(direction, "packets", "Packets.")?,
            counter(direction, "bytes", "Bytes of frames.")?,
            counter(
                direction,
                "dropped",
                "Packets the device could not take or hand over.",
            )?,
            counter(direction, "errors", "Packets the device found damaged.")?,
        ])
    };
    let (received, sent) = (families("receive")?, families("transmit")?);
    for status in manager.control().interfaces() {
        let id = status.id.map(|id| id.to_string()).unwrap_or_default();
        let values = &[id.as_str(), status.device.as_str()];
        up.with_label_values(values).set(i64::from(status.link_up));
        mtu.with_label_values(values).set(i64::from(status.mtu));
        if let Some(mbps) = status.speed_mbps {
            speed
                .with_label_values(values)
                .set(i64::from(mbps) * 125_000);
        }
        for (families, traffic) in [(&received, status.rx), (&sent, status.tx)] {
            let counts = [
                traffic.packets,
                traffic.bytes,
                traffic.dropped,
                traffic.errors,
            ];
            for (family, count) in families.iter().zip(counts) {
                family.with_label_values(values).inc_by(count);
            }
        }
    }
    Ok(())
}

fn workers(scrape: &Scrape, manager: &Manager) -> prometheus::Result<()> {
    let labels = &["worker", "core"];
    let running = scrape.gauge("vtepd_worker_running", "1 while the worker polls.", labels)?;
    let busy = scrape.ratio(
        "vtepd_worker_busy_ratio",
        "Share of the last second spent on packets.",
        labels,
    )?;
    let turns = scrape.counter(
        "vtepd_worker_iterations_total",
        "Turns of the loop.",
        labels,
    )?;
    let packets = scrape.counter("vtepd_worker_packets_total", "Packets taken in.", labels)?;
    let handed_over = scrape.counter(
        "vtepd_worker_handed_over_total",
        "Packets handed over to the workers that own their translations.",
        labels,
    )?;
    let taken_over = scrape.counter(
        "vtepd_worker_taken_over_total",
        "Packets that other workers handed over.",
        labels,
    )?;
    let kept = scrape.counter(
        "vtepd_worker_kept_total",
        "Packets kept until they could be decided.",
        labels,
    )?;
    let nat_refused = scrape.counter(
        "vtepd_worker_nat_refused_total",
        "What the control thread asked of address translation and was refused.",
        labels,
    )?;
    let stage = &["worker", "stage"];
    let stage_packets = scrape.counter(
        "vtepd_stage_packets_total",
        "Packets that passed the stage.",
        stage,
    )?;
    let stage_cycles = scrape.counter(
        "vtepd_stage_cycles_total",
        "CPU cycles spent in the stage.",
        stage,
    )?;
    for status in manager.control().workers() {
        let (worker, core) = (status.worker.to_string(), status.core.to_string());
        let values = &[worker.as_str(), core.as_str()];
        running
            .with_label_values(values)
            .set(i64::from(status.running));
        busy.with_label_values(values).set(status.busy);
        turns.with_label_values(values).inc_by(status.iterations);
        packets.with_label_values(values).inc_by(status.packets);
        for (family, count) in [
            (&handed_over, status.handed_over),
            (&taken_over, status.taken_over),
            (&kept, status.kept),
            (&nat_refused, status.nat_refused),
        ] {
            family.with_label_values(values).inc_by(count);
        }
        for stage in &status.stages {
            let values = &[worker.as_str(), stage.stage.as_str()];
            stage_packets
                .with_label_values(values)
                .inc_by(stage.packets);
            stage_cycles.with_label_values(values).inc_by(stage.cycles);
        }
    }
    Ok(())
}

fn drops(scrape: &Scrape, manager: &Manager) -> prometheus::Result<()> {
    let labels = &["reason", "interface"];
    let family = scrape.counter("vtepd_drops_total", "Packets dropped, by reason.", labels)?;
    for drop in manager.control().drops() {
        let interface = drop.interface.map(|id| id.to_string()).unwrap_or_default();
        family
            .with_label_values(&[drop.reason.as_str(), &interface])
            .inc_by(drop.packets);
    }
    Ok(())
}

fn tables(scrape: &Scrape, manager: &Manager) -> prometheus::Result<()> {
    let labels = &["table"];
    let capacity = scrape.gauge(
        "vtepd_table_capacity",
        "The most entries the table takes.",
        labels,
    )?;
    let used = scrape.gauge("vtepd_table_entries", "Entries now.", labels)?;
    let high = scrape.gauge(
        "vtepd_table_entries_high_water",
        "The most entries it ever had.",
        labels,
    )?;
    let failed = scrape.counter(
        "vtepd_table_failed_inserts_total",
        "Entries it had no room for.",
        labels,
    )?;
    for status in manager.control().tables() {
        let values = &[status.name.as_str()];
        capacity
            .with_label_values(values)
            .set(signed(status.capacity));
        used.with_label_values(values).set(signed(status.used));
        high.with_label_values(values)
            .set(signed(status.high_water));
        failed
            .with_label_values(values)
            .inc_by(status.failed_inserts);
    }
    Ok(())
}

fn translation(scrape: &Scrape, manager: &Manager) -> prometheus::Result<()> {
    let labels = &["router", "address"];
    let sessions = scrape.gauge(
        "vtepd_nat_pool_sessions",
        "Sessions by an outside address that stations share.",
        labels,
    )?;
    let labels = &["router", "address", "protocol"];
    let used = scrape.gauge(
        "vtepd_nat_pool_ports_used",
        "Its ports in use, those that rest included.",
        labels,
    )?;
    let free = scrape.gauge("vtepd_nat_pool_ports_free", "Its free ports.", labels)?;
    // Workers that cannot be asked are the business of `/v1/health`: all else is shown.
    for pool in nat::pools(manager).unwrap_or_default() {
        let (router, address) = (pool.router.to_string(), pool.address.to_string());
        // An address that was taken away and given back is there twice for a while.
        sessions
            .with_label_values(&[&router, &address])
            .add(signed(pool.sessions));
        for ports in &pool.ports {
            let values = &[router.as_str(), &address, ports.protocol.as_str()];
            used.with_label_values(values).add(signed(ports.used));
            free.with_label_values(values).add(match pool.state {
                NatPoolState::Open => signed(ports.free),
                NatPoolState::Closing => 0,
            });
        }
    }
    let labels = &["tenant"];
    let gauge = |what: &str, help: &str| {
        let name = format!("vtepd_nat_tenant_{what}");
        let limit = format!("{name}_limit");
        Ok::<_, prometheus::Error>((
            scrape.gauge(&name, help, labels)?,
            scrape.gauge(&limit, "The most it may have.", labels)?,
        ))
    };
    let sessions = gauge("sessions", "Sessions of a tenant.")?;
    let ports = gauge("ports", "Ports of outside addresses that a tenant has.")?;
    let fragments = gauge(
        "fragments",
        "Fragmented datagrams and held packets of a tenant.",
    )?;
    for tenant in manager.control().nat_tenants().unwrap_or_default() {
        let name = tenant.tenant.to_string();
        let limits = tenant.limits;
        for ((now, limit), used, most) in [
            (&sessions, tenant.sessions, limits.sessions),
            (&ports, tenant.ports, limits.ports),
            (&fragments, tenant.fragments, limits.fragments),
        ] {
            now.with_label_values(&[&name]).set(signed(used));
            limit.with_label_values(&[&name]).set(i64::from(most));
        }
    }
    Ok(())
}

fn events(scrape: &Scrape, manager: &Manager) -> prometheus::Result<()> {
    let family = scrape.counter("vtepd_events_total", "Events, by kind.", &["kind"])?;
    for (kind, count) in Event::KINDS.iter().zip(manager.events().counts()) {
        family.with_label_values(&[kind]).inc_by(count);
    }
    Ok(())
}
