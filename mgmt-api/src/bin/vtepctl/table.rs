//! The columns of each kind of list.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

/// A column: its title, and what a row shows in it.
type Column = (&'static str, fn(&Value) -> String);

/// Rows as columns for people.
pub fn render(view: &str, rows: &[Value]) -> String {
    let columns = columns(view);
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(
        columns
            .iter()
            .map(|(title, _)| Cell::new(title.to_uppercase())),
    );
    for row in rows {
        table.add_row(columns.iter().map(|(_, show)| {
            let text = show(row);
            let is_number =
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'%');
            let alignment = if is_number {
                CellAlignment::Right
            } else {
                CellAlignment::Left
            };
            Cell::new(text).set_alignment(alignment)
        }));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect::<String>()
        .trim_end()
        .to_owned()
}

fn columns(view: &str) -> &'static [Column] {
    match view {
        "interfaces" => &[
            ("id", |row| text(&row["id"])),
            ("device", |row| text(&row["device"])),
            ("addresses", |row| text(&row["addresses"])),
            ("vlan", |row| text(&row["vlan"])),
            ("mtu", |row| text(&row["mtu"])),
            ("gateway", |row| join(&[&row["gateway"], &row["gateway6"]])),
            ("description", |row| text(&row["description"])),
        ],
        "hosts" => &[
            ("id", |row| text(&row["id"])),
            ("vtep", |row| text(&row["vtep"])),
            ("udp port", |row| text(&row["udp_port"])),
            ("udp checksum", |row| text(&row["udp_checksum"])),
            ("dvr mac", |row| text(&row["dvr_mac"])),
            ("description", |row| text(&row["description"])),
        ],
        "networks" => &[
            ("id", |row| text(&row["id"])),
            ("segment", segment),
            ("bindings", |row| bindings(&row["bindings"])),
            ("mtu", |row| text(&row["mtu"])),
            ("subnets", |row| {
                each_line(&row["subnets"], |own| text(&own["cidr"]))
            }),
            ("flood", flood),
            ("description", |row| text(&row["description"])),
        ],
        "ports" => &[
            ("id", |row| text(&row["id"])),
            ("network", |row| text(&row["network"])),
            ("mac", |row| text(&row["mac"])),
            ("addresses", |row| text(&row["addresses"])),
            ("location", location),
        ],
        "routers" => &[
            ("id", |row| text(&row["id"])),
            ("runs on", runs_on),
            ("interfaces", |row| {
                let inside = each_line(&row["interfaces"], |own| {
                    format!("{} {}", text(&own["network"]), text(&own["addresses"]))
                });
                let ways = [inside, outside(row)];
                let ways = ways.into_iter().filter(|way| !way.is_empty());
                ways.collect::<Vec<_>>().join("\n")
            }),
            ("routes", |row| {
                each_line(&row["routes"], |own| {
                    format!("{} via {}", text(&own["destination"]), text(&own["via"]))
                })
            }),
            ("description", |row| text(&row["description"])),
        ],
        "floating-ips" => &[
            ("id", |row| text(&row["id"])),
            ("address", |row| text(&row["address"])),
            ("network", |row| text(&row["network"])),
            ("router", |row| text(&row["router"])),
            ("leads to", leads_to),
            ("description", |row| text(&row["description"])),
        ],
        "tenants" => &[
            ("id", |row| text(&row["id"])),
            ("sessions", |row| text(&row["nat"]["sessions"])),
            ("per second", |row| text(&row["nat"]["sessions_per_second"])),
            ("ports", |row| text(&row["nat"]["ports"])),
            ("fragments", |row| text(&row["nat"]["fragments"])),
            ("description", |row| text(&row["description"])),
        ],
        "nat-settings" => &[
            ("id", |row| text(&row["id"])),
            ("timeouts", |row| members(&row["timeouts"])),
            ("short timeouts", |row| text(&row["short_timeouts"])),
            ("limits", |row| members(&row["limits"])),
            ("inbound refresh", |row| text(&row["inbound_refresh"])),
            ("unsolicited syn", |row| text(&row["unsolicited_syn"])),
            ("port block", |row| text(&row["port_block"])),
        ],
        "sessions" => &[
            ("router", |row| text(&row["router"])),
            ("protocol", |row| text(&row["protocol"])),
            ("inside", |row| text(&row["inside"])),
            ("outside", |row| match row["shared_port"].as_bool() {
                Some(true) => format!("{} (shared)", text(&row["outside"])),
                _ => text(&row["outside"]),
            }),
            ("remote", |row| text(&row["remote"])),
            ("state", |row| text(&row["state"])),
            ("idle", |row| format!("{}s", row["idle_seconds"])),
            ("expires in", |row| {
                format!("{}s", row["expires_in_seconds"])
            }),
            ("worker", |row| text(&row["worker"])),
        ],
        "nat_pools" => &[
            ("router", |row| text(&row["router"])),
            ("address", |row| text(&row["address"])),
            ("sessions", |row| text(&row["sessions"])),
            ("ports used", |row| ports(row, "used")),
            ("ports free", |row| ports(row, "free")),
            ("state", |row| text(&row["state"])),
        ],
        "nat_tenants" => &[
            ("tenant", |row| text(&row["tenant"])),
            ("sessions", |row| of_limit(row, "sessions")),
            ("ports", |row| of_limit(row, "ports")),
            ("fragments", |row| of_limit(row, "fragments")),
            ("per second", |row| {
                text(&row["limits"]["sessions_per_second"])
            }),
            ("limits from", |row| text(&row["limits_from"])),
        ],
        "routes" => &[
            ("id", |row| text(&row["id"])),
            ("via", |row| text(&row["via"])),
        ],
        "neighbours" => &[
            ("address", |row| text(&row["address"])),
            ("mac", |row| text(&row["mac"])),
            ("origin", |row| text(&row["origin"])),
            ("location", |row| match row["router"].as_str() {
                Some(router) => format!("router {router}"),
                None => location(row),
            }),
            ("age", age),
        ],
        "metadata" => &[
            ("address", |row| text(&row["address"])),
            ("port", |row| text(&row["port"])),
            ("network", |row| text(&row["network"])),
            ("mac", |row| text(&row["mac"])),
            ("source", |row| text(&row["source"])),
        ],
        "fdb" => &[("id", |row| text(&row["id"])), ("location", location)],
        "mac_table" => &[
            ("mac", |row| text(&row["mac"])),
            ("origin", |row| text(&row["origin"])),
            ("location", location),
            ("vtep", |row| text(&row["vtep"])),
            ("age", age),
        ],
        "interface_status" => &[
            ("id", |row| text(&row["id"])),
            ("device", |row| text(&row["device"])),
            ("driver", |row| text(&row["driver"])),
            ("mac", |row| text(&row["mac"])),
            ("mtu", |row| text(&row["mtu"])),
            ("link", |row| {
                if row["link_up"] == true { "up" } else { "down" }.to_owned()
            }),
            ("rx packets", |row| text(&row["rx"]["packets"])),
            ("rx bytes", |row| text(&row["rx"]["bytes"])),
            ("rx dropped", |row| text(&row["rx"]["dropped"])),
            ("tx packets", |row| text(&row["tx"]["packets"])),
            ("tx bytes", |row| text(&row["tx"]["bytes"])),
            ("tx dropped", |row| text(&row["tx"]["dropped"])),
        ],
        "network_status" => &[
            ("id", |row| text(&row["id"])),
            ("mtu", |row| text(&row["mtu"])),
            ("bindings", |row| bindings(&row["bindings"])),
            ("hosts", |row| text(&row["hosts"])),
        ],
        "drops" => &[
            ("packets", |row| text(&row["packets"])),
            ("reason", |row| text(&row["reason"])),
            ("interface", |row| text(&row["interface"])),
            ("description", |row| text(&row["description"])),
        ],
        "workers" => &[
            ("worker", |row| text(&row["worker"])),
            ("core", |row| text(&row["core"])),
            ("running", |row| text(&row["running"])),
            ("busy", |row| {
                format!("{:.0}%", row["busy"].as_f64().unwrap_or(0.0) * 100.0)
            }),
            ("packets", |row| text(&row["packets"])),
            ("cycles per packet", cycles),
        ],
        "tables" => &[
            ("table", |row| text(&row["name"])),
            ("entries", |row| text(&row["used"])),
            ("capacity", |row| text(&row["capacity"])),
            ("high water", |row| text(&row["high_water"])),
            ("failed inserts", |row| text(&row["failed_inserts"])),
        ],
        "underlay" => &[
            ("interface", |row| text(&row["interface"])),
            ("address", |row| text(&row["address"])),
            ("mac", |row| text(&row["mac"])),
            ("state", |row| text(&row["state"])),
            ("hosts", |row| text(&row["hosts"])),
        ],
        "version" => &[
            ("server", |row| text(&row["version"])),
            ("api", |row| text(&row["api"])),
            ("host", |row| text(&row["host"])),
            ("client", |row| text(&row["client"])),
        ],
        _ => &[("status", |row| text(&row["status"]))],
    }
}

