//! Open vSwitch on the frames and devices of a workload of ours.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;
use vtepd_perf::frames::fabric::{ACCESS, UPLINK};
use vtepd_perf::frames::nat::{Cloud, is_forwarded};
use vtepd_perf::frames::order::in_order;
use vtepd_perf::frames::state::Side;
use vtepd_perf::frames::workload::unbound;
use vtepd_perf::frames::{Direction, Fabric, Flows, pcap};

use super::contender::{Contender, Forwarding, waited_for_packets};
use super::programs;
use super::switch::{self, Counted, INTEGRATION, MOST_FRAMES, Switch};
use crate::sampling::Subject;
use crate::system::huge_pages::HugePages;
use crate::system::interrupt;
use crate::system::telemetry::Telemetry;
use crate::system::vtepd::{Device, Named};
use crate::workloads::{forward, nat};

/// Frames in front of those that count. It takes milliseconds until it knows a new port.
const LEAD_IN: usize = 500_000;
/// Its caches are warm when so long no packet had to look further than into them.
const CALM: Duration = Duration::from_secs(2);
/// Between two looks.
const STEP: Duration = Duration::from_millis(250);
/// How long it may take to get there, or to play a file.
const PATIENCE: Duration = Duration::from_secs(240);
/// Huge pages beyond its packet pool, MiB.
const SPARE_MB: u64 = 128;

/// Open vSwitch and what it is to do.
pub struct OpenVSwitch<'a> {
    work: Work<'a>,
    /// Its version.
    name: String,
    folder: TempDir,
    _huge: HugePages,
}

