//! The kernel's side of a device: a network namespace of this thread's own, commands in it, and
//! raw sockets.

use std::{
    io::{self, Write},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    process::Command,
    time::{Duration, Instant},
};

use super::is_ours;

/// Moves the calling thread, and the threads it will start, into a fresh network namespace, gone
/// with the last of them. False, having said so, when this needs rights that are missing.
pub fn enter_namespace() -> bool {
    // SAFETY: changes this thread's namespace only; its thread is the test's.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 {
        return true;
    }
    let error = io::Error::last_os_error();
    assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}");
    // Not `eprintln!`, which the test harness swallows when a test passes.
    let skipped = "SKIPPED: a network namespace needs CAP_SYS_ADMIN: run this test as root";
    writeln!(io::stderr(), "{skipped}").expect("stderr is open");
    false
}

/// Runs a command in the calling thread's namespace, and returns what it printed.
pub fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a program");
    let output = Command::new(program).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A raw socket on one interface, which sees all frames that come in there.
pub struct Wire(OwnedFd);

impl Wire {
    pub fn open(interface: &str) -> Self {
        let name = std::ffi::CString::new(interface).expect("a name");
        let all = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: plain system calls; the address is a plain struct of its size, and the descriptor
        // is closed by `OwnedFd`.
        unsafe {
            let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            assert!(fd >= 0, "{}", io::Error::last_os_error());
            let wire = Self(OwnedFd::from_raw_fd(fd));
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = all;
            address.sll_ifindex = libc::if_nametoindex(name.as_ptr()) as i32;
            assert_ne!(address.sll_ifindex, 0, "{interface} exists");
            let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            let code = libc::bind(fd, (&raw const address).cast(), size);
            assert_eq!(code, 0, "{}", io::Error::last_os_error());
            wire
        }
    }

    pub fn send(&self, frame: &[u8]) {
        // SAFETY: the buffer outlives the call.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
    }

    /// Waits for `count` frames of ours that others sent; fails when they have not come within five
    /// seconds.
    pub fn receive_ours(&self, count: usize) -> Vec<Vec<u8>> {
        let end = Instant::now() + Duration::from_secs(5);
        let mut frames = Vec::new();
        while frames.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} frames came", frames.len());
            let mut poll = libc::pollfd {
                fd: self.0.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            let mut frame = vec![0; 65536];
            // SAFETY: one descriptor, and a buffer of the length given; the sender's address is a
            // plain struct of its size.
            unsafe {
                if libc::poll(&mut poll, 1, left.as_millis() as i32) <= 0 {
                    continue;
                }
                let mut from: libc::sockaddr_ll = std::mem::zeroed();
                let mut size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
                let length = libc::recvfrom(
                    self.0.as_raw_fd(),
                    frame.as_mut_ptr().cast(),
                    frame.len(),
                    libc::MSG_DONTWAIT,
                    (&raw mut from).cast(),
                    &mut size,
                );
                if length < 0 || from.sll_pkttype == libc::PACKET_OUTGOING {
                    continue;
                }
                frame.truncate(length as usize);
            }
            if is_ours(&frame) {
                frames.push(frame);
            }
        }
        frames
    }
}
