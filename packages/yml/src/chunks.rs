//! The push side: chunks that arrive from a stream, as the `Read` that a feed wants.

use std::io::{self, Read};

/// A `Read` over chunks that come one after the other, such as the messages of a gRPC stream.
///
/// The chunks come from an iterator that may block, so a bounded channel gives back-pressure:
/// with tokio, `Chunks::new(std::iter::from_fn(move || receiver.blocking_recv()))` inside
/// `spawn_blocking`. No more than one chunk is held. The iterator's end is the end of the feed;
/// a sender that breaks off should send an `Err` first, though a feed that stops in the middle
/// is refused as truncated anyhow.
pub struct Chunks<I, B> {
    chunks: I,
    current: Option<B>,
    at: usize,
}

impl<I, B> Chunks<I, B>
where
    I: Iterator<Item = io::Result<B>>,
    B: AsRef<[u8]>,
{
    /// A reader of these chunks; empty ones are skipped.
    pub fn new(chunks: I) -> Self {
        Self { chunks, current: None, at: 0 }
    }
}

impl<I, B> Read for Chunks<I, B>
where
    I: Iterator<Item = io::Result<B>>,
    B: AsRef<[u8]>,
{
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(chunk) = &self.current {
                let rest = &chunk.as_ref()[self.at..];
                if !rest.is_empty() {
                    let taken = rest.len().min(out.len());
                    out[..taken].copy_from_slice(&rest[..taken]);
                    self.at += taken;
                    return Ok(taken);
                }
            }
            self.at = 0;
            self.current = match self.chunks.next() {
                None => return Ok(0),
                Some(chunk) => Some(chunk?),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_join_and_empty_ones_vanish() {
        let chunks = [&b"<a"[..], b"", b">", b"</a>"].into_iter().map(Ok);
        let mut text = String::new();
        Chunks::new(chunks).read_to_string(&mut text).unwrap();
        assert_eq!(text, "<a></a>");
    }

    #[test]
    fn a_failed_stream_fails_the_read() {
        let chunks = [Ok(&b"<a"[..]), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
        let error = Chunks::new(chunks.into_iter()).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
