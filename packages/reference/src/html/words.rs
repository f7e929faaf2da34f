//! Words for a page.

use std::fmt::Write as _;

/// `ListProducts` as people say it: `List products`.
pub fn spoken(name: &str) -> String {
    let mut words = String::new();
    for (index, c) in name.chars().enumerate() {
        if index > 0 && c.is_uppercase() {
            words.push(' ');
            words.extend(c.to_lowercase());
        } else {
            words.push(c);
        }
    }
    words
}

pub fn paragraphs(comment: &str) -> String {
    comment.split("\n\n").map(|paragraph| format!("<p>{}</p>", text(paragraph))).collect()
}

/// Text with `code` in it.
pub fn text(comment: &str) -> String {
    let mut html = String::new();
    for (index, part) in comment.split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(html, "<code>{}</code>", escape(part));
        } else {
            html.push_str(&escape(part));
        }
    }
    html
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