/// Of one workload.
enum Work<'a> {
    OneWay(&'a dyn Flows, &'a forward::Prepared<'a>),
    Translate(&'a nat::Prepared),
}

impl<'a> OpenVSwitch<'a> {
    /// On the frames that were written for ours.
    pub fn one_way(flows: &'a dyn Flows, prepared: &'a forward::Prepared<'a>) -> Result<Self> {
        Self::new(Work::OneWay(flows, prepared))
    }

    /// The same for frames that are translated.
    pub fn translate(prepared: &'a nat::Prepared) -> Result<Self> {
        Self::new(Work::Translate(prepared))
    }

    fn new(work: Work<'a>) -> Result<Self> {
        let kept = match &work {
            Work::OneWay(flows, _) => flows.order().len(),
            Work::Translate(prepared) => prepared.cloud.kept().len(),
        };
        if kept > MOST_FRAMES as usize {
            bail!("{kept} frames do not fit into the packet pool of Open vSwitch");
        }
        Ok(Self {
            work,
            name: switch::version()?,
            folder: tempfile::tempdir()?,
            _huge: HugePages::take(switch::MEMORY_MB + SPARE_MB)?,
        })
    }

    fn cloud(&self) -> Option<&Cloud> {
        match &self.work {
            Work::OneWay(..) => None,
            Work::Translate(prepared) => Some(&prepared.cloud),
        }
    }

    fn tunnels(&self) -> Option<Fabric> {
        match &self.work {
            Work::OneWay(flows, _) => Some(flows.fabric()),
            Work::Translate(prepared) => {
                let cloud = prepared.cloud;
                (cloud.inside == Side::Remote).then(|| cloud.fabric())
            }
        }
    }

    /// The names of the devices that frames come from and go to.
    fn ends(&self) -> (&'static str, &'static str) {
        let is_in_by_access = match &self.work {
            Work::OneWay(flows, _) => flows.direction() == Direction::Encap,
            Work::Translate(prepared) => prepared.cloud.inside == Side::Local,
        };
        match is_in_by_access {
            true => (ACCESS, UPLINK),
            false => (UPLINK, ACCESS),
        }
    }

    /// What plays all frames once, and records; in the order in which they are added.
    fn playing(&self, out: &Path) -> Vec<Named> {
        let (source, sink) = self.ends();
        let out = out.to_owned();
        let (frames, recorder) = match &self.work {
            Work::OneWay(flows, prepared) => match flows.direction() {
                Direction::Decap => (&prepared.frames, Device::Records(out)),
                Direction::Encap => {
                    let introductions = prepared.introductions.clone();
                    (&prepared.frames, Device::Plays(introductions, Some(out)))
                }
            },
            Work::Translate(prepared) => (&prepared.frames, Device::Records(out)),
        };
        vec![
            (sink, recorder),
            (source, Device::Plays(frames.clone(), None)),
        ]
    }

    /// What plays frames for ever: the devices of our own daemon.
    fn repeating(&self) -> Vec<Named> {
        let (source, sink) = self.ends();
        match &self.work {
            Work::OneWay(_, prepared) => {
                let (uplink, access) = prepared.repeating(Device::Null);
                match source {
                    ACCESS => vec![(UPLINK, uplink), (ACCESS, access)],
                    _ => vec![(ACCESS, access), (UPLINK, uplink)],
                }
            }
            Work::Translate(prepared) => {
                let mut devices = vec![(sink, Device::Null)];
                devices.extend(prepared.others());
                devices.push((source, Device::Repeats(prepared.kept.clone())));
                devices
            }
        }
    }

    fn program(&self) -> Vec<String> {
        match &self.work {
            Work::OneWay(flows, _) => programs::one_way(*flows),
            Work::Translate(prepared) => programs::translated(&prepared.cloud),
        }
    }

    /// A process that knows everything and has these devices.
    fn spawn(&self, devices: Vec<Named>) -> Result<Running> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let mut switch = Switch::start(folder.path())?;
        switch.make_bridges(self.tunnels())?;
        if let Some(cloud) = self.cloud() {
            switch.make_zones(cloud.fabric().networks)?;
        }
        switch.add_flows(INTEGRATION, &self.program())?;
        switch.raise_flow_limit()?;
        let (source_name, sink_name) = self.ends();
        let (mut source, mut sink) = (0, 0);
        for (name, device) in devices {
            let port = switch.add_device(name, &self.led_in(name, device)?)?;
            if name == source_name {
                source = port;
            } else if name == sink_name {
                sink = port;
            }
        }
        Ok(Running {
            telemetry: switch.telemetry()?,
            worker: switch.worker()?,
            switch,
            source,
            sink,
            warm_up: None,
            _folder: folder,
        })
    }

    /// The same device with frames in front that are dropped: it polls a new device before it knows
    /// which port that is.
    fn led_in(&self, name: &str, device: Device) -> Result<Device> {
        let Device::Plays(frames, out) = device else {
            return Ok(device);
        };
        let file = frames.file_name().unwrap_or_default().to_string_lossy();
        let file = self.folder.path().join(format!("{name}-{file}"));
        if !file.exists() {
            let lead_in = std::iter::repeat_n(unbound(), LEAD_IN);
            let frames: Vec<Vec<u8>> =
                pcap::read(File::open(&frames)?)?.collect::<io::Result<_>>()?;
            let to = BufWriter::new(File::create(&file)?);
            pcap::write(to, lead_in.chain(frames))?;
        }
        Ok(Device::Plays(file, out))
    }

    /// What came out for all frames, in the order of those.
    fn played(&self) -> Result<Vec<Vec<u8>>> {
        let out = self.folder.path().join("out.pcap");
        let order = match &self.work {
            Work::OneWay(flows, _) => flows.order(),
            Work::Translate(prepared) => prepared.cloud.order(),
        };
        let running = self.spawn(self.playing(&out))?;
        running.wait_for_all(order.len() as u64)?;
        running.switch.remove_device(self.ends().1)?;
        running.switch.stop()?;
        let frames = pcap::read(File::open(&out)?)?;
        let forwarded =
            frames.filter(|frame| frame.as_ref().map_or(true, |frame| is_forwarded(frame)));
        in_order(forwarded, &order).map_err(anyhow::Error::msg)
    }
}

