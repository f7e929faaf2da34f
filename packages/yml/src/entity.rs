//! References: the five predefined entities, character references and the names of HTML. Nothing
//! that a feed declares itself is ever expanded.

use std::borrow::Cow;

use quick_xml::escape::resolve_html5_entity;

/// What stood between `&` and `;`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    Text(&'static str),
    Char(char),
    /// Not the shape of a reference ("Tom & Jerry; 12"): an ampersand that nobody escaped.
    Literal,
    /// The shape of a reference, but to nothing we know.
    Unknown,
}

pub(crate) fn resolve(name: &str) -> Reference {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return match code.ok().and_then(char::from_u32) {
            Some(char) if is_xml_char(char) => Reference::Char(char),
            _ => Reference::Unknown,
        };
    }
    if name.is_empty() || name.len() > 32 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Reference::Literal;
    }
    resolve_html5_entity(name).map_or(Reference::Unknown, Reference::Text)
}

/// Resolves the references in an attribute's value. A lone ampersand stands for itself.
///
/// # Errors
/// The name of the first reference that is to nothing we know.
pub(crate) fn unescape(raw: &str) -> Result<Cow<'_, str>, String> {
    let Some(first) = raw.find('&') else { return Ok(Cow::Borrowed(raw)) };
    let mut out = String::with_capacity(raw.len());
    out.push_str(&raw[..first]);
    let mut rest = &raw[first..];
    while let Some(after) = rest.strip_prefix('&') {
        let end = after.bytes().take(40).position(|byte| matches!(byte, b';' | b'&'));
        let name = end.filter(|end| after.as_bytes()[*end] == b';').map(|end| &after[..end]);
        let resolved = name.map_or(Reference::Literal, resolve);
        let skipped = match (resolved, name) {
            (Reference::Text(text), Some(name)) => {
                out.push_str(text);
                name.len() + 1
            }
            (Reference::Char(char), Some(name)) => {
                out.push(char);
                name.len() + 1
            }
            (Reference::Unknown, Some(name)) => return Err(name.to_owned()),
            _ => {
                out.push('&');
                0
            }
        };
        rest = &after[skipped..];
        let next = rest.find('&').unwrap_or(rest.len());
        out.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Ok(Cow::Owned(out))
}

/// What XML 1.0 allows in a document.
pub(crate) fn is_xml_char(char: char) -> bool {
    matches!(char, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_references() {
        assert_eq!(resolve("amp"), Reference::Text("&"));
        assert_eq!(resolve("laquo"), Reference::Text("«"));
        assert_eq!(resolve("#8470"), Reference::Char('№'));
        assert_eq!(resolve("#x2116"), Reference::Char('№'));
    }

    #[test]
    fn unknown_and_illegal_references() {
        for name in ["lol9", "xxe", "#0", "#8", "#xD800", "#x110000", "#99999999999", "#", "#x"] {
            assert_eq!(resolve(name), Reference::Unknown, "{name}");
        }
        for name in ["", " Jerry", "b=2", "имя"] {
            assert_eq!(resolve(name), Reference::Literal, "{name}");
        }
    }

    #[test]
    fn attributes() {
        assert_eq!(unescape("plain").unwrap(), "plain");
        assert_eq!(unescape("a &amp; b &lt;&#65;&nbsp;").unwrap(), "a & b <A\u{a0}");
        assert_eq!(unescape("?a=1&b=2&c=3").unwrap(), "?a=1&b=2&c=3");
        assert_eq!(unescape("Tom & Jerry; &").unwrap(), "Tom & Jerry; &");
        assert_eq!(unescape("ы&яблоко;").unwrap(), "ы&яблоко;");
        assert_eq!(unescape("a&lol9;b").unwrap_err(), "lol9");
        // resolved once, never again
        assert_eq!(unescape("&amp;lt;").unwrap(), "&lt;");
    }
}
