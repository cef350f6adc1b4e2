//! The page about performance in the repository is the one that its results give.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use vtepd_perf::document;
use vtepd_perf::results::{Results, in_order};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_page_and_its_plots_are_what_perf_report_makes_of_the_results() {
    let files = fs::read_dir(repository().join("perf/results")).unwrap();
    let files = in_order(files.map(|file| file.unwrap().path()));
    let texts: Vec<String> = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let results = Results::of_all(texts.iter().map(String::as_str)).unwrap();
    let made: BTreeMap<String, String> = document::pages(&results)
        .into_iter()
        .map(|page| (page.path, page.text))
        .collect();
    let docs = repository().join("docs");
    let mut found = BTreeMap::from([(
        "performance.md".to_owned(),
        fs::read_to_string(docs.join("performance.md")).unwrap(),
    )]);
    for plot in fs::read_dir(docs.join(document::PLOTS)).unwrap() {
        let path = plot.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = format!("{}/{name}", document::PLOTS);
        found.insert(name, fs::read_to_string(&path).unwrap());
    }
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        made.keys().collect::<Vec<_>>(),
        "run perf/report"
    );
    for (name, text) in &made {
        assert!(
            found[name] == *text,
            "docs/{name} is another one: run perf/report"
        );
    }
}
