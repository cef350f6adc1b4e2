//! `report`: pages and plots of results that were written to files.

use std::fs;

use anyhow::{Context, Result};
use vtepd_perf::document;
use vtepd_perf::results::Results;

use crate::options::ReportArgs;

/// Writes them.
pub fn write(options: &ReportArgs) -> Result<()> {
    let mut results = Results::default();
    for file in &options.results {
        let text = fs::read_to_string(file).with_context(|| {
            format!(
                "cannot read {}: perf/run --all --json makes it",
                file.display()
            )
        })?;
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
