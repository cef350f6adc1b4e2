//! Results of several runs as one: what was measured again replaces what was measured before.

use super::{Churn, Latency, Nat, Results, Row, Scale};

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
