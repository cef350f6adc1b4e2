//! A line of the log: for a file, and as a syslog message (RFC 5424).
//!
//! The crates for syslog put the time of sending into the message and take a number for what happened; a record has its own
//! time, seconds before, and a name. The format is a line, so it is written here.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Facility local0, severity informational (RFC 5424, 6.2.1).
const PRIORITY: u8 = 16 * 8 + 6;
/// The number of private enterprises for documentation (RFC 5612): vtepd has none of its own.
const STRUCTURE: &str = "nat@32473";

/// What happened, when, and to whom.
pub struct Line {
    pub time: OffsetDateTime,
    pub what: &'static str,
    /// Values have no spaces.
    pub fields: Vec<(&'static str, String)>,
}

impl Line {
    /// Says that all ports are nobody's: sessions do not outlive the daemon.
    pub fn started(time: OffsetDateTime) -> Self {
        Self {
            time,
            what: "started",
            fields: Vec::new(),
        }
    }

    /// Says that so many are missing.
    pub fn lost(time: OffsetDateTime, count: u64) -> Self {
        Self {
            time,
            what: "records-lost",
            fields: vec![("count", count.to_string())],
        }
    }

    fn time(&self) -> String {
        // Its grain is the workers' second.
        let time = self.time.replace_nanosecond(0).unwrap_or(self.time);
        // Years beyond 9999 alone cannot be written.
        time.format(&Rfc3339).unwrap_or_default()
    }

    /// As a syslog message from this host and process.
    pub fn syslog(&self, host: &str, process: u32) -> String {
        use fmt::Write as _;
        let mut message = format!(
            "<{PRIORITY}>1 {} {host} vtepd {process} {} [{STRUCTURE}",
            self.time(),
            self.what
        );
        for (name, value) in &self.fields {
            // Writing to a string does not fail.
            let _ = write!(message, " {name}=\"{}\"", escaped(value));
        }
        message.push(']');
        message
    }
}

/// As values of structured data are (RFC 5424, 6.3.3).
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '"' | '\\' | ']') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.time(), self.what)?;
        for (name, value) in &self.fields {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syslog_message_is_as_rfc_5424_has_it() {
        let line = Line {
            time: OffsetDateTime::from_unix_timestamp_nanos(1_500_000_000).unwrap(),
            what: "port-taken",
            fields: vec![
                ("router", "r\"1]".to_owned()),
                ("ports", "40000".to_owned()),
            ],
        };
        assert_eq!(
            line.syslog("net1", 42),
            r#"<134>1 1970-01-01T00:00:01Z net1 vtepd 42 port-taken [nat@32473 router="r\"1\]" ports="40000"]"#
        );
        assert!(
            Line::started(OffsetDateTime::UNIX_EPOCH)
                .syslog("net1", 42)
                .ends_with(" started [nat@32473]")
        );
        assert_eq!(
            Line::lost(OffsetDateTime::UNIX_EPOCH, 7).to_string(),
            "1970-01-01T00:00:00Z records-lost count=7"
        );
    }
}
