//! What machine this is, for whoever reads the figures.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::macros::format_description;
use vtepd_perf::results::About;

/// How long the time stamp counter is compared with the clock.
const CALIBRATION: Duration = Duration::from_millis(200);

/// What can be told when a run begins. What cannot be read is left empty.
pub fn about() -> About {
    let cpu = read("/proc/cpuinfo");
    let memory = value(&read("/proc/meminfo"), "MemTotal").replace("kB", "");
    About {
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        began: now(),
        minutes: 0.0,
        revision: revision(),
        cpu: value(&cpu, "model name"),
        cores: std::thread::available_parallelism()
            .map_or(0, usize::from)
            .max(
                cpu.lines()
                    .filter(|line| line.starts_with("processor"))
                    .count(),
            ),
        tsc_hz: tsc_hz(),
        caches: caches(),
        memory: memory.trim().parse::<u64>().unwrap_or_default() * 1024,
        is_virtual: value(&cpu, "flags")
            .split(' ')
            .any(|flag| flag == "hypervisor"),
        system: value(&read("/etc/os-release").replace('=', ":"), "PRETTY_NAME")
            .trim_matches('"')
            .to_owned(),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        dpdk: said_by("pkg-config", &["--modversion", "libdpdk"]),
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name: value`.
fn value(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    line.unwrap_or_default()
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map_or_else(String::new, |output| {
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    })
}

/// What the daemon is built of.
const MEASURED: [&str; 4] = ["vtepd", "dpdk-ffi", "mgmt-api", "Cargo.lock"];

fn revision() -> String {
    let commit = said_by("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed = ["status", "--porcelain", "--untracked-files=no", "--"];
    let changed = said_by("git", &[&changed[..], &MEASURED].concat());
    let plus = if changed.is_empty() { "" } else { "+" };
    format!("{commit}{plus}")
}

/// UTC, to the minute.
fn now() -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]Z");
    // Its parts are all there.
    OffsetDateTime::now_utc().format(form).unwrap_or_default()
}

fn tsc_hz() -> f64 {
    let clock = quanta::Clock::new();
    let (begin, ticks) = (Instant::now(), clock.raw());
    std::thread::sleep(CALIBRATION);
    let (elapsed, ticks) = (begin.elapsed(), clock.raw() - ticks);
    ticks as f64 / elapsed.as_secs_f64()
}

fn caches() -> Vec<(String, String)> {
    let file = |index: u32, name: &str| {
        let path = format!("/sys/devices/system/cpu/cpu1/cache/index{index}/{name}");
        read(&path).trim().to_owned()
    };
    let cache = |index| {
        let kind = match file(index, "type").as_str() {
            "Data" => "d",
            "Instruction" => "i",
            _ => "",
        };
        (
            format!("L{}{kind}", file(index, "level")),
            file(index, "size"),
        )
    };
    let there = (0..8).take_while(|index| !file(*index, "level").is_empty());
    there.map(cache).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_told_and_the_time_is_in_its_form() {
        let about = about();
        assert!(about.cores > 0 && about.memory > 0 && about.tsc_hz > 1e8);
        assert!(!about.kernel.is_empty());
        let [year, month, rest] = about.began.splitn(3, '-').collect::<Vec<_>>()[..] else {
            panic!("{}", about.began);
        };
        assert!(year.parse::<u32>().unwrap() >= 2026);
        assert!((1..=12).contains(&month.parse::<u32>().unwrap()));
        assert!(rest.ends_with('Z') && rest.contains('T'));
    }
}
