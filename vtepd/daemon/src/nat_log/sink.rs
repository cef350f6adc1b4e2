//! Where the log goes: a file that others rotate, or syslog.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Error, ErrorKind, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::line::Line;

/// How long the syslog of this host is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A file, to which is added.
    File(PathBuf),
    /// A syslog server (RFC 5426).
    Udp(SocketAddr),
    /// The syslog of this host.
    Local(PathBuf),
}

/// Why a log cannot be begun.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the log of translations, {what}: {error}; see [nat.log] in the configuration")]
pub struct OpenError {
    what: String,
    error: Error,
}

/// An open log.
pub struct Sink {
    way: Way,
    host: String,
    process: u32,
}

enum Way {
    File(PathBuf, BufWriter<File>),
    Udp(UdpSocket),
    /// `None` after its reader has gone: it is asked for again with the next line.
    Local(PathBuf, Option<UnixDatagram>),
}

impl Sink {
    /// Opens it.
    ///
    /// # Errors
    /// It is not there, or may not be written.
    pub fn open(target: &Target) -> Result<Self, OpenError> {
        let (what, way) = match target {
            Target::File(path) => (
                format!("the file {}", path.display()),
                append_to(path).map(|file| Way::File(path.clone(), file)),
            ),
            Target::Udp(server) => (
                format!("syslog at {server}"),
                connect(*server).map(Way::Udp),
            ),
            Target::Local(path) => (
                format!("syslog at {}", path.display()),
                local(path).map(|socket| Way::Local(path.clone(), Some(socket))),
            ),
        };
        let way = way.map_err(|error| OpenError { what, error })?;
        let host = rustix::system::uname();
        Ok(Self {
            way,
            // A dash stands for none (RFC 5424, 6.2.4).
            host: host.nodename().to_str().unwrap_or("-").to_owned(),
            process: std::process::id(),
        })
    }

    /// Begins a new file, after the former one was renamed. Syslog has nothing to be begun anew.
    ///
    /// # Errors
    /// The new file cannot be opened: the former one goes on.
    pub fn reopen(&mut self) -> Result<(), Error> {
        if let Way::File(path, file) = &mut self.way {
            // What is still on its way belongs to the former one.
            let flushed = file.flush();
            *file = append_to(path)?;
            return flushed;
        }
        Ok(())
    }

    /// Writes a line; into a file with the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// It is lost.
    pub fn write(&mut self, line: &Line) -> Result<(), Error> {
        match &mut self.way {
            Way::File(_, file) => writeln!(file, "{line}"),
            Way::Udp(socket) => {
                let message = line.syslog(&self.host, self.process);
                socket.send(message.as_bytes()).map(drop)
            }
            Way::Local(path, socket) => {
                let message = line.syslog(&self.host, self.process);
                let open = match socket.take() {
                    Some(open) => open,
                    None => local(path)?,
                };
                let sent = open.send(message.as_bytes()).map(drop);
                let sent = match sent {
                    // It reads no more, for now: another connection would not be read either.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
                    // Syslog was restarted since the last line.
                    Err(_) => {
                        let anew = local(path)?;
                        let sent = anew.send(message.as_bytes()).map(drop);
                        *socket = Some(anew);
                        return sent;
                    }
                    sent => sent,
                };
                *socket = Some(open);
                sent
            }
        }
    }

    /// Has all lines be in the file.
    ///
    /// # Errors
    /// Some are lost.
    pub fn flush(&mut self) -> Result<(), Error> {
        match &mut self.way {
            Way::File(_, file) => file.flush(),
            Way::Udp(_) | Way::Local(..) => Ok(()),
        }
    }
}

fn append_to(path: &Path) -> Result<BufWriter<File>, Error> {
    // A pipe without a reader would keep the daemon from starting, and one that is not read from stopping. To a file it is
    // all the same.
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = options.open(path)?;
    Ok(BufWriter::new(file))
}

fn connect(server: SocketAddr) -> Result<UdpSocket, Error> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    Ok(socket)
}

fn local(path: &Path) -> Result<UnixDatagram, Error> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    // One that reads no more must not keep the daemon from stopping.
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn line(count: u64) -> Line {
        Line::lost(OffsetDateTime::UNIX_EPOCH, count)
    }

    fn directory(name: &str) -> PathBuf {
        let directory =
            std::env::temp_dir().join(format!("vtepd-log-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn a_file_is_added_to_and_begun_anew_after_it_was_renamed() {
        let directory = directory("file");
        let (path, former) = (directory.join("nat.log"), directory.join("nat.log.1"));
        std::fs::write(&path, "before\n").unwrap();
        let mut sink = Sink::open(&Target::File(path.clone())).unwrap();
        sink.write(&line(1)).unwrap();
        std::fs::rename(&path, &former).unwrap();
        sink.write(&line(2)).unwrap();
        sink.reopen().unwrap();
        sink.write(&line(3)).unwrap();
        sink.flush().unwrap();
        let text = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!(text(former), format!("before\n{}\n{}\n", line(1), line(2)));
        assert_eq!(text(path), format!("{}\n", line(3)));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn syslog_may_be_far_away() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut sink = Sink::open(&Target::Udp(server.local_addr().unwrap())).unwrap();
        sink.write(&line(1)).unwrap();
        let mut message = [0; 512];
        let len = server.recv(&mut message).unwrap();
        let text = std::str::from_utf8(&message[..len]).unwrap();
        assert!(
            text.starts_with("<134>1 1970-01-01T00:00:00Z ")
                && text.ends_with(r#" records-lost [nat@32473 count="1"]"#),
            "{text}"
        );
    }

    #[test]
    fn syslog_of_this_host_may_be_restarted() {
        let directory = directory("local");
        let path = directory.join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let mut sink = Sink::open(&Target::Local(path.clone())).unwrap();
        sink.write(&line(1)).unwrap();
        drop(server);
        std::fs::remove_file(&path).unwrap();
        assert!(sink.write(&line(2)).is_err(), "nobody is there");
        let server = UnixDatagram::bind(&path).unwrap();
        sink.write(&line(3)).unwrap();
        let mut message = [0; 512];
        let len = server.recv(&mut message).unwrap();
        assert!(message[..len].ends_with(br#"count="3"]"#));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_pipe_that_nobody_reads_keeps_nobody_waiting() {
        let directory = directory("pipe");
        let path = directory.join("nat.log");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(
            Sink::open(&Target::File(path.clone())).is_err(),
            "nobody is there"
        );
        // Both ends, as a reader that reads no more.
        let _reader = File::options().read(true).write(true).open(&path).unwrap();
        let mut sink = Sink::open(&Target::File(path)).unwrap();
        let full = (0..100_000).find_map(|count| sink.write(&line(count)).err());
        assert_eq!(full.unwrap().kind(), ErrorKind::WouldBlock);
        drop(sink);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn syslog_that_reads_no_more_costs_a_line_one_wait() {
        let directory = directory("deaf");
        let path = directory.join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let mut sink = Sink::open(&Target::Local(path)).unwrap();
        let full = (0..100_000).find_map(|count| sink.write(&line(count)).err());
        assert_eq!(full.unwrap().kind(), ErrorKind::WouldBlock);
        // The same connection goes on once it reads.
        server.recv(&mut [0; 512]).unwrap();
        sink.write(&line(7)).unwrap();
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let path = PathBuf::from("/nowhere/nat.log");
        let error = Sink::open(&Target::File(path)).err().unwrap().to_string();
        assert!(
            error.contains("/nowhere/nat.log") && error.contains("[nat.log]"),
            "{error}"
        );
    }
}
