//! The classic pcap file format: Ethernet, microseconds, byte order of the writer
//! (draft-ietf-opsawg-pcap).

use std::io::{self, Read, Write};

const MAGIC: u32 = 0xa1b2_c3d4;
/// Time stamps in nanoseconds, as DPDK writes them.
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;
/// The longest frame that is read: what an mbuf's 16-bit length can say.
const LONGEST: u32 = 65_535;

/// Bytes of the file's header.
pub const HEADER: usize = 24;

/// Writes a file.
///
/// # Errors
/// Those of `to`; a frame of 64 KiB and more.
pub fn write<F: AsRef<[u8]>>(
    mut to: impl Write,
    frames: impl IntoIterator<Item = F>,
) -> io::Result<()> {
    let words = [MAGIC, 2 | 4 << 16, 0, 0, LONGEST, ETHERNET];
    for word in words {
        to.write_all(&word.to_le_bytes())?;
    }
    for frame in frames {
        let frame = frame.as_ref();
        let len = u32::try_from(frame.len())
            .ok()
            .filter(|len| *len <= LONGEST);
        let len = len.ok_or_else(|| io::Error::other("a frame too long for pcap"))?;
        for word in [0, 0, len, len] {
            to.write_all(&word.to_le_bytes())?;
        }
        to.write_all(frame)?;
    }
    to.flush()
}

/// Reads a file's frames. A last one that was cut off, as by a killed writer, ends
/// them.
///
/// # Errors
/// Those of `from`; it is no such file.
pub fn read(from: impl Read) -> io::Result<Frames<impl Read>> {
    let mut from = io::BufReader::new(from);
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let is_magic = |big| matches!(word(&header, 0, big), MAGIC | MAGIC_NANOSECONDS);
    let big = !is_magic(false);
    if big && !is_magic(true) {
        return Err(io::Error::other("not a pcap file"));
    }
    Ok(Frames { from, big })
}

fn word(bytes: &[u8], at: usize, big: bool) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    if big {
        u32::from_be_bytes(word)
    } else {
        u32::from_le_bytes(word)
    }
}

/// The frames of a file, one after another.
pub struct Frames<R> {
    from: R,
    big: bool,
}

impl<R: Read> Iterator for Frames<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut header = [0; 16];
        let read = self.from.read_exact(&mut header).and_then(|()| {
            let len = word(&header, 8, self.big);
            if len > LONGEST {
                return Err(io::Error::other("a frame too long: the file is damaged"));
            }
            let mut frame = vec![0; len as usize];
            self.from.read_exact(&mut frame)?;
            Ok(frame)
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            read => Some(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_cut_frame_is_left_out() {
        let frames = [vec![1; 60], vec![2; 1514]];
        let mut file = Vec::new();
        write(&mut file, &frames).unwrap();
        assert_eq!(file.len(), HEADER + 16 + 60 + 16 + 1514);
        let all: Vec<Vec<u8>> = read(&file[..]).unwrap().map(Result::unwrap).collect();
        assert_eq!(all, frames);
        let cut: Vec<Vec<u8>> = read(&file[..file.len() - 1])
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(cut, frames[..1]);
        assert!(read(&b"GIF89a, and more than a header"[..]).is_err());
    }
}
