//! Bytes in, UTF-8 out: finds the encoding, counts lines and bounds how much one XML event may take.

use std::io::{self, BufRead, Read};

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE};

const RAW: usize = 16 * 1024;
const TEXT: usize = 32 * 1024;
/// Where the XML declaration must have ended.
const PROLOG: usize = 1024;

/// What went wrong below the XML parser, which only passes on an `io::Error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Overlong,
    Encoding(String),
}

pub(crate) struct Source<'r> {
    input: Box<dyn Read + Send + 'r>,
    decoder: Option<Decoder>,
    raw: Box<[u8]>,
    raw_at: usize,
    raw_end: usize,
    ended: bool,
    text: Box<[u8]>,
    text_at: usize,
    text_end: usize,
    finished: bool,
    line: u64,
    spent: usize,
    allowance: usize,
    fault: Option<Fault>,
}

impl<'r> Source<'r> {
    pub(crate) fn new(input: Box<dyn Read + Send + 'r>, allowance: usize) -> Self {
        Self {
            input,
            decoder: None,
            raw: vec![0; RAW].into_boxed_slice(),
            raw_at: 0,
            raw_end: 0,
            ended: false,
            text: vec![0; TEXT].into_boxed_slice(),
            text_at: 0,
            text_end: 0,
            finished: false,
            line: 1,
            spent: 0,
            allowance,
            fault: None,
        }
    }

    /// The line (from 1) of the next byte that the parser will take.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// A new event begins: it may take up to the allowance again.
    pub(crate) fn renew(&mut self) {
        self.spent = 0;
    }

    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    fn fail(&mut self, fault: Fault) -> io::Error {
        self.fault = Some(fault);
        io::Error::other("the feed was refused below the XML parser")
    }

    /// Reads once more behind what is there; says whether anything came.
    fn read_raw(&mut self) -> io::Result<bool> {
        if self.raw_at == self.raw_end {
            (self.raw_at, self.raw_end) = (0, 0);
        }
        loop {
            match self.input.read(&mut self.raw[self.raw_end..]) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(false);
                }
                Ok(read) => {
                    self.raw_end += read;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn choose_decoder(&mut self) -> io::Result<()> {
        while self.raw_end < PROLOG && !find(&self.raw[..self.raw_end], b"?>") && self.read_raw()? {}
        let head = &self.raw[..self.raw_end.min(PROLOG)];
        let encoding = match Encoding::for_bom(head) {
            Some((encoding, _)) => encoding,
            None => match declared(head) {
                None => UTF_8,
                Some(label) => match Encoding::for_label_no_replacement(label) {
                    Some(found) if found == UTF_8 || found.is_single_byte() => found,
                    // The declaration was readable as ASCII, so the file isn't what it says.
                    Some(found) if found == UTF_16LE || found == UTF_16BE => UTF_8,
                    _ => {
                        let label = String::from_utf8_lossy(label).into_owned();
                        return Err(self.fail(Fault::Encoding(label)));
                    }
                },
            },
        };
        // Removes the byte order mark too.
        self.decoder = Some(encoding.new_decoder_with_bom_removal());
        Ok(())
    }

    fn decode(&mut self) -> io::Result<()> {
        if self.decoder.is_none() {
            self.choose_decoder()?;
        }
        (self.text_at, self.text_end) = (0, 0);
        while self.text_end == 0 && !self.finished {
            if self.raw_at == self.raw_end && !self.ended {
                self.read_raw()?;
            }
            let Some(decoder) = self.decoder.as_mut() else { break };
            let raw = &self.raw[self.raw_at..self.raw_end];
            let (result, read, written, _) = decoder.decode_to_utf8(raw, &mut self.text, self.ended);
            self.raw_at += read;
            self.text_end = written;
            self.finished = self.ended && result == CoderResult::InputEmpty;
        }
        Ok(())
    }
}

impl Read for Source<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let taken = available.len().min(out.len());
        out[..taken].copy_from_slice(&available[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}

impl BufRead for Source<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.spent > self.allowance {
            return Err(self.fail(Fault::Overlong));
        }
        if self.text_at == self.text_end && !self.finished {
            self.decode()?;
        }
        Ok(&self.text[self.text_at..self.text_end])
    }

    fn consume(&mut self, amount: usize) {
        let taken = &self.text[self.text_at..self.text_at + amount];
        self.line += memchr::memchr_iter(b'\n', taken).count() as u64;
        self.text_at += amount;
        self.spent += amount;
    }
}

/// The label in `<?xml … encoding="label"?>`, if the file begins with a declaration that has one.
fn declared(head: &[u8]) -> Option<&[u8]> {
    let head = head.trim_ascii_start().strip_prefix(b"<?xml")?;
    let declaration = &head[..memchr::memmem::find(head, b"?>")?];
    let at = memchr::memmem::find(declaration, b"encoding")?;
    let value =
        declaration[at + b"encoding".len()..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let quote = *value.first().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let value = &value[1..];
    Some(&value[..memchr::memchr(quote, value)?])
}

fn find(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, as the meanest network would.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            out[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn decoded(bytes: &[u8]) -> String {
        let mut text = String::new();
        Source::new(Box::new(Drip(bytes)), 1 << 20).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn utf8_with_and_without_a_mark() {
        assert_eq!(decoded("<a>Чай</a>".as_bytes()), "<a>Чай</a>");
        assert_eq!(decoded("\u{feff}<a>Чай</a>".as_bytes()), "<a>Чай</a>");
    }

    #[test]
    fn windows_1251_as_declared() {
        let xml = "<?xml version='1.0' encoding = 'Windows-1251'?><a>Чай «№1»</a>";
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(xml);
        assert_eq!(decoded(&bytes), xml);
    }

    #[test]
    fn utf16_by_its_mark() {
        let mut bytes = vec![0xff, 0xfe];
        bytes.extend("<a>Чай</a>".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(decoded(&bytes), "<a>Чай</a>");
    }

    #[test]
    fn a_mark_outweighs_the_declaration() {
        let xml = "\u{feff}<?xml version='1.0' encoding='windows-1251'?><a>Чай</a>";
        assert_eq!(decoded(xml.as_bytes()), &xml[3..]);
    }

    #[test]
    fn broken_utf8_becomes_replacement_characters() {
        assert_eq!(decoded(b"<a>\xd7\xe0</a>"), "<a>\u{fffd}\u{fffd}</a>");
    }

    #[test]
    fn an_unknown_encoding_is_a_fault() {
        let mut source = Source::new(Box::new(&b"<?xml version='1.0' encoding='klingon'?>"[..]), 100);
        source.fill_buf().unwrap_err();
        assert_eq!(source.fault(), Some(&Fault::Encoding("klingon".into())));
    }

    #[test]
    fn lines_count_what_was_consumed() {
        let mut source = Source::new(Box::new(&b"a\nb\r\nc"[..]), 100);
        source.fill_buf().unwrap();
        assert_eq!(source.line(), 1);
        source.consume(2);
        assert_eq!(source.line(), 2);
        source.consume(3);
        assert_eq!(source.line(), 3);
    }

    #[test]
    fn an_event_over_its_allowance_is_a_fault_until_renewed() {
        let mut source = Source::new(Box::new(io::repeat(b'x')), 100_000);
        let error = io::copy(&mut source, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other);
        assert_eq!(source.fault(), Some(&Fault::Overlong));
        source.renew();
        assert!(!source.fill_buf().unwrap().is_empty());
    }
}
