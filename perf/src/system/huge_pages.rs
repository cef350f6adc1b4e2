//! Huge pages of 2 MiB, taken for a while. Counts are added and subtracted, never
//! set, so that two users at the same time do not undo each other.

use std::fs;

use anyhow::{Context, Result, bail};

const FOLDER: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";

/// Has the kernel put free memory together.
const COMPACT: &str = "/proc/sys/vm/compact_memory";
/// What is free in pieces is put together between them.
const TRIES: u32 = 5;

/// Huge pages that are given back when this is dropped.
pub struct HugePages {
    added: u64,
}

fn read(file: &str) -> Result<u64> {
    let path = format!("{FOLDER}/{file}");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("no huge pages here ({path} cannot be read)"))?;
    Ok(text.trim().parse()?)
}

fn write(pages: u64) -> Result<()> {
    let path = format!("{FOLDER}/nr_hugepages");
    fs::write(&path, pages.to_string())
        .with_context(|| format!("cannot write {path}: the benchmarks run as root"))
}

impl HugePages {
    /// Adds so much, whatever is free already: that may be another's, who is about to
    /// use it or to give it back.
    pub fn take(mb: u64) -> Result<Self> {
        let (want, total) = (mb.div_ceil(2), read("nr_hugepages")?);
        let mut taken = Self { added: 0 };
        for _ in 0..TRIES {
            write(total + want)?;
            taken.added = read("nr_hugepages")?.saturating_sub(total);
            if taken.added >= want {
                break;
            }
            // There may be enough in pieces. A kernel without compaction has no such file.
            let _ = fs::write(COMPACT, "1");
        }
        if taken.added < want {
            bail!(
                "the system gave {} of {mb} MiB in huge pages: free memory (sync; echo 1 >/proc/sys/vm/drop_caches), or run smaller sizes",
                taken.added * 2
            );
        }
        Ok(taken)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        if self.added > 0
            && let Ok(total) = read("nr_hugepages")
            && let Err(error) = write(total.saturating_sub(self.added))
        {
            eprintln!("{} huge pages were not given back: {error:#}", self.added);
        }
    }
}
