//! Flows of which each frame goes in by one device and comes out by the other, and what
//! must come out.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use vtepd_wire::craft;

use super::fabric::Fabric;
use super::order::order;
use super::{same, tunnel};

/// Which way frames go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From VXLAN to the access port, tagged.
    Decap,
    /// From the access port to VXLAN.
    Encap,
}

/// A name for people and programs: what, how many, and what else is special.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Label {
    /// As the table of workloads has it.
    pub workload: String,
    /// Flows, or what else there are many of.
    pub size: u32,
    /// Empty if there is but one.
    pub variant: String,
}

impl Label {
    /// A name.
    #[must_use]
    pub fn new(workload: &str, size: u32, variant: impl Into<String>) -> Self {
        Self {
            workload: workload.to_owned(),
            size,
            variant: variant.into(),
        }
    }
}

/// Numbered flows, a frame each.
pub trait Flows {
    /// What they are called.
    fn label(&self) -> Label;
    /// Who there is.
    fn fabric(&self) -> Fabric;
    /// Which way they go.
    fn direction(&self) -> Direction;
    /// How many there are.
    fn count(&self) -> u32;
    /// Of their order.
    fn seed(&self) -> u64;
    /// The frame that a flow sends.
    fn frame(&self, flow: u32) -> Vec<u8>;
    /// How many frames come out for each that goes in.
    fn copies(&self) -> u32 {
        1
    }
    /// The frame that must come out for it, our MAC and, on a tunnel, the source port being
    /// left out (zero); the first one, if there are several.
    fn expected(&self, flow: u32) -> Vec<u8>;
    /// All that must come out for it, in whatever order.
    fn all_expected(&self, flow: u32) -> Vec<Vec<u8>> {
        vec![self.expected(flow)]
    }
    /// The transactions that make the stations known.
    fn transactions(&self) -> Box<dyn Iterator<Item = String> + '_>;
    /// Entries of the MAC table when every source has been learned; `None` if none is.
    fn learned(&self) -> Option<u32> {
        None
    }

    /// The flow of each frame.
    fn order(&self) -> Vec<u32> {
        order(self.count(), self.seed())
    }

    /// What goes in, in order.
    fn sent(&self) -> Box<dyn Iterator<Item = Vec<u8>> + '_> {
        Box::new(self.order().into_iter().map(|flow| self.frame(flow)))
    }
}

/// What came out, or why it cannot be read.
pub type Received<'a> = &'a mut dyn Iterator<Item = std::io::Result<Vec<u8>>>;

impl dyn Flows + '_ {
    /// Compares what came out with what must have, in order.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, received: Received<'_>) -> Result<u64, String> {
        let mut ports = HashMap::new();
        let mut order = self.order().into_iter();
        let mut due: (u32, Vec<Vec<u8>>) = (0, Vec::new());
        let mut count = 0;
        for (position, frame) in received.enumerate() {
            let frame = frame.map_err(|error| error.to_string())?;
            if due.1.is_empty() {
                let flow = order.next();
                let flow = flow.ok_or("more frames came out than went in")?;
                due = (flow, self.all_expected(flow));
            }
            let (flow, expected) = (due.0, &mut due.1);
            let at = self.check_one(flow, frame, expected, &mut ports);
            let at = at.map_err(|what| format!("frame {position} (flow {flow}): {what}"))?;
            expected.swap_remove(at);
            count += 1;
        }
        match due.1.len() {
            0 => Ok(count),
            missing => Err(format!("{missing} frames of the last flow are missing")),
        }
    }

    /// Compares what came out for the frames sent over and over, from the first one
    /// on. It may end anywhere.
    ///
    /// # Errors
    /// The first difference; nothing came out.
    pub fn check_repeated(&self, received: Received<'_>) -> Result<u64, String> {
        let order = self.order();
        let mut expected = vec![None; self.count() as usize];
        let mut count = 0;
        for (flow, frame) in order.iter().cycle().zip(received) {
            let frame = frame.map_err(|error| error.to_string())?;
            // Each is checked byte by byte once, and compared from then on.
            match &expected[*flow as usize] {
                Some(seen) if *seen == frame => {}
                Some(_) => return Err(format!("frame {count} (flow {flow}) is not as before")),
                None => {
                    self.check_frame(*flow, frame.clone(), &mut HashMap::new())
                        .map_err(|what| format!("frame {count} (flow {flow}): {what}"))?;
                    expected[*flow as usize] = Some(frame);
                }
            }
            count += 1;
        }
        match count {
            0 => Err("nothing came out".to_owned()),
            count => Ok(count),
        }
    }

    /// Compares one frame with what its flow must give. `ports` remembers the
    /// source port of each flow on the tunnel.
    ///
    /// # Errors
    /// What differs.
    pub fn check_frame(
        &self,
        flow: u32,
        frame: Vec<u8>,
        ports: &mut HashMap<u32, u16>,
    ) -> Result<(), String> {
        self.check_one(flow, frame, &self.all_expected(flow), ports)
            .map(drop)
    }

    /// Which of the expected ones a frame is.
    fn check_one(
        &self,
        flow: u32,
        mut frame: Vec<u8>,
        expected: &[Vec<u8>],
        ports: &mut HashMap<u32, u16>,
    ) -> Result<usize, String> {
        craft::verify(&frame).map_err(|what| format!("does not hold: {what:?}"))?;
        if self.direction() == Direction::Encap {
            let port = tunnel::take_off_choices(&mut frame)?;
            if *ports.entry(flow).or_insert(port) != port {
                return Err(format!("outer source port {port}"));
            }
        }
        if let [only] = expected {
            return same(&frame, only).map(|()| 0);
        }
        let at = expected.iter().position(|one| *one == frame);
        at.ok_or_else(|| format!("it is none of the {} copies due", expected.len()))
    }
}

/// A number as people say it: 1k, 1M.
#[must_use]
pub fn short(number: u32) -> String {
    match number {
        0 => "0".to_owned(),
        n if n % 1_000_000 == 0 => format!("{}M", n / 1_000_000),
        n if n % 1000 == 0 => format!("{}k", n / 1000),
        n => n.to_string(),
    }
}

impl core::fmt::Display for Label {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.workload)?;
        if self.size > 0 {
            write!(f, " {}", short(self.size))?;
        }
        match self.variant.as_str() {
            "" => Ok(()),
            variant => write!(f, ", {variant}"),
        }
    }
}
