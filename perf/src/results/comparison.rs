//! Two programs in turns, A B A B …, and what the pairs of runs say.
//!
//! The machine's clock and memory drift within minutes; what drifts slowly is the same for both
//! runs of a pair. So each pair has a ratio, and the median of these is what counts.

use serde::{Deserialize, Serialize};

use super::measured::Measured;
use crate::frames::Label;
use crate::summary::Summary;

/// Everything of one call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Comparison {
    /// Ours, as it is now.
    pub a: String,
    /// What it is compared to.
    pub b: String,
    /// What of that is not as it is installed.
    pub settings: Vec<String>,
    /// By workload and size.
    pub contests: Vec<Contest>,
    /// Workloads of which nothing could be measured, and why.
    pub failed: Vec<(Label, String)>,
}

/// One size of one workload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contest {
    /// Which.
    #[serde(flatten)]
    pub label: Label,
    /// Frames of each that were compared, all right.
    pub compared: u64,
    /// The floor on the same file.
    pub io: Option<Measured>,
    /// What was measured.
    #[serde(flatten)]
    pub pairs: Pairs,
}

/// A process and what was measured of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct One {
    /// Of its forwarding.
    pub measured: Measured,
    /// Until its caches were warm, seconds.
    pub warm_up: Option<f64>,
}

/// Both, one right after the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// Ours, as it is now.
    pub a: One,
    /// What it is compared to.
    pub b: One,
    /// Whether both had so many quiet seconds as were wanted.
    pub quiet: bool,
}

/// What came of all pairs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pairs {
    /// In order.
    pub pairs: Vec<Pair>,
    /// What went wrong in pairs that were run again.
    pub failures: Vec<String>,
    /// Cycles of a packet: B's above A's, so how many times as fast A is; of the pairs that count.
    pub ratio: Option<Summary>,
    /// The same with the cost of the devices taken out of both.
    pub ratio_without_io: Option<Summary>,
    /// The same by stage, of the stages that both have.
    pub stages: Vec<(String, Summary)>,
    /// Pairs that count.
    pub counted: usize,
    /// What makes the ratio doubtful.
    pub doubts: Vec<String>,
}

impl One {
    /// Cycles of a packet in a stage.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<f64> {
        let mut stages = self.measured.stages.iter();
        let stage = stages.find(|(own, _)| own == name);
        stage.map(|(_, cycles)| *cycles)
    }
}

impl Pair {
    fn ratio_above(&self, floor: f64) -> Option<f64> {
        let of = |one: &One| Some(one.measured.cycles?.median - floor);
        Some(of(&self.b)? / of(&self.a)?).filter(|ratio| ratio.is_finite() && *ratio > 0.0)
    }

    /// How many times as fast A is.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.ratio_above(0.0)
    }

    fn stage(&self, name: &str) -> Option<f64> {
        let of = |one: &One| {
            let mut stages = one.measured.stages.iter();
            stages
                .find(|(own, _)| own == name)
                .map(|(_, cycles)| *cycles)
        };
        Some(of(&self.b)? / of(&self.a)?).filter(|ratio| ratio.is_finite())
    }
}

impl Pairs {
    /// Sums up pairs, of which so many should be quiet.
    #[must_use]
    pub fn of(pairs: Vec<Pair>, failures: Vec<String>, wanted: usize, io: Option<f64>) -> Self {
        let quiet = pairs.iter().filter(|pair| pair.quiet).count();
        let only_quiet = quiet >= wanted.max(1);
        let counts = |pair: &&Pair| pair.quiet || !only_quiet;
        let counted: Vec<&Pair> = pairs.iter().filter(counts).collect();
        let mut doubts = Vec::new();
        if !only_quiet {
            doubts.push(format!(
                "{quiet} of {} pairs were quiet, {wanted} were wanted; all are counted",
                pairs.len()
            ));
        }
        if !failures.is_empty() {
            let last = failures.last().map(String::as_str).unwrap_or_default();
            doubts.push(format!("{} pairs failed, the last: {last}", failures.len()));
        }
        for (who, one) in [
            ("A", (|pair| &pair.a) as fn(&Pair) -> &One),
            ("B", |pair| &pair.b),
        ] {
            let all = counted.iter().map(|pair| &one(pair).measured.doubts);
            let all = alike(all.flatten().map(String::as_str));
            let runs = counted.len();
            let told =
                |(text, count): (&str, usize)| format!("{who}, {count} of {runs} runs: {text}");
            doubts.extend(all.into_iter().map(told));
        }
        let names = counted
            .first()
            .map_or(&[][..], |pair| &pair.a.measured.stages);
        let stage = |(name, _): &(String, f64)| {
            let ratios = counted.iter().filter_map(|pair| pair.stage(name));
            Some((name.clone(), Summary::of(ratios)?))
        };
        Self {
            ratio: Summary::of(counted.iter().filter_map(|pair| pair.ratio())),
            ratio_without_io: io
                .and_then(|io| Summary::of(counted.iter().filter_map(|pair| pair.ratio_above(io)))),
            stages: names.iter().filter_map(stage).collect(),
            counted: counted.len(),
            doubts,
            failures,
            pairs,
        }
    }

