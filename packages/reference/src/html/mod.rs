//! The page that browsers see: one file, nothing loaded from elsewhere, and of use without its script.

mod fields;
mod method;
mod tryout;
mod words;

use std::fmt::Write as _;

use crate::errors::{COMMON, is_public};
use crate::model::{Method, Service};
use crate::schema::title;
use words::{escape, spoken, text};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const GUIDE: &str = include_str!("guide.html");
const FRAME: &str = include_str!("frame.html");

/// The reference as a page.
#[derive(Debug, Clone)]
pub struct Page {
    /// All of it.
    pub html: String,
    /// What stands in its `<style>`, for the policy that allows this and nothing else.
    pub style: &'static str,
    /// What stands in its `<script>`.
    pub script: &'static str,
}

/// The reference of everything that can be called from outside.
#[must_use]
pub fn page(services: &[Service]) -> Page {
    let services: Vec<&Service> = services.iter().filter(|service| is_public(service)).collect();
    let mut content = GUIDE.replace("{{errors}}", &errors());
    for service in &services {
        content.push_str(&section(service));
    }
    let html = [
        ("{{style}}", STYLE),
        ("{{navigation}}", &navigation(&services)),
        ("{{content}}", &content),
        ("{{data}}", &tryout::data(&services)),
        // Last, so that nothing in it is taken for a place to fill.
        ("{{script}}", SCRIPT),
    ]
    .into_iter()
    .fold(FRAME.to_owned(), |html, (place, text)| html.replacen(place, text, 1));
    Page { html, style: STYLE, script: SCRIPT }
}

fn public(service: &Service) -> impl Iterator<Item = &Method> {
    service.methods.iter().filter(|method| method.access.is_public())
}

fn section(service: &Service) -> String {
    let mut html = format!(
        "<section class=\"service\" id=\"{0}\">\n<h2>{1} <a class=\"anchor\" href=\"#{0}\" \
         aria-label=\"Link to {1}\">#</a></h2>\n<p>{2}</p>\n<p class=\"name\"><code>{3}</code></p>\n",
        service.name,
        title(&service.name),
        text(&service.comment),
        escape(&service.full_name)
    );
    for method in public(service) {
        html.push_str(&method::article(service, method));
    }
    html + "</section>\n"
}

fn navigation(services: &[&Service]) -> String {
    let mut html = String::new();
    for service in services {
        let _ = write!(
            html,
            "<ul data-group>\n<li><a class=\"group\" href=\"#{}\">{}</a></li>\n",
            service.name,
            title(&service.name)
        );
        for method in public(service) {
            let _ = writeln!(
                html,
                "<li data-find=\"{}\"><a href=\"#{}\">{}<span>{}</span></a></li>",
                escape(&findable(service, method)),
                method::anchor(service, method),
                method::verb(method),
                spoken(&method.name)
            );
        }
        html.push_str("</ul>\n");
    }
    html
}

/// What a method is found by: its name and paths, its fields, its refusals.
fn findable(service: &Service, method: &Method) -> String {
    let mut words = vec![service.name.clone(), spoken(&method.name), method.name.clone()];
    words.extend(method.bindings.iter().map(|binding| format!("{} {}", binding.verb, binding.path)));
    words.extend(method.request.iter().chain(&method.response).map(|field| field.path.clone()));
    words.extend(method.refusals.iter().map(|refusal| refusal.reason.clone()));
    words.join(" ").to_lowercase()
}

/// What any method may refuse with, and what to do.
fn errors() -> String {
    let mut common = COMMON;
    common.sort_by_key(|common| common.status);
    common.iter().fold(String::new(), |mut html, common| {
        let _ = writeln!(
            html,
            "<tr id=\"error-{2}\"><td>{0}</td><td><code>{2}</code><br><small>{1}</small></td><td>{3} <b class=\"fix\">{4}</b></td></tr>",
            common.status,
            common.code,
            common.reason,
            text(common.when),
            text(common.fix)
        );
        html
    })
}
