//! Two contenders in turns, A B A B …, each run a process of its own.

use anyhow::{Context, Result};
use vtepd_perf::results::comparison::{One, Pair, Pairs};

use super::contender::Contender;
use crate::system::interrupt;

/// Failures in a row that end it.
const MOST_FAILURES: usize = 3;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Pairs that are wanted, all their seconds quiet.
    pub pairs: usize,
    /// Quiet seconds of each run.
    pub samples: usize,
}

/// Takes pairs until enough are quiet, but not for ever: at most half as many more.
pub fn run(
    (a, b): (&dyn Contender, &dyn Contender),
    effort: Effort,
    io: Option<f64>,
    progress: &dyn Fn(&str),
) -> Result<Pairs> {
    let (wanted, most) = (effort.pairs, effort.pairs + effort.pairs.div_ceil(2));
    let (mut pairs, mut failures, mut in_a_row) = (Vec::<Pair>::new(), Vec::new(), 0);
    let quiet = |pairs: &[Pair]| pairs.iter().filter(|pair| pair.quiet).count();
    while quiet(&pairs) < wanted && pairs.len() < most {
        let number = pairs.len() + 1;
        match pair(a, b, effort.samples) {
            Ok(pair) => {
                in_a_row = 0;
                let ratio = pair.ratio().map_or("-".to_owned(), |r| format!("{r:.2}"));
                let busy = if pair.quiet { "" } else { ", busy" };
                progress(&format!("pair {number} of {wanted}: {ratio} times{busy}"));
                pairs.push(pair);
            }
            Err(error) => {
                interrupt::check()?;
                in_a_row += 1;
                progress(&format!("pair {number} failed, again: {error:#}"));
                failures.push(format!("{error:#}"));
                if in_a_row >= MOST_FAILURES {
                    if pairs.is_empty() {
                        return Err(error);
                    }
                    break;
                }
            }
        }
    }
    Ok(Pairs::of(pairs, failures, wanted, io))
}

fn pair(a: &dyn Contender, b: &dyn Contender, samples: usize) -> Result<Pair> {
    let (a, b) = (one(a, samples)?, one(b, samples)?);
    let is_quiet = |one: &One| one.measured.quiet >= samples;
    Ok(Pair {
        quiet: is_quiet(&a) && is_quiet(&b),
        a,
        b,
    })
}

fn one(contender: &dyn Contender, samples: usize) -> Result<One> {
    let name = contender.name();
    let running = contender.start().with_context(|| name.to_owned())?;
    let measured = running.subject().samples(samples, &|_| ());
    let mut measured = measured.with_context(|| name.to_owned())?;
    measured
        .doubts
        .extend(running.doubts().with_context(|| name.to_owned())?);
    let warm_up = running.warm_up().map(|time| time.as_secs_f64());
    running.stop().with_context(|| name.to_owned())?;
    Ok(One { measured, warm_up })
}
