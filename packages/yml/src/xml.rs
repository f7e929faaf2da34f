//! XML as a feed may use it: well-formed, bounded, without declared entities.

use std::borrow::Cow;
use std::io::Read;

use quick_xml::Reader;
use quick_xml::events::{BytesEnd, BytesStart, Event};

use crate::Error;
use crate::entity;
use crate::error::excerpt;
use crate::source::{Fault, Source};

/// The parser keeps the names of open elements, so neither may grow: elements inside each other, and
/// bytes of a name.
const MAX_OPEN: usize = 512;
const MAX_NAME: usize = 128;
/// A buffer that one long text made larger is given back.
const KEPT_BUFFER: usize = 256 << 10;

/// What the parser came upon. Empty elements open and close.
pub(crate) enum Token<'a> {
    Open(Tag<'a>),
    Close(BytesEnd<'a>),
    Text(Cow<'a, str>),
    /// Text that keeps its `<` and `&`.
    CData(Cow<'a, str>),
    /// What stood between `&` and `;`.
    Reference(Cow<'a, str>),
    /// Comments, processing instructions, the declaration.
    Nothing,
    End,
}

pub(crate) struct Tag<'a> {
    pub(crate) line: u64,
    start: BytesStart<'a>,
}

/// Why the attributes of a tag can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum TagFlaw {
    Malformed,
    TooMany,
    UnknownEntity(String),
}

impl Tag<'_> {
    pub(crate) fn name(&self) -> &str {
        self.start.name().0
    }

    /// Hands each attribute to `take`, the first of a name first.
    pub(crate) fn attributes(
        &self,
        limit: usize,
        mut take: impl FnMut(&str, Cow<'_, str>),
    ) -> Result<(), TagFlaw> {
        // The check for doubles is quadratic; whoever takes them keeps the first.
        for (count, attribute) in self.start.attributes().with_checks(false).enumerate() {
            if count == limit {
                return Err(TagFlaw::TooMany);
            }
            let attribute = attribute.map_err(|_| TagFlaw::Malformed)?;
            let value = entity::unescape(&attribute.value).map_err(TagFlaw::UnknownEntity)?;
            take(attribute.key.0, value);
        }
        Ok(())
    }
}

pub(crate) struct Xml<'r> {
    reader: Reader<Source<'r>>,
    buffer: Vec<u8>,
    depth: usize,
    rooted: bool,
    event_bytes: usize,
}

impl<'r> Xml<'r> {
    pub(crate) fn new(input: Box<dyn Read + Send + 'r>, event_bytes: usize) -> Self {
        let mut reader = Reader::from_reader(Source::new(input, event_bytes));
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.allow_dangling_amp = true;
        Self { reader, buffer: Vec::new(), depth: 0, rooted: false, event_bytes }
    }

    /// The line of what comes next.
    pub(crate) fn line(&self) -> u64 {
        self.reader.get_ref().line()
    }

    /// Bytes of UTF-8 read so far.
    pub(crate) fn position(&self) -> u64 {
        self.reader.buffer_position()
    }

    pub(crate) fn next(&mut self) -> Result<Token<'_>, Error> {
        self.buffer.clear();
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer.shrink_to(KEPT_BUFFER);
        }
        self.reader.get_mut().renew();
        let line = self.line();
        let event = match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => event,
            Err(error) => return Err(refusal(error, self.reader.get_ref(), line, self.event_bytes)),
        };
        Ok(match event {
            Event::Start(start) => {
                if self.depth == 0 && self.rooted {
                    return Err(malformed(line, "a second element stands beside <yml_catalog>"));
                }
                let name = start.name().0;
                if name.is_empty() || name.len() > MAX_NAME {
                    return Err(malformed(
                        line,
                        &format!("<{}> isn't the name of an element", excerpt(name)),
                    ));
                }
                self.depth += 1;
                self.rooted = true;
                if self.depth > MAX_OPEN {
                    return Err(Error::TooDeep { line, limit: MAX_OPEN });
                }
                Token::Open(Tag { line, start })
            }
            Event::End(end) => {
                self.depth = self.depth.saturating_sub(1);
                Token::Close(end)
            }
            Event::Text(text) => Token::Text(text.into_inner()),
            Event::CData(text) => Token::CData(text.into_inner()),
            Event::GeneralRef(reference) => Token::Reference(reference.into_inner()),
            Event::DocType(doctype) => {
                if doctype.contains("<!ENTITY") {
                    return Err(Error::Entities { line });
                }
                if self.rooted {
                    return Err(malformed(line, "a DOCTYPE stands inside the feed"));
                }
                Token::Nothing
            }
            Event::Eof => Token::End,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => Token::Nothing,
        })
    }

    /// Reads past the end of the element that was opened last.
    pub(crate) fn skip(&mut self, inside: &'static str) -> Result<(), Error> {
        let outside = self.depth - 1;
        while self.depth > outside {
            if matches!(self.next()?, Token::End) {
                return Err(Error::Truncated { line: self.line(), inside });
            }
        }
        Ok(())
    }

    /// The text of the element that was opened last, without the markup in it; `None` if it is longer
    /// than `limit` bytes. References to nothing we know stay as they are.
    pub(crate) fn text(&mut self, limit: usize, inside: &'static str) -> Result<Option<String>, Error> {
        let outside = self.depth - 1;
        let mut text = String::new();
        let mut fits = true;
        while self.depth > outside {
            let piece = match self.next()? {
                Token::End => return Err(Error::Truncated { line: self.line(), inside }),
                Token::Text(piece) | Token::CData(piece) => piece,
                Token::Reference(name) => match entity::resolve(&name) {
                    entity::Reference::Text(known) => Cow::Borrowed(known),
                    entity::Reference::Char(char) => Cow::Owned(char.into()),
                    entity::Reference::Literal | entity::Reference::Unknown => {
                        Cow::Owned(format!("&{name};"))
                    }
                },
                Token::Open(_) | Token::Close(_) | Token::Nothing => continue,
            };
            fits &= text.len() + piece.len() <= limit;
            if fits {
                text.push_str(&piece);
            }
        }
        Ok(fits.then_some(text))
    }
}

fn malformed(line: u64, what: &str) -> Error {
    Error::Malformed { line, what: what.to_owned() }
}

fn refusal(error: quick_xml::Error, source: &Source<'_>, line: u64, limit: usize) -> Error {
    match (source.fault(), error) {
        (Some(Fault::Overlong), _) => Error::TooLong { line, limit },
        (Some(Fault::Encoding(label)), _) => Error::Encoding { label: excerpt(label) },
        (None, quick_xml::Error::Io(error)) => Error::Io(std::io::Error::new(error.kind(), error)),
        (None, error) => Error::Malformed { line, what: excerpt_of(&error) },
    }
}

/// The parser's words, shortened: they quote the feed.
fn excerpt_of(error: &quick_xml::Error) -> String {
    let text = crate::text::line(&error.to_string());
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
