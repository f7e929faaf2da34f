//! Text as people read it: one line for names, paragraphs for descriptions, and never markup.

use crate::entity::{self, Reference};

/// How far the end of an HTML tag is looked for; beyond it the `<` is just a character.
const TAG_WINDOW: usize = 2048;

/// Elements whose content isn't text.
const DROPPED: [&str; 9] =
    ["script", "style", "head", "title", "iframe", "object", "noscript", "template", "svg"];

/// One line: runs of white space become one space, what can't be seen is left out.
pub(crate) fn line(text: &str) -> String {
    let mut out = Flow::new(text.len());
    for char in text.chars() {
        out.push(char, false);
    }
    out.text
}

/// Lines and paragraphs of a text that has no markup: trimmed, at most one empty line between.
pub(crate) fn paragraphs(text: &str) -> String {
    let mut out = Flow::new(text.len());
    for char in text.chars() {
        out.push(char, true);
    }
    out.text
}

/// The text of an HTML fragment: paragraphs, line breaks and list bullets are kept; tags, comments,
/// scripts and styles are not. The result is plain text, which may well hold `<` (from `&lt;`):
/// whoever shows it in a page escapes it.
pub(crate) fn plain(html: &str) -> String {
    let mut out = Flow::new(html.len());
    // A plain text keeps its own line breaks; to HTML they are just white space.
    let own_lines = !has_blocks(html);
    let mut rest = html;
    while let Some(at) = memchr::memchr2(b'<', b'&', rest.as_bytes()) {
        rest[..at].chars().for_each(|char| out.push(char, own_lines));
        rest = &rest[at..];
        rest = if rest.starts_with('&') { reference(rest, &mut out) } else { markup(rest, &mut out) };
    }
    rest.chars().for_each(|char| out.push(char, own_lines));
    out.text
}

/// A plain text as an HTML fragment from which `plain` gives back the same text.
pub(crate) fn to_html(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let body = escaped.replace("\n\n", "</p><p>").replace('\n', "<br/>");
    format!("<p>{body}</p>")
}

/// `rest` begins with `&`; returns what follows the reference.
fn reference<'a>(rest: &'a str, out: &mut Flow) -> &'a str {
    let end = rest.bytes().take(40).position(|byte| byte == b';');
    if let Some(end) = end {
        match entity::resolve(&rest[1..end]) {
            Reference::Text(text) => text.chars().for_each(|char| out.push(char, false)),
            Reference::Char(char) => out.push(char, false),
            Reference::Literal | Reference::Unknown => {
                out.push('&', false);
                return &rest[1..];
            }
        }
        return &rest[end + 1..];
    }
    out.push('&', false);
    &rest[1..]
}

/// `rest` begins with `<`; returns what follows the tag or comment.
fn markup<'a>(rest: &'a str, out: &mut Flow) -> &'a str {
    if let Some(comment) = rest.strip_prefix("<!--") {
        return comment.split_once("-->").map_or("", |(_, after)| after);
    }
    let Some((tag, after)) = tag(rest) else {
        out.push('<', false);
        return &rest[1..];
    };
    let closing = tag.starts_with('/');
    let name = tag.trim_start_matches('/');
    let name = &name[..name.bytes().take_while(u8::is_ascii_alphanumeric).count()];
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "br" => out.line_break(),
        "p" | "ul" | "ol" | "dl" | "table" | "blockquote" | "pre" | "h1" | "h2" | "h3" | "h4" | "h5"
        | "h6" => {
            out.wait(Gap::Paragraph);
        }
        "div" | "tr" | "dt" | "dd" | "section" | "article" | "header" | "footer" | "hr" => {
            out.wait(Gap::Line)
        }
        "li" if closing => out.wait(Gap::Line),
        "li" => {
            out.wait(Gap::Line);
            out.push('•', false);
            out.wait(Gap::Space);
        }
        "td" | "th" => out.wait(Gap::Space),
        name if !closing && !tag.ends_with('/') && DROPPED.contains(&name) => return past_end(after, name),
        _ => {}
    }
    after
}

/// Splits a tag from what follows it, without its `<` and `>`; quotes may hide a `>`.
fn tag(rest: &str) -> Option<(&str, &str)> {
    let bytes = rest.as_bytes();
    match (bytes.get(1)?, bytes.get(2)) {
        (b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'?', _) | (b'/', Some(b'a'..=b'z' | b'A'..=b'Z')) => {}
        _ => return None,
    }
    let window = &bytes[..bytes.len().min(TAG_WINDOW)];
    let mut quote = None;
    let quoted = window.iter().position(|byte| match (quote, byte) {
        (None, b'"' | b'\'') => {
            quote = Some(*byte);
            false
        }
        (Some(open), close) if open == *close => {
            quote = None;
            false
        }
        (None, b'>') => true,
        _ => false,
    });
    let end = quoted.or_else(|| memchr::memchr(b'>', window))?;
    Some((&rest[1..end], &rest[end + 1..]))
}

