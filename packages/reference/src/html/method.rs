//! A method: where it is, what goes in and comes out, what it refuses, and how it is called.

use std::fmt::Write as _;

use super::fields;
use super::words::{escape, paragraphs, spoken, text};
use crate::errors::COMMON;
use crate::model::{Access, Method, Service};

/// More fields than this are many: who calls looks for what to send first.
const LONG: usize = 12;

/// The method's place on the page.
pub fn anchor(service: &Service, method: &Method) -> String {
    format!("{}-{}", service.name, method.name)
}

/// Its HTTP method as a mark.
pub fn verb(method: &Method) -> String {
    let verb = method.bindings.first().map_or("gRPC", |binding| binding.verb.as_str());
    let short = if verb == "DELETE" { "DEL" } else { verb };
    format!("<b class=\"verb {verb}\">{short}</b>")
}

/// All of it.
pub fn article(service: &Service, method: &Method) -> String {
    let anchor = anchor(service, method);
    let mut html = format!(
        "<article id=\"{anchor}\">\n<h3>{} <a class=\"anchor\" href=\"#{anchor}\" aria-label=\"Link to {}\">#</a></h3>\n",
        spoken(&method.name),
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
    if method.deprecated {
        html.push_str("<span class=\"tag old\" title=\"Works, and will not forever\">deprecated</span>");
    }
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
    let _ = write!(html, "<h4>Request</h4>\n{}", fields::list(&method.request, true));
    let open = if method.response.len() <= LONG { " open" } else { "" };
    let _ = write!(
        html,
        "<details class=\"answer\"{open}><summary>Answer</summary>\n{}</details>\n",
        fields::list(&method.response, false)
    );
    html.push_str(&refusals(method));
    html.push_str("</div>\n<div class=\"examples\">\n");
    html.push_str(&snippets(&anchor, method));
    html.push_str("</div></div>\n</article>\n");
    html
}

fn refusals(method: &Method) -> String {
    let mut html = "<h4>Refusals</h4>\n".to_owned();
    if !method.refusals.is_empty() {
        html.push_str("<div class=\"wide\"><table>\n");
        for refusal in &method.refusals {
            let common = COMMON.iter().find(|common| common.reason == refusal.reason);
            let fix = common.map(|common| format!(" <b class=\"fix\">{}</b>", text(common.fix)));
            let _ = writeln!(
                html,
                "<tr><td>{}</td><td><code>{}</code><br><small>{}</small></td><td>{}{}</td></tr>",
                refusal.status,
                refusal.reason,
                refusal.code,
                text(&refusal.text),
                fix.unwrap_or_default()
            );
        }
        html.push_str("</table></div>\n");
    }
    html + "<p class=\"also\"><a href=\"#errors\">What any method may refuse with</a></p>\n"
}

/// The same call in several languages. Without the page's script they stand one below the other.
fn snippets(anchor: &str, method: &Method) -> String {
    let snippets = [
        ("curl", "curl", method.curl.as_ref()),
        ("js", "JavaScript", method.javascript.as_ref()),
        ("grpc", "grpcurl", Some(&method.grpcurl)),
    ];
    let mut html = format!("<div class=\"snippets\" data-method=\"{anchor}\">\n");
    for (key, title, code) in snippets {
        if let Some(code) = code {
            let _ = writeln!(
                html,
                "<figure data-tab=\"{key}\"><figcaption>{title}</figcaption><pre tabindex=\"0\"><code>{}</code></pre></figure>",
                escape(code)
            );
        }
    }
    html + "</div>\n"
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

/// `/orders/{id}` with its variables marked.
fn variables(path: &str) -> String {
    escape(path).replace('{', "<var>{").replace('}', "}</var>")
}
