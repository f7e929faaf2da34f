//! One log line as the receiver gets it: `[EventTime, {field: value, …}]` in MessagePack.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rmp::encode::{
    write_array_len, write_bool, write_ext_meta, write_f64, write_map_len, write_sint, write_str, write_uint,
};
use tracing::field::{Field, Visit};

/// Longer texts are cut: one line must not fill the buffer.
const LONGEST_TEXT: usize = 16 * 1024;
/// The Forward protocol's type of MessagePack extension for a time with nanoseconds.
const EVENT_TIME: i8 = 0;

/// A value as tracing has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Bool(bool),
}

/// Named values, each name once: what is said later, or further in, replaces what was said before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(Cow<'static, str>, Value)>);

impl Fields {
    pub(crate) fn set(&mut self, name: impl Into<Cow<'static, str>>, value: Value) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets all that others hold.
    pub(crate) fn lay_over(&mut self, others: &Self) {
        for (name, value) in &others.0 {
            self.set(name.clone(), value.clone());
        }
    }

    /// Removes a text and gives it.
    pub(crate) fn take_text(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, value)| known == name && matches!(value, Value::Text(_)))?;
        match self.0.remove(at) {
            (_, Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Removes what the bridge from the crate `log` adds.
    pub(crate) fn without_bridge(&mut self) {
        self.0.retain(|(name, _)| !name.starts_with("log."));
    }

    /// Adds an underscore to these names.
    pub(crate) fn rename(&mut self, names: &[&str]) {
        for (name, _) in self.0.iter_mut().filter(|(name, _)| names.contains(&name.as_ref())) {
            name.to_mut().push('_');
        }
    }

    #[cfg(test)]
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The line's entry in a message of the Forward protocol.
    pub(crate) fn encode(&self, time: SystemTime) -> io::Result<Box<[u8]>> {
        let mut out = Vec::with_capacity(512);
        write_array_len(&mut out, 2)?;
        write_time(&mut out, time)?;
        write_map_len(&mut out, u32::try_from(self.0.len()).unwrap_or(u32::MAX))?;
        for (name, value) in &self.0 {
            write_str(&mut out, name)?;
            match value {
                Value::Text(text) => write_str(&mut out, text)?,
                Value::Signed(number) => drop(write_sint(&mut out, *number)?),
                Value::Unsigned(number) => drop(write_uint(&mut out, *number)?),
                Value::Float(number) => write_f64(&mut out, *number)?,
                Value::Bool(flag) => write_bool(&mut out, *flag)?,
            }
        }
        Ok(out.into_boxed_slice())
    }
}

/// Seconds and nanoseconds since 1970, four bytes each.
fn write_time(out: &mut Vec<u8>, time: SystemTime) -> io::Result<()> {
    let since: Duration = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    write_ext_meta(out, 8, EVENT_TIME)?;
    out.extend(u32::try_from(since.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(since.subsec_nanos().to_be_bytes());
    Ok(())
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), Value::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), Value::Unsigned(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Bounded(String::new());
        // It fails where the text is longer than it may be, which the text itself shows.
        let _ = write!(text, "{value:?}");
        self.set(field.name(), Value::Text(text.0));
    }
}

/// Text up to the longest, an ellipsis at its end where more was to come.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = LONGEST_TEXT.saturating_sub(self.0.len());
        if more.len() <= room {
            self.0.push_str(more);
            return Ok(());
        }
        self.0.push_str(&more[..more.floor_char_boundary(room)]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_these_bytes() {
        let mut fields = Fields::default();
        fields.set("level", Value::Text("INFO".into()));
        fields.set("n", Value::Signed(-2));
        fields.set("big", Value::Unsigned(300));
        fields.set("ok", Value::Bool(true));
        let time = UNIX_EPOCH + Duration::new(0x0102_0304, 5);
        // By hand, from the MessagePack and Forward specifications.
        let expected: &[u8] = &[
            0x92, 0xd7, 0x00, 1, 2, 3, 4, 0, 0, 0, 5,    // [ext 8 of type 0,
            0x84, // {4 pairs
            0xa5, b'l', b'e', b'v', b'e', b'l', 0xa4, b'I', b'N', b'F', b'O', //
            0xa1, b'n', 0xfe, //
            0xa3, b'b', b'i', b'g', 0xcd, 0x01, 0x2c, //
            0xa2, b'o', b'k', 0xc3,
        ];
        assert_eq!(&*fields.encode(time).unwrap(), expected);
    }

    #[test]
    fn what_is_said_further_in_replaces() {
        let mut fields = Fields::default();
        fields.set("service", Value::Text("artel".into()));
        let mut inner = Fields::default();
        inner.set("service", Value::Text("order".into()));
        fields.lay_over(&inner);
        assert_eq!(fields.get("service"), Some(&Value::Text("order".into())));
        assert_eq!(fields.0.len(), 1);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut text = Bounded("x".repeat(LONGEST_TEXT - 1));
        assert!(text.write_str("яя").is_err());
        assert!(text.0.ends_with("x…"));
    }
}
