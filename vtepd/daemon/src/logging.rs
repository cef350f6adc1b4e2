//! Log lines to stderr, for people or for machines.

use std::io::IsTerminal;

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::{Log, LogFormat};

/// Starts logging as configured.
pub fn start(log: &Log) -> Result<()> {
    let filter = filter(&log.level).ok_or_else(|| {
        anyhow!(
            "log.level is {:?}, not one of error, warn, info, debug, trace, nor a list such as \"info,vtepd::control=debug\"",
            log.level
        )
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}

/// `EnvFilter` takes a word that is no level for the name of a module, and then
/// logs nothing but that: here each part is a level or has one.
fn filter(text: &str) -> Option<EnvFilter> {
    let has_level = |part: &str| {
        let level = part.rsplit('=').next().unwrap_or_default().trim();
        !level.is_empty() && level.parse::<LevelFilter>().is_ok()
    };
    if !text.split(',').all(has_level) {
        return None;
    }
    EnvFilter::try_new(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in ["info", "debug", "info,vtepd::control=debug", "off"] {
            assert!(filter(good).is_some(), "{good}");
        }
        for bad in ["loud", "", "info,loud", "vtepd=loud", "vtepd::control"] {
            assert!(filter(bad).is_none(), "{bad}");
        }
    }
}
