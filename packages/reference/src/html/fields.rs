//! Fields as a tree that opens where a message holds others.

use std::fmt::Write as _;

use super::words::{escape, text};
use crate::model::Field;

/// More fields than this at once are many: those inside others stay folded.
const LONG: usize = 14;

/// A list of fields, nested ones folded into those that hold them.
pub fn list(fields: &[Field], places: bool) -> String {
    if fields.is_empty() {
        return "<p class=\"none\">Nothing.</p>\n".to_owned();
    }
    let mut html = String::new();
    level(&mut html, fields, places, fields.len() <= LONG);
    html
}

fn level(html: &mut String, fields: &[Field], places: bool, open: bool) {
    let Some(depth) = fields.first().map(|field| field.depth) else { return };
    html.push_str("<ul class=\"fields\">\n");
    let mut rest = fields;
    while let Some((field, after)) = rest.split_first() {
        let inside = after.iter().take_while(|nested| nested.depth > depth).count();
        let (inside, next) = after.split_at(inside);
        let _ = write!(html, "<li title=\"{}\">{}", escape(&field.path), head(field, places));
        if !inside.is_empty() {
            let count = inside.iter().filter(|nested| nested.depth == depth + 1).count();
            let fields = if count == 1 { "field" } else { "fields" };
            let open = if open { " open" } else { "" };
            let _ = writeln!(html, "<details{open}><summary>{count} {fields}</summary>");
            level(html, inside, false, !open.is_empty());
            html.push_str("</details>");
        }
        html.push_str("</li>\n");
        rest = next;
    }
    html.push_str("</ul>\n");
}

fn head(field: &Field, places: bool) -> String {
    let last = field.path.rsplit('.').next().unwrap_or_default();
    let mut html = format!("<p class=\"field\"><code>{}</code> <i>{}</i>", escape(last), escape(&field.kind));
    if field.required {
        html.push_str(" <em>required</em>");
    }
    if places && field.depth == 0 {
        let _ = write!(html, " <small>in the {}</small>", field.place.label());
    }
    for rule in &field.rules {
        let _ = write!(html, " <span class=\"rule\">{}</span>", escape(rule));
    }
    let _ = write!(html, "</p><p>{}</p>", text(&field.comment));
    html
}