/// What follows `</name>`; nothing if it never comes.
fn past_end<'a>(rest: &'a str, name: &str) -> &'a str {
    for (at, _) in rest.match_indices("</") {
        let after = &rest[at + 2..];
        let head = after.as_bytes().get(..name.len());
        if head.is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes())) {
            return after.split_once('>').map_or("", |(_, after)| after);
        }
    }
    ""
}

fn has_blocks(html: &str) -> bool {
    const BLOCKS: [&str; 10] = ["br", "p", "div", "ul", "ol", "li", "table", "tr", "h", "dl"];
    html.match_indices('<').any(|(at, _)| {
        let name = html[at + 1..].trim_start_matches('/').as_bytes();
        let name = &name[..name.iter().take(12).take_while(|byte| byte.is_ascii_alphabetic()).count()];
        let name = if name.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'h')) {
            &name[..1]
        } else {
            name
        };
        BLOCKS.iter().any(|block| block.as_bytes().eq_ignore_ascii_case(name))
    })
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Space,
    Line,
    Paragraph,
}

/// Text that collapses the gaps between its words.
struct Flow {
    text: String,
    gap: Gap,
}

impl Flow {
    fn new(capacity: usize) -> Self {
        Self { text: String::with_capacity(capacity), gap: Gap::None }
    }

    fn wait(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    fn line_break(&mut self) {
        self.gap = if self.gap >= Gap::Line { Gap::Paragraph } else { Gap::Line };
    }

    fn push(&mut self, char: char, lines: bool) {
        match char {
            '\n' if lines => self.line_break(),
            _ if char.is_whitespace() => self.wait(Gap::Space),
            _ if is_invisible(char) => {}
            _ => {
                if !self.text.is_empty() {
                    match self.gap {
                        Gap::None => {}
                        Gap::Space => self.text.push(' '),
                        Gap::Line => self.text.push('\n'),
                        Gap::Paragraph => self.text.push_str("\n\n"),
                    }
                }
                self.gap = Gap::None;
                self.text.push(char);
            }
        }
    }
}

/// Characters that show nothing and only deceive: controls, zero widths, soft hyphens, direction marks.
fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_line() {
        assert_eq!(line("  Чайник\n\t «Заря»\u{a0}2\u{0}\u{200b} "), "Чайник «Заря» 2");
    }

    #[test]
    fn own_lines_of_a_plain_text_stay() {
        assert_eq!(plain("Первая\r\nВторая\n\n\n\nТретья  "), "Первая\nВторая\n\nТретья");
        assert_eq!(plain("a <b>bold</b>\nline"), "a bold\nline");
    }

    #[test]
    fn blocks_become_lines() {
        let html =
            "<p>Мощный&nbsp;чайник.</p>\n<p>Объём\n1,7&nbsp;л<br>Шнур</p><ul><li>раз</li>\n<li>два</li></ul>";
        assert_eq!(plain(html), "Мощный чайник.\n\nОбъём 1,7 л\nШнур\n\n• раз\n• два");
        assert_eq!(plain("a<br/><br/><br/>b"), "a\n\nb");
        assert_eq!(plain("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>"), "a b\nc");
    }

    #[test]
    fn scripts_styles_and_comments_go() {
        assert_eq!(plain("a<script>alert('</p>')</script >b"), "ab");
        assert_eq!(plain("a<STYLE type=x>p{}</Style>b"), "ab");
        assert_eq!(plain("a<script>never closed"), "a");
        assert_eq!(plain("a<!-- x > y -->b<!-- never"), "ab");
        assert_eq!(plain("<a href=\"x>y\" onclick='evil()'>текст</a>"), "текст");
        assert_eq!(plain("<img src=x onerror=alert(1)>"), "");
    }

    #[test]
    fn what_only_looks_like_markup_stays() {
        assert_eq!(plain("5 < 6 & 7 > 3 &lt;b&gt; &unknown; <"), "5 < 6 & 7 > 3 <b> &unknown; <");
        assert_eq!(plain("<3 всем & каждому"), "<3 всем & каждому");
        assert_eq!(plain("a <unclosed"), "a <unclosed");
    }

    #[test]
    fn hostile_markup_takes_linear_time() {
        let began = Instant::now();
        for piece in ["<a", "<a '\">", "<script></", "&a", "<!--", "<a \"", "</script"] {
            plain(&piece.repeat((256 << 10) / piece.len()));
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn html_of_a_text_is_the_text_again(text in "[\\PC\n<>&;a-z ]{0,200}") {
            let text = paragraphs(&text);
            prop_assert_eq!(plain(&to_html(&text)), text);
        }

        #[test]
        fn any_markup_is_read_without_panic(html in "(<[a-z/!-]{0,6}|[\\PC\n<>&;\"'/ ]){0,80}") {
            let text = plain(&html);
            prop_assert_eq!(paragraphs(&text), text);
        }
    }
}