/// The items of a list below each other, a long one cut.
fn each_line(value: &Value, show: impl Fn(&Value) -> String) -> String {
    const LINES: usize = 8;
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines: Vec<String> = all.iter().take(LINES).map(show).collect();
    if all.len() > LINES {
        lines.push(format!("and {} more", all.len() - LINES));
    }
    lines.join("\n")
}

/// `outside public 10.100.0.5/24 at net1`
fn outside(row: &Value) -> String {
    let outside = &row["external_gateway"];
    each_line(&outside["gateways"], |own| {
        let at = match own["host"].as_str() {
            Some(host) => format!(" at {host}"),
            None => String::new(),
        };
        format!(
            "outside {} {}{at}",
            text(&outside["network"]),
            text(&own["addresses"])
        )
    })
}

/// `192.168.1.9 (vm1)`, or a line for each forwarding.
fn leads_to(row: &Value) -> String {
    match (&row["fixed_address"], &row["port"]) {
        (Value::Null, _) => each_line(&row["forwardings"], |own| {
            format!(
                "{}/{} to {}",
                text(&own["protocol"]),
                text(&own["port"]),
                text(&own["to"])
            )
        }),
        (fixed, Value::Null) => text(fixed),
        (fixed, port) => format!("{} ({})", text(fixed), text(port)),
    }
}

