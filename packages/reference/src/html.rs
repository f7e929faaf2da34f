//! The page that browsers see: one file, nothing loaded from elsewhere.

use std::fmt::Write as _;

use crate::errors::is_public;
use crate::model::{Access, Field, Method, Service};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// More fields than this are many.
const LONG: usize = 12;
const GUIDE: &str = include_str!("guide.html");

/// The reference of everything that can be called from outside.
#[must_use]
pub fn page(services: &[Service]) -> String {
    let services: Vec<&Service> = services.iter().filter(|service| is_public(service)).collect();
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Artel API</title>\n<style>\n{STYLE}</style>\n\
         </head>\n<body>\n<a class=\"skip\" href=\"#content\">To the content</a>\n"
    );
    html.push_str(&navigation(&services));
    html.push_str("<main id=\"content\">\n");
    html.push_str(GUIDE);
    for service in services {
        let _ = write!(
            html,
            "<section class=\"service\" id=\"{0}\">\n<h2>{1} <a class=\"anchor\" href=\"#{0}\" \
             aria-label=\"Link to {1}\">#</a></h2>\n<p>{2}</p>\n<p class=\"name\"><code>{3}</code></p>\n",
            service.name,
            title(&service.name),
            text(&service.comment),
            escape(&service.full_name)
        );
        for method in public(service) {
            html.push_str(&article(service, method));
        }
        html.push_str("</section>\n");
    }
    let _ = write!(html, "</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n");
    html
}

fn public(service: &Service) -> impl Iterator<Item = &Method> {
    service.methods.iter().filter(|method| method.access.is_public())
}

fn navigation(services: &[&Service]) -> String {
    let mut html = "<nav>\n<header><a class=\"brand\" href=\"#top\">Artel <span>API</span></a>\
                    <button id=\"theme\" type=\"button\" aria-label=\"Light or dark\">◐</button></header>\n\
                    <input id=\"find\" type=\"search\" placeholder=\"Find a method  /\" aria-label=\"Find a method\">\n\
                    <ul><li><a class=\"group\" href=\"#top\">How to call</a></li></ul>\n"
        .to_owned();
    for service in services {
        let _ = write!(
            html,
            "<ul data-group>\n<li><a class=\"group\" href=\"#{}\">{}</a></li>\n",
            service.name,
            title(&service.name)
        );
        for method in public(service) {
            let path = method.bindings.first().map(|binding| binding.path.as_str()).unwrap_or_default();
            let _ = writeln!(
                html,
                "<li data-find=\"{}\"><a href=\"#{}\">{}<span>{}</span></a></li>",
                escape(&format!("{} {path}", words(&method.name)).to_lowercase()),
                anchor(service, method),
                verb(method),
                words(&method.name)
            );
        }
        html.push_str("</ul>\n");
    }
    html + "<p id=\"none\" hidden>No method like that.</p>\n</nav>\n"
}

fn article(service: &Service, method: &Method) -> String {
    let anchor = anchor(service, method);
    let mut html = format!(
        "<article id=\"{anchor}\">\n<h3>{} <a class=\"anchor\" href=\"#{anchor}\" aria-label=\"Link to {}\">#</a></h3>\n",
        words(&method.name),
        method.name
    );
    for binding in &method.bindings {
        let _ = writeln!(
            html,
            "<p class=\"path\"><b class=\"verb {0}\">{0}</b><code>{1}</code></p>",
            binding.verb,
            variables(&binding.path)
        );
    }
    html.push_str("<p class=\"facts\">");
    html.push_str(&access(&method.access));
    if method.idempotent {
        html.push_str("<span class=\"tag\" title=\"The same request twice has the effect of one\">safe to repeat</span>");
    }
    if method.streams_in || method.streams_out {
        html.push_str("<span class=\"tag\" title=\"Any length, in constant memory\">stream</span>");
    }
    let _ = write!(
        html,
        "<code class=\"grpc\">{}/{}</code></p>\n{}\n",
        escape(&service.full_name),
        method.name,
        paragraphs(&method.comment)
    );
    html.push_str("<div class=\"columns\"><div>\n");
    html.push_str(&request(method));
    html.push_str(&answer(method));
    html.push_str(&refusals(method));
    html.push_str("</div>\n<div class=\"examples\">\n");
    if let Some(curl) = &method.curl {
        html.push_str(&code("curl", curl));
    }
    html.push_str(&code("grpcurl", &method.grpcurl));
    html.push_str("</div></div>\n</article>\n");
    html
}

