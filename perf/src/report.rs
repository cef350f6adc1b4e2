//! `report`: pages and plots of results that were written to files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use vtepd_perf::document;
use vtepd_perf::results::{Results, in_order};

use crate::options::ReportArgs;

/// What the page in the repository is made of.
const FOLDER: &str = "perf/results";

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// Writes them.
pub fn write(options: &ReportArgs) -> Result<()> {
    let files = match options.results.as_slice() {
        [] => in_order(in_folder(Path::new(FOLDER))?),
        named => named.to_vec(),
    };
    if files.is_empty() {
        bail!(
            "there are no results in {FOLDER}: perf/run --all --json {FOLDER}/run.json makes them"
        );
    }
    let mut results = Results::default();
    for file in &files {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let later: Results = serde_json::from_str(&text)
            .with_context(|| format!("{} holds no results of perf/run", file.display()))?;
        results = results.and_then(later);
    }
    // Plots of workloads that are not there any more.
    let plots = options.docs.join(document::PLOTS);
    if plots.is_dir() {
        fs::remove_dir_all(&plots).with_context(|| format!("cannot remove {}", plots.display()))?;
    }
    fs::create_dir_all(&plots).with_context(|| format!("cannot make {}", plots.display()))?;
    for page in document::pages(&results) {
        let path = options.docs.join(&page.path);
        fs::write(&path, page.text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
