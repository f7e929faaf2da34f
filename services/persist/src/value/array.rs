//! PostgreSQL's arrays: built cell by cell for parameters, taken apart in rows.

use super::Kind;

/// An array of one dimension in the making.
#[derive(Debug)]
pub(crate) struct Array {
    kind: Kind,
    count: i32,
    has_null: bool,
    cells: Vec<u8>,
}

impl Array {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, count: 0, has_null: false, cells: Vec::new() }
    }

    /// Adds a cell.
    pub(crate) fn push(&mut self, cell: Option<&[u8]>) {
        self.count += 1;
        match cell {
            Some(bytes) => {
                self.cells.extend_from_slice(&i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes());
                self.cells.extend_from_slice(bytes);
            }
            None => {
                self.has_null = true;
                self.cells.extend_from_slice(&(-1_i32).to_be_bytes());
            }
        }
    }

    pub(crate) fn finish(self) -> (Kind, Vec<u8>) {
        let mut bytes = Vec::with_capacity(20 + self.cells.len());
        bytes.extend_from_slice(&i32::from(self.count > 0).to_be_bytes());
        bytes.extend_from_slice(&i32::from(self.has_null).to_be_bytes());
        bytes.extend_from_slice(&self.kind.oid().to_be_bytes());
        if self.count > 0 {
            bytes.extend_from_slice(&self.count.to_be_bytes());
            bytes.extend_from_slice(&1_i32.to_be_bytes());
            bytes.extend_from_slice(&self.cells);
        }
        (self.kind, bytes)
    }
}

impl<'a> FromIterator<(Kind, Option<&'a [u8]>)> for Array {
    fn from_iter<I: IntoIterator<Item = (Kind, Option<&'a [u8]>)>>(cells: I) -> Self {
        let mut cells = cells.into_iter().peekable();
        let mut array = Self::new(cells.peek().map_or(Kind::Text, |(kind, _)| *kind));
        cells.for_each(|(_, cell)| array.push(cell));
        array
    }
}

/// The items of an array of one dimension, NULLs left out; `None` where the bytes are no such array.
pub(crate) fn array_items(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let number = |at: usize| Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if number(0)? == 0 {
        return Some(Vec::new());
    }
    let count = usize::try_from(number(12)?).ok()?;
    let mut items = Vec::with_capacity(count.min(bytes.len() / 4));
    let mut at = 20;
    for _ in 0..count {
        let length = number(at)?;
        at += 4;
        if let Ok(length) = usize::try_from(length) {
            items.push(bytes.get(at..at + length)?);
            at += length;
        }
    }
    Some(items)
}

/// Items as PostgreSQL's text form of an array: what a set of rows carries, since an array of arrays cannot be taken
/// apart row by row.
pub(crate) fn array_literal<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let mut literal = String::from("{");
    for (index, item) in items.enumerate() {
        if index > 0 {
            literal.push(',');
        }
        literal.push('"');
        for character in item.chars() {
            if matches!(character, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(character);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

/// The items of PostgreSQL's text form of an array of one dimension; `None` for NULL.
pub(crate) fn literal_items(literal: &str) -> Vec<Option<String>> {
    let inside = literal.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    let mut items = Vec::new();
    let (mut item, mut quoted, mut was_quoted) = (String::new(), false, false);
    let mut characters = inside.chars();
    let mut end = |item: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(item);
        let is_null = !std::mem::take(was_quoted) && text == "NULL";
        items.push((!is_null).then_some(text));
    };
    while let Some(character) = characters.next() {
        match character {
            '\\' => item.extend(characters.next()),
            '"' => (quoted, was_quoted) = (!quoted, true),
            ',' if !quoted => end(&mut item, &mut was_quoted),
            other => item.push(other),
        }
    }
    if !inside.is_empty() {
        end(&mut item, &mut was_quoted);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_taken_apart() {
        let mut array = Array::new(Kind::Text);
        array.push(Some(b"one"));
        array.push(None);
        array.push(Some(b""));
        let (_, bytes) = array.finish();
        assert_eq!(array_items(&bytes).unwrap(), [b"one".as_slice(), b""]);
        assert_eq!(array_items(&Array::new(Kind::Text).finish().1).unwrap(), Vec::<&[u8]>::new());
    }

    #[test]
    fn a_literal_quotes() {
        assert_eq!(array_literal([r#"a"b"#, r"c\d", ""].into_iter()), r#"{"a\"b","c\\d",""}"#);
        assert_eq!(array_literal(std::iter::empty()), "{}");
        let items = [r#"a"b"#, r"c\d", "", "NULL", "x, {y}"];
        let back = literal_items(&array_literal(items.into_iter()));
        assert_eq!(back, items.map(|item| Some(item.to_owned())));
        assert_eq!(literal_items(r"{a b,NULL}"), [Some("a b".to_owned()), None]);
        assert_eq!(literal_items("{}"), []);
    }
}
