//! The pages of `docs/services/`.

use std::fmt::Write as _;

use crate::model::{Field, Method, Service};

const NOTICE: &str = "<!-- Written by `artel docs` from the contracts. Don't edit it: change those. -->";

/// The page that lists all services.
#[must_use]
pub fn index(services: &[Service]) -> String {
    let mut page = format!("# Services\n\n{NOTICE}\n\n| service | what it does | methods |\n|---|---|---|\n");
    for service in services {
        let names: Vec<_> = service.methods.iter().map(|method| method.name.as_str()).collect();
        let _ = writeln!(
            page,
            "| [`{0}`]({0}.md) | {1} | {2} |",
            service.name,
            cell(first_paragraph(&service.comment)),
            names.join(", ")
        );
    }
    page
}

/// The page of a service.
#[must_use]
pub fn service(service: &Service) -> String {
    let mut page = format!("# {}\n\n{NOTICE}\n\n{}\n\n", service.name, service.comment);
    let _ = writeln!(page, "gRPC service `{}`.\n", service.full_name);
    page.push_str("| method | REST | who | |\n|---|---|---|---|\n");
    for method in &service.methods {
        let _ = writeln!(
            page,
            "| [{0}](#{1}) | {2} | {3} | {4} |",
            method.name,
            method.name.to_lowercase(),
            paths(method).join("<br>"),
            method.access.label(),
            cell(first_sentence(&method.comment))
        );
    }
    for method in &service.methods {
        page.push('\n');
        page.push_str(&section(method));
    }
    page
}

fn section(method: &Method) -> String {
    let mut text = format!("## {}\n\n{}\n\n", method.name, method.comment);
    let mut facts: Vec<String> = paths(method);
    facts.push(method.access.label());
    if method.idempotent {
        facts.push("safe to repeat".to_owned());
    }
    if method.streams_in {
        facts.push("the request is a stream".to_owned());
    }
    if method.streams_out {
        facts.push("the answer is a stream".to_owned());
    }
    let _ = writeln!(text, "{}\n", facts.join(" · "));
    text.push_str(&table("Request", &method.request, !method.bindings.is_empty()));
    text.push_str(&table("Answer", &method.response, false));
    if !method.refusals.is_empty() {
        text.push_str("| HTTP | code | reason | when |\n|---|---|---|---|\n");
        for refusal in &method.refusals {
            let _ = writeln!(
                text,
                "| {} | {} | `{}` | {} |",
                refusal.status,
                refusal.code,
                refusal.reason,
                cell(&refusal.text)
            );
        }
        text.push('\n');
    }
    let call = method.curl.as_ref().unwrap_or(&method.grpcurl);
    if method.access.is_public() {
        let _ = writeln!(text, "```sh\n{call}\n```");
    }
    text
}

fn table(title: &str, fields: &[Field], places: bool) -> String {
    if fields.is_empty() {
        return format!("{title}: nothing.\n\n");
    }
    let mut text = format!("| {} | type | |\n|---|---|---|\n", title.to_lowercase());
    for field in fields {
        let mut notes = vec![field.comment.clone()];
        let mut facts = field.rules.clone();
        if field.required {
            facts.insert(0, "required".to_owned());
        }
        if places && field.depth == 0 {
            facts.push(format!("in the {}", field.place.label()));
        }
        if !facts.is_empty() {
            notes.push(format!("*{}*", facts.join(", ")));
        }
        let _ = writeln!(text, "| `{}` | {} | {} |", field.path, cell(&field.kind), cell(&notes.join(" ")));
    }
    text.push('\n');
    text
}

fn paths(method: &Method) -> Vec<String> {
    method.bindings.iter().map(|binding| format!("`{} {}`", binding.verb, binding.path)).collect()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn first_paragraph(text: &str) -> &str {
    text.split("\n\n").next().unwrap_or_default()
}

fn first_sentence(text: &str) -> &str {
    match text.find(". ") {
        Some(end) => &text[..=end],
        None => first_paragraph(text),
    }
}
