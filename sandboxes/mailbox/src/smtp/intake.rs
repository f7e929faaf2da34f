//! One message's data as it comes in: unstuffed, and bounded in memory whatever is sent.

use std::slice::Iter;

use smtp_proto::request::receiver::{DataReceiver, DummyDataReceiver};

/// The longest line of a message without its CRLF (RFC 5321, 4.5.3.1.6).
const LONGEST_LINE: usize = 998;

pub struct Intake {
    limit: usize,
    raw: Vec<u8>,
    state: State,
}

enum State {
    Keeping(DataReceiver),
    /// Too long: the rest is read to its end, so that the answer comes where the client expects it.
    Discarding(DummyDataReceiver),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    Message(Vec<u8>),
    TooLong,
    LineTooLong,
}

impl Intake {
    /// For a message of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let mut receiver = DataReceiver::new();
        let mut raw = Vec::new();
        // The data begins after a line's end, so that a dot in the very first place is stuffed or the last.
        receiver.ingest(&mut b"\r\n".iter(), &mut raw);
        raw.clear();
        Self { limit, raw, state: State::Keeping(receiver) }
    }

    /// Takes what belongs to the message and leaves what follows it. None until the end is seen.
    pub fn ingest(&mut self, bytes: &mut Iter<'_, u8>) -> Option<Taken> {
        match &mut self.state {
            State::Keeping(receiver) => {
                let ended = receiver.ingest(bytes, &mut self.raw);
                if self.raw.len() > self.limit {
                    if ended {
                        return Some(Taken::TooLong);
                    }
                    // A carriage return of the end may have been counted; it is over by more than that later.
                    if self.raw.len() > self.limit + 1 {
                        self.state = State::Discarding(DummyDataReceiver::new_data(receiver));
                        self.raw = Vec::new();
                    }
                    return None;
                }
                ended.then(|| {
                    let raw = std::mem::take(&mut self.raw);
                    if has_long_line(&raw) { Taken::LineTooLong } else { Taken::Message(raw) }
                })
            }
            State::Discarding(receiver) => receiver.ingest(bytes).then_some(Taken::TooLong),
        }
    }
}

fn has_long_line(raw: &[u8]) -> bool {
    raw.split(|byte| *byte == b'\n').any(|line| line.strip_suffix(b"\r").unwrap_or(line).len() > LONGEST_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `data` in pieces of every length: what is read must not depend on where the packets end.
    fn take(limit: usize, data: &[u8]) -> (Taken, Vec<u8>) {
        let mut results = (1..=data.len()).map(|piece| {
            let mut intake = Intake::new(limit);
            let mut taken = None;
            let mut rest = Vec::new();
            for chunk in data.chunks(piece) {
                let mut bytes = chunk.iter();
                if taken.is_none() {
                    taken = intake.ingest(&mut bytes);
                }
                rest.extend(bytes);
            }
            (taken.expect("the end was not seen"), rest)
        });
        let first = results.next().unwrap();
        assert!(results.all(|result| result == first), "{}", String::from_utf8_lossy(data));
        first
    }

    fn message(text: &str) -> Taken {
        Taken::Message(text.as_bytes().to_vec())
    }

    #[test]
    fn dots_are_unstuffed_and_only_the_true_end_ends() {
        let cases = [
            (".\r\n", ""),
            ("a\r\n.\r\n", "a\r\n"),
            ("..\r\n.\r\n", ".\r\n"),
            ("..a\r\nb\r\n...\r\n.\r\n", ".a\r\nb\r\n..\r\n"),
            // Smuggling: ends that are not ends.
            ("a\n.\r\nQUIT\r\n.\r\n", "a\n.\r\nQUIT\r\n"),
            ("a\r.\r\nQUIT\r\n.\r\n", "a\r.\r\nQUIT\r\n"),
            ("a\n.\nQUIT\r\n.\r\n", "a\n.\nQUIT\r\n"),
        ];
        for (sent, read) in cases {
            assert_eq!(take(1000, sent.as_bytes()), (message(read), vec![]), "{sent:?}");
        }
        let pipelined = take(1000, b"a\r\n.\r\nMAIL FROM:<b@c>\r\n");
        assert_eq!(pipelined, (message("a\r\n"), b"MAIL FROM:<b@c>\r\n".to_vec()));
    }

    #[test]
    fn the_bound_is_exact_and_the_rest_is_read_past() {
        let exact = [vec![b'a'; 98], b"\r\n.\r\n".to_vec()].concat();
        assert_eq!(take(100, &exact).0, Taken::Message([vec![b'a'; 98], b"\r\n".to_vec()].concat()));
        let longer = [vec![b'a'; 99], b"\r\n.\r\nQUIT\r\n".to_vec()].concat();
        assert_eq!(take(100, &longer), (Taken::TooLong, b"QUIT\r\n".to_vec()));
        let longest = [b"line\r\n..\r\n".repeat(500), b".\r\nQUIT\r\n".to_vec()].concat();
        assert_eq!(take(100, &longest), (Taken::TooLong, b"QUIT\r\n".to_vec()));
    }

    #[test]
    fn a_line_has_its_bound() {
        let line = |length: usize| [vec![b'a'; length], b"\r\n.\r\n".to_vec()].concat();
        assert!(matches!(take(5000, &line(998)).0, Taken::Message(_)));
        assert_eq!(take(5000, &line(999)).0, Taken::LineTooLong);
    }
}