    /// A figure of the runs that count, of either.
    #[must_use]
    pub fn summary(
        &self,
        one: impl Fn(&Pair) -> &One,
        figure: impl Fn(&One) -> Option<f64>,
    ) -> Option<Summary> {
        let all = self.counted == self.pairs.len();
        let counted = self.pairs.iter().filter(|pair| all || pair.quiet);
        Summary::of(counted.filter_map(|pair| figure(one(pair))))
    }
}

/// Sentences that differ by numbers only, once, with how often they came.
fn alike<'a>(all: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let form = |text: &str| text.replace(|c: char| c.is_ascii_digit() || c == '.', "");
    let mut seen: Vec<(&str, usize)> = Vec::new();
    for text in all {
        match seen.iter_mut().find(|(one, _)| form(one) == form(text)) {
            Some((_, count)) => *count += 1,
            None => seen.push((text, 1)),
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(cycles: f64) -> One {
        One {
            measured: Measured {
                mpps: Summary::of([1000.0 / cycles]),
                cycles: Summary::of([cycles]),
                stages: vec![("input".to_owned(), cycles / 2.0)],
                quiet: 1,
                taken: 1,
                other_core: 0.0,
                doubts: Vec::new(),
            },
            warm_up: None,
        }
    }

    fn pair(a: f64, b: f64, quiet: bool) -> Pair {
        Pair {
            a: one(a),
            b: one(b),
            quiet,
        }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_pairs_ratios() {
        // The clock doubles meanwhile: medians of either side would say something else.
        let all = vec![
            pair(100.0, 300.0, true),
            pair(200.0, 580.0, true),
            pair(200.0, 640.0, true),
        ];
        let pairs = Pairs::of(all, Vec::new(), 3, Some(50.0));
        let ratio = pairs.ratio.unwrap();
        assert_eq!((ratio.median, ratio.min, ratio.max), (3.0, 2.9, 3.2));
        assert_eq!(pairs.ratio_without_io.unwrap().max, 5.0);
        assert_eq!(pairs.stages[0].1.median, 3.0);
        assert!(pairs.doubts.is_empty());
        let cycles = pairs.summary(|pair| &pair.b, |one| Some(one.measured.cycles?.median));
        assert_eq!(cycles.unwrap().median, 580.0);
    }

    #[test]
    fn busy_pairs_do_not_count_while_there_are_enough_quiet_ones() {
        let all = vec![pair(100.0, 900.0, false), pair(100.0, 300.0, true)];
        let pairs = Pairs::of(all.clone(), Vec::new(), 1, None);
        assert_eq!((pairs.ratio.unwrap().max, pairs.counted), (3.0, 1));
        let pairs = Pairs::of(all, vec!["it fell".to_owned()], 2, None);
        assert_eq!((pairs.ratio.unwrap().max, pairs.counted), (9.0, 2));
        assert!(pairs.doubts[0].contains("1 of 2 pairs were quiet"));
        assert!(pairs.doubts[1].contains("it fell"));
    }

    #[test]
    fn what_several_runs_say_is_told_once() {
        let texts = ["7 packets were dropped", "19 packets were dropped", "other"];
        assert_eq!(
            alike(texts.into_iter()),
            [("7 packets were dropped", 2), ("other", 1)]
        );
        let mut doubtful = pair(100.0, 300.0, true);
        doubtful.b.measured.doubts = vec!["7 packets were dropped".to_owned()];
        let pairs = Pairs::of(vec![doubtful], Vec::new(), 1, None);
        assert_eq!(pairs.doubts, ["B, 1 of 1 runs: 7 packets were dropped"]);
    }
}
