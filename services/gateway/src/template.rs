//! Paths as `google.api.http` writes them, `/api/v1/orders/{id}:cancel`, and as Envoy matches them.

/// A path with places for variables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Template {
    segments: Vec<Segment>,
    verb: Option<String>,
}

/// A piece between slashes. The order is the order of routes: what is fixed comes before what is free.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    One,
    Rest,
}

/// A template that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{template:?} is not a path template: {problem}")]
pub struct TemplateError {
    template: String,
    problem: &'static str,
}

/// What Envoy compares a path with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// The path, letter by letter.
    Exact(String),
    /// An RE2 expression for the whole path.
    Regex(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Where it has no slash in front, an empty segment, or a brace that is not closed.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let wrong = |problem| TemplateError { template: text.to_owned(), problem };
        let path = text.strip_prefix('/').ok_or_else(|| wrong("it does not start with a slash"))?;
        let (path, verb) = match path.rsplit_once(':') {
            Some((path, verb)) if !verb.contains(['/', '}']) => (path, Some(verb.to_owned())),
            _ => (path, None),
        };
        if verb.as_deref() == Some("") {
            return Err(wrong("nothing stands after the colon"));
        }
        let mut segments = Vec::new();
        let mut rest = path;
        while !rest.is_empty() || segments.is_empty() {
            let end = if rest.starts_with('{') {
                1 + rest.find('}').ok_or_else(|| wrong("a brace is not closed"))?
            } else {
                rest.find('/').unwrap_or(rest.len())
            };
            let (segment, after) = rest.split_at(end);
            match segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
                // `{name=shelves/*}`: what stands behind the sign is a path of its own.
                Some(variable) => match variable.split_once('=') {
                    Some((_, pattern)) => segments.extend(pattern.split('/').map(Segment::read)),
                    None => segments.push(Segment::One),
                },
                None => segments.push(Segment::read(segment)),
            }
            rest = match after.strip_prefix('/') {
                Some("") => return Err(wrong("it ends with a slash")),
                Some(rest) => rest,
                None if after.is_empty() => after,
                None => return Err(wrong("a variable fills a whole segment")),
            };
        }
        if segments.iter().any(|segment| *segment == Segment::Literal(String::new())) {
            return Err(wrong("a segment is empty"));
        }
        Ok(Self { segments, verb })
    }

    /// How Envoy recognises the path.
    #[must_use]
    pub fn path_match(&self) -> PathMatch {
        let fixed = self.segments.iter().all(|segment| matches!(segment, Segment::Literal(_)));
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            match segment {
                Segment::Literal(text) if fixed => path.push_str(text),
                Segment::Literal(text) => path.push_str(&escape(text)),
                Segment::One => path.push_str("[^/]+"),
                Segment::Rest => path.push_str(".+"),
            }
        }
        if let Some(verb) = &self.verb {
            path.push(':');
            path.push_str(&if fixed { verb.clone() } else { escape(verb) });
        }
        if fixed { PathMatch::Exact(path) } else { PathMatch::Regex(path) }
    }

    /// Where the template stands among all: fixed paths first, then those with more fixed in front, and a verb before
    /// the same path without one.
    #[must_use]
    pub fn rank(&self) -> impl Ord + '_ {
        let free = self.segments.iter().filter(|segment| !matches!(segment, Segment::Literal(_))).count();
        (free > 0, &self.segments, self.verb.is_none(), &self.verb)
    }
}

impl Segment {
    fn read(text: &str) -> Self {
        match text {
            "*" => Self::One,
            "**" => Self::Rest,
            text => Self::Literal(text.to_owned()),
        }
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_alphanumeric() && c != '-' && c != '_' {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(template: &str) -> PathMatch {
        Template::parse(template).unwrap().path_match()
    }

    #[test]
    fn templates_become_matches() {
        let exact = |path: &str| PathMatch::Exact(path.to_owned());
        let regex = |path: &str| PathMatch::Regex(path.to_owned());
        assert_eq!(read("/api/v1/orders"), exact("/api/v1/orders"));
        assert_eq!(read("/.well-known/jwks.json"), exact("/.well-known/jwks.json"));
        assert_eq!(read("/api/v1/feeds:import"), exact("/api/v1/feeds:import"));
        assert_eq!(read("/api/v1/orders/{id}"), regex("/api/v1/orders/[^/]+"));
        assert_eq!(read("/api/v1/products/{product.id}"), regex("/api/v1/products/[^/]+"));
        assert_eq!(read("/api/v1/orders/{id}:cancel"), regex("/api/v1/orders/[^/]+:cancel"));
        assert_eq!(read("/v1/{name=shops/*}/x.y"), regex("/v1/shops/[^/]+/x\\.y"));
        assert_eq!(read("/files/{path=**}"), regex("/files/.+"));
    }

    #[test]
    fn what_is_not_a_template_is_refused() {
        for bad in ["", "api", "/", "/a//b", "/a/", "/a/{id", "/a/{id}b", "/a:"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn fixed_paths_stand_before_free_ones_and_verbs_before_none() {
        let mut templates = [
            "/api/v1/notifications/{id}",
            "/api/v1/{anything}/preferences",
            "/api/v1/notifications/{id}:read",
            "/api/v1/notifications/preferences",
        ]
        .map(|template| Template::parse(template).unwrap());
        templates.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let order: Vec<_> = templates.iter().map(Template::path_match).collect();
        assert_eq!(order[0], PathMatch::Exact("/api/v1/notifications/preferences".to_owned()));
        assert_eq!(order[1], PathMatch::Regex("/api/v1/notifications/[^/]+:read".to_owned()));
        assert_eq!(order[2], PathMatch::Regex("/api/v1/notifications/[^/]+".to_owned()));
    }
}