fn request(method: &Method) -> String {
    format!("<h4>Request</h4>\n{}", fields(&method.request, true))
}

/// A long answer is folded: who calls looks for what to send first.
fn answer(method: &Method) -> String {
    let open = if method.response.len() <= LONG { " open" } else { "" };
    format!("<details{open}><summary>Answer</summary>\n{}</details>\n", fields(&method.response, false))
}

fn fields(fields: &[Field], places: bool) -> String {
    if fields.is_empty() {
        return "<p class=\"none\">Nothing.</p>\n".to_owned();
    }
    let mut html = "<dl class=\"fields\">\n".to_owned();
    for field in fields {
        let last = field.path.rsplit('.').next().unwrap_or_default();
        let _ = write!(
            html,
            "<div style=\"--depth:{}\" title=\"{}\"><dt><code>{}</code> <i>{}</i>",
            field.depth,
            escape(&field.path),
            escape(last),
            escape(&field.kind)
        );
        if field.required {
            html.push_str(" <em>required</em>");
        }
        if places && field.depth == 0 {
            let _ = write!(html, " <small>{}</small>", field.place.label());
        }
        let _ = write!(html, "</dt><dd>{}", text(&field.comment));
        if !field.rules.is_empty() {
            let _ = write!(html, " <span class=\"rule\">{}</span>", escape(&field.rules.join(", ")));
        }
        html.push_str("</dd></div>\n");
    }
    html + "</dl>\n"
}

fn refusals(method: &Method) -> String {
    if method.refusals.is_empty() {
        return String::new();
    }
    let mut html = "<h4>Refusals</h4>\n<table>\n".to_owned();
    for refusal in &method.refusals {
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td><code>{}</code><br><small>{}</small></td><td>{}</td></tr>",
            refusal.status,
            refusal.reason,
            refusal.code,
            text(&refusal.text)
        );
    }
    html + "</table>\n"
}

fn code(title: &str, content: &str) -> String {
    format!(
        "<figure><figcaption>{title}<button type=\"button\" class=\"copy\">Copy</button></figcaption>\
         <pre><code>{}</code></pre></figure>\n",
        escape(content)
    )
}

fn access(access: &Access) -> String {
    let (class, hint) = match access {
        Access::Public => ("open", "Needs no access token"),
        Access::SignedIn => ("signed", "Needs an access token"),
        Access::Role(_) => ("role", "Needs an access token with this role"),
        Access::Internal => ("closed", "Cannot be called from outside"),
    };
    format!("<span class=\"tag {class}\" title=\"{hint}\">{}</span>", escape(&access.label()))
}

fn verb(method: &Method) -> String {
    let verb = method.bindings.first().map_or("gRPC", |binding| binding.verb.as_str());
    let short = if verb == "DELETE" { "DEL" } else { verb };
    format!("<b class=\"verb {verb}\">{short}</b>")
}

/// `/orders/{id}` with its variables marked.
fn variables(path: &str) -> String {
    escape(path).replace('{', "<var>{").replace('}', "}</var>")
}

fn anchor(service: &Service, method: &Method) -> String {
    format!("{}-{}", service.name, method.name)
}

/// `ListProducts` as people say it: `List products`.
fn words(name: &str) -> String {
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

fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}

fn paragraphs(comment: &str) -> String {
    comment.split("\n\n").map(|paragraph| format!("<p>{}</p>", text(paragraph))).collect()
}

/// Text with `code` in it.
fn text(comment: &str) -> String {
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

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
