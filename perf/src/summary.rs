//! Median, least and greatest of repeated measurements.

use serde::{Deserialize, Serialize};

/// Repeated measurements of one figure.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The middle one; between the two middle ones of an even number.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many there were.
    pub count: usize,
}

impl Summary {
    /// `None` without measurements.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self {
            median,
            min,
            max,
            count: values.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_whatever_the_order() {
        let odd = Summary::of([9.0, 1.0, 5.0]).unwrap();
        assert_eq!(
            (odd.median, odd.min, odd.max, odd.count),
            (5.0, 1.0, 9.0, 3)
        );
        assert_eq!(Summary::of([1.0, 2.0, 4.0, 8.0]).unwrap().median, 3.0);
        assert_eq!(Summary::of([]), None);
    }
}
