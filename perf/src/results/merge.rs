//! Results of several runs as one: what was measured again replaces what was measured before.

use std::path::PathBuf;

use super::{Churn, Latency, Nat, Results, Row, Scale};

/// The files of a folder in the order in which they count: `run.json`, whose machine is told, and
/// then the others by name.
#[must_use]
pub fn in_order(files: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let json = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "json");
    let mut files: Vec<PathBuf> = files.into_iter().filter(json).collect();
    files.sort_by_key(|file| (!file.ends_with("run.json"), file.clone()));
    files
}

/// Something that may be measured again.
trait Again {
    fn is_same(&self, other: &Self) -> bool;
}

impl Again for Row {
    fn is_same(&self, other: &Self) -> bool {
        self.label == other.label
    }
}

impl Again for Nat {
    fn is_same(&self, other: &Self) -> bool {
        self.row.label == other.row.label
    }
}

impl Again for Churn {
    fn is_same(&self, other: &Self) -> bool {
        (&self.by, self.wanted_rate) == (&other.by, other.wanted_rate)
    }
}

impl Again for Scale {
    fn is_same(&self, other: &Self) -> bool {
        self.label == other.label
    }
}

impl Again for Latency {
    fn is_same(&self, other: &Self) -> bool {
        self.label == other.label
    }
}

fn merge<T: Again>(all: &mut Vec<T>, later: Vec<T>) {
    for one in later {
        match all.iter_mut().find(|before| before.is_same(&one)) {
            Some(before) => *before = one,
            None => all.push(one),
        }
    }
}

impl Results {
    /// Of texts as they are in files, one after another.
    ///
    /// # Errors
    /// One holds no results.
    pub fn of_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> serde_json::Result<Self> {
        let mut all = Self::default();
        for text in texts {
            all = all.and_then(serde_json::from_str(text)?);
        }
        Ok(all)
    }

    /// Puts later results, of the same machine, over these.
    #[must_use]
    pub fn and_then(mut self, later: Self) -> Self {
        if self.about == Default::default() {
            self.about = later.about;
        }
        merge(&mut self.forward, later.forward);
        merge(&mut self.nat, later.nat);
        merge(&mut self.churn, later.churn);
        merge(&mut self.scale, later.scale);
        merge(&mut self.latency, later.latency);
        self.failed.extend(later.failed);
        self.load = later.load.or(self.load);
        self.routes = later.routes.or(self.routes);
        self.tables = later.tables.or(self.tables);
        self.comparison = later.comparison.or(self.comparison);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_rows_counts_and_the_first_machine_is_told() {
        let of = |command: &str, cycles: u32, size: u32| {
            format!(
                r#"{{"about":{{"command":"{command}","began":"","minutes":1,"revision":"","cpu":"","cores":1,
                "tsc_hz":1,"caches":[],"memory":1,"is_virtual":true,"system":"","kernel":"","dpdk":""}},
                "forward":[{{"workload":"decap","size":{size},"variant":"","compared":{cycles},
                "measured":{{"mpps":null,"cycles":null,"stages":[],"quiet":0,"taken":0,"other_core":0,"doubts":[]}},
                "io":null}}]}}"#
            )
        };
        let texts = [of("one", 1, 1000), of("two", 2, 1000), of("three", 3, 5)];
        let all = Results::of_all(texts.iter().map(String::as_str)).unwrap();
        assert_eq!(all.about.command, "one");
        let rows: Vec<(u32, u64)> = all
            .forward
            .iter()
            .map(|row| (row.label.size, row.compared))
            .collect();
        assert_eq!(rows, [(1000, 2), (5, 3)]);
        assert!(Results::of_all(["[1"]).is_err());
    }

    #[test]
    fn the_run_comes_first() {
        let files = ["ovs.json", "run.json", "a.json", "README.md"].map(PathBuf::from);
        let names = ["run.json", "a.json", "ovs.json"].map(PathBuf::from);
        assert_eq!(in_order(files), names);
    }
}