impl Contender for OpenVSwitch<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<u64> {
        let frames = self.played()?;
        let count = frames.len() as u64;
        let mut frames = frames.into_iter().map(Ok::<_, io::Error>);
        match &self.work {
            Work::OneWay(flows, _) => flows.check(&mut frames).map(drop),
            Work::Translate(prepared) => prepared.cloud.check_sent(frames).map(drop),
        }
        .map_err(anyhow::Error::msg)?;
        Ok(count)
    }

    fn start(&self) -> Result<Box<dyn Forwarding>> {
        let mut running = self.spawn(self.repeating())?;
        let sessions = self.cloud().map_or(0, Cloud::sessions);
        running.wait_until_warm(u64::from(sessions))?;
        Ok(Box::new(running))
    }
}

/// A process that forwards for ever.
struct Running {
    // Ends before its folder.
    switch: Switch,
    telemetry: Telemetry,
    worker: u32,
    source: u16,
    sink: u16,
    /// How long until its caches were warm; `None`: they never were.
    warm_up: Option<Duration>,
    _folder: TempDir,
}

impl Running {
    /// Waits until all of a file has gone through.
    fn wait_for_all(&self, frames: u64) -> Result<()> {
        let (start, mut last) = (Instant::now(), (0, Instant::now()));
        loop {
            interrupt::check()?;
            let sent = self.telemetry.device(self.sink)?.sent;
            if sent >= frames {
                return Ok(());
            }
            if sent > last.0 {
                last = (sent, Instant::now());
            }
            let received = self.telemetry.device(self.source)?.received;
            let is_over = received >= frames + LEAD_IN as u64 && last.1.elapsed() > CALM;
            if is_over || start.elapsed() > PATIENCE {
                bail!(
                    "{sent} frames came out of {frames}, {received} went in: {}",
                    self.switch.last_words()
                );
            }
            std::thread::sleep(STEP);
        }
    }

    /// Waits until it has so many sessions, and all that it needs in its caches.
    fn wait_until_warm(&mut self, sessions: u64) -> Result<()> {
        let start = Instant::now();
        let (mut seen, mut since) = (Counted::default().misses, start);
        while start.elapsed() < PATIENCE {
            interrupt::check()?;
            std::thread::sleep(STEP);
            let misses = self.switch.counted()?.misses;
            if misses != seen || self.switch.sessions_below(sessions)? {
                (seen, since) = (misses, Instant::now());
                // It lowers the limit by itself while it is busy.
                self.switch.raise_flow_limit()?;
            } else if since.elapsed() >= CALM {
                self.warm_up = Some(since.duration_since(start));
                break;
            }
        }
        if self.telemetry.device(self.sink)?.sent == 0 {
            let received = self.telemetry.device(self.source)?.received;
            bail!(
                "nothing comes out, {received} frames went in: {}",
                self.switch.last_words()
            );
        }
        self.switch.forget()
    }
}

impl Forwarding for Running {
    fn subject(&self) -> Subject<'_> {
        Subject {
            pid: self.switch.id(),
            worker: self.worker,
            telemetry: &self.telemetry,
            source: self.source,
            sink: self.sink,
            copies: 1,
            both_ways: false,
            api: None,
        }
    }

    fn warm_up(&self) -> Option<Duration> {
        self.warm_up
    }

    fn doubts(&self) -> Result<Vec<String>> {
        let mut doubts = Vec::new();
        if self.warm_up.is_none() {
            doubts.push(format!(
                "the caches of Open vSwitch did not settle within {PATIENCE:?}"
            ));
        }
        let Counted { misses, idle } = self.switch.counted()?;
        if misses > 0 {
            doubts.push(format!(
                "{misses} packets missed the caches of Open vSwitch while timing"
            ));
        }
        doubts.extend(waited_for_packets(idle));
        Ok(doubts)
    }

    fn stop(self: Box<Self>) -> Result<()> {
        self.switch.stop()
    }
}