/// `tcp 10, udp 3, icmp 0`
fn ports(row: &Value, field: &str) -> String {
    let all = row["ports"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let shown = all
        .iter()
        .map(|own| format!("{} {}", text(&own["protocol"]), text(&own[field])));
    shown.collect::<Vec<_>>().join(", ")
}

/// `12 of 262144`
fn of_limit(row: &Value, field: &str) -> String {
    format!("{} of {}", row[field], row["limits"][field])
}

/// A line for each member of an object.
fn members(value: &Value) -> String {
    let all = value.as_object().into_iter().flatten();
    let shown = all.map(|(name, value)| format!("{name} {}", text(value)));
    shown.collect::<Vec<_>>().join("\n")
}

fn runs_on(row: &Value) -> String {
    match (row["distributed"].as_bool(), row["host"].as_str()) {
        (Some(true), _) => "every host".to_owned(),
        (_, Some(host)) => host.to_owned(),
        (_, None) => "this host".to_owned(),
    }
}

fn age(row: &Value) -> String {
    match row["age_seconds"].as_u64() {
        Some(seconds) => format!("{seconds}s"),
        None => String::new(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn join(values: &[&Value]) -> String {
    let shown = values
        .iter()
        .filter(|value| !value.is_null())
        .map(|value| text(value));
    shown.collect::<Vec<_>>().join(", ")
}

fn attachment(value: &Value) -> String {
    match &value["vlan"] {
        Value::Null => text(&value["interface"]),
        vlan => format!("{}:{}", text(&value["interface"]), text(vlan)),
    }
}

fn bindings(value: &Value) -> String {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(attachment).collect::<Vec<_>>().join(", ")
}

fn segment(row: &Value) -> String {
    let segment = &row["segment"];
    match segment["type"].as_str() {
        Some("vxlan") => format!("vxlan {}", segment["vni"]),
        Some("flat") => format!("flat {}", attachment(segment)),
        _ => format!("vlan {}", attachment(segment)),
    }
}

fn flood(row: &Value) -> String {
    match &row["flood"]["group"] {
        Value::Null => "ingress-replication".to_owned(),
        group => format!("multicast {}", text(group)),
    }
}

fn location(row: &Value) -> String {
    match &row["interface"] {
        Value::Null => format!("host {}", text(&row["host"])),
        _ => format!("local {}", attachment(row)),
    }
}

/// `parse 40, bridge 25`
fn cycles(row: &Value) -> String {
    let stages = row["stages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let shown = stages.iter().map(|stage| {
        let packets = stage["packets"].as_f64().unwrap_or(0.0).max(1.0);
        let cycles = stage["cycles"].as_f64().unwrap_or(0.0);
        format!("{} {:.0}", text(&stage["stage"]), cycles / packets)
    });
    shown.collect::<Vec<_>>().join(", ")
}
