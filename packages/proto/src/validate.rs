//! The checks that a request runs on itself before a handler sees it. The build script writes one `Validate` a message
//! from its field rules.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// Longest string where no rule says otherwise, in characters.
const MAX_LEN: u32 = 10_000;
/// Most items where no rule says otherwise.
const MAX_ITEMS: u32 = 1_000;
/// No more wrong fields than this are named.
const MAX_VIOLATIONS: usize = 20;

/// A message that knows what its fields may hold.
pub trait Validate {
    /// Adds what is wrong to the check.
    fn validate(&self, check: &mut Check);
}

impl<T: Validate> Validate for Box<T> {
    fn validate(&self, check: &mut Check) {
        self.as_ref().validate(check);
    }
}

/// What a field may hold; see `artel.options.v1.Rules`.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Must be present.
    pub required: bool,
    /// Least length.
    pub min_len: u32,
    /// Greatest length; 0 for the default.
    pub max_len: u32,
    /// Least number.
    pub gte: Option<i64>,
    /// Greatest number.
    pub lte: Option<i64>,
    /// Least count.
    pub min_items: u32,
    /// Greatest count; 0 for the default.
    pub max_items: u32,
    /// The string's format.
    pub format: Format,
}

/// A format of strings; see `artel.options.v1.Format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text without control characters.
    Text,
    /// A UUID with hyphens.
    Uuid,
    /// An e-mail address.
    Email,
    /// An http or https URL.
    Url,
    /// Three capital letters.
    Currency,
    /// ru, kk or en.
    Locale,
    /// Anything.
    Any,
}

/// Checks a message; INVALID_ARGUMENT naming every wrong field in JSON spelling.
///
/// # Errors
/// The status to answer with.
pub fn check<T: Validate>(message: &T) -> Result<(), Status> {
    let violations = violations(message);
    if violations.is_empty() { Ok(()) } else { Err(invalid(violations)) }
}

/// The wrong fields of a message and what is wrong with each.
#[must_use]
pub fn violations<T: Validate>(message: &T) -> Vec<FieldViolation> {
    let mut check = Check::default();
    message.validate(&mut check);
    check.violations
}

/// INVALID_ARGUMENT that names fields.
#[must_use]
pub fn invalid(violations: Vec<FieldViolation>) -> Status {
    let message = violations
        .iter()
        .map(|violation| format!("{}: {}", violation.field, violation.description))
        .collect::<Vec<_>>()
        .join("; ");
    let mut details = ErrorDetails::new();
    details.set_error_info("INVALID_FIELDS", "artel", std::collections::HashMap::new());
    details.set_bad_request(violations);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// The walk over a message: where it is, and what it found.
#[derive(Debug, Default)]
pub struct Check {
    path: String,
    partial: bool,
    violations: Vec<FieldViolation>,
}

impl Check {
    /// A message field.
    pub fn nested<T: Validate>(&mut self, name: &str, value: &T) {
        self.enter(name, |check| value.validate(check));
    }

    /// A message field of which only some fields are given: what is empty in it is not missing.
    pub fn nested_partially<T: Validate>(&mut self, name: &str, value: &T) {
        let before = std::mem::replace(&mut self.partial, true);
        self.nested(name, value);
        self.partial = before;
    }

    /// An item of a repeated field, whose path is set already.
    pub fn inside<T: Validate>(&mut self, value: &T) {
        value.validate(self);
    }

    /// Item `index` of a repeated field.
    pub fn at(&mut self, name: &str, index: usize, check: impl FnOnce(&mut Self)) {
        self.enter(&format!("{name}[{index}]"), check);
    }

    /// A field that must be set.
    pub fn present(&mut self, name: &str, present: bool) {
        if !present && !self.partial {
            self.wrong(name, "is required");
        }
    }

    /// A count of items.
    pub fn items(&mut self, name: &str, count: usize, rules: &Rules) {
        let max = if rules.max_items == 0 { MAX_ITEMS } else { rules.max_items };
        if !self.partial && (count < rules.min_items as usize || (rules.required && count == 0)) {
            self.wrong(name, &format!("must have at least {}", rules.min_items.max(1)));
        } else if count > max as usize {
            self.wrong(name, &format!("must have at most {max}, has {count}"));
        }
    }

    /// A string.
    pub fn text(&mut self, name: &str, value: &str, rules: &Rules) {
        if value.is_empty() {
            if rules.required && !self.partial {
                self.wrong(name, "is required");
            }
            return;
        }
        let max = if rules.max_len == 0 { MAX_LEN } else { rules.max_len } as usize;
        // A character is at most four bytes: most strings need no counting.
        let count = if value.len() <= max && value.len() >= 4 * rules.min_len as usize {
            None
        } else {
            Some(value.chars().count())
        };
        if count.is_some_and(|count| count < rules.min_len as usize) {
            self.wrong(name, &format!("must have at least {} characters", rules.min_len));
        } else if count.is_some_and(|count| count > max) {
            self.wrong(name, &format!("must have at most {max} characters"));
        } else if rules.required && rules.format != Format::Any && value.trim().is_empty() {
            self.wrong(name, "must not be blank");
        } else if let Some(wrong) = rules.format.wrong(value) {
            self.wrong(name, wrong);
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, name: &str, value: &[u8], rules: &Rules) {
        if rules.required && value.is_empty() && !self.partial {
            self.wrong(name, "is required");
        } else if value.len() < rules.min_len as usize && !value.is_empty() {
            self.wrong(name, &format!("must have at least {} bytes", rules.min_len));
        } else if rules.max_len > 0 && value.len() > rules.max_len as usize {
            self.wrong(name, &format!("must have at most {} bytes, has {}", rules.max_len, value.len()));
        }
    }

    /// A whole number. Where only some fields are given, zero is one that is not.
    pub fn number(&mut self, name: &str, value: i64, rules: &Rules) {
        if self.partial && value == 0 {
            return;
        }
        if let Some(least) = rules.gte.filter(|least| value < *least) {
            self.wrong(name, &format!("must be at least {least}, is {value}"));
        } else if let Some(greatest) = rules.lte.filter(|greatest| value > *greatest) {
            self.wrong(name, &format!("must be at most {greatest}, is {value}"));
        } else if rules.required && value == 0 {
            self.wrong(name, "is required");
        }
    }

    /// An enum's number.
    pub fn choice(&mut self, name: &str, value: i32, known: bool, rules: &Rules) {
        if !known {
            self.wrong(name, &format!("has no choice {value}"));
        } else if rules.required && value == 0 && !self.partial {
            self.wrong(name, "is required");
        }
    }

    fn enter(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
        inside(self);
        self.path.truncate(length);
    }

    fn wrong(&mut self, name: &str, description: &str) {
        if self.violations.len() >= MAX_VIOLATIONS {
            return;
        }
        let field = match (self.path.as_str(), name) {
            ("", name) => name.to_owned(),
            (path, "") => path.to_owned(),
            (path, name) => format!("{path}.{name}"),
        };
        self.violations.push(FieldViolation::new(field, description));
    }
}

impl Format {
    /// What is wrong with the value, if anything is.
    fn wrong(self, value: &str) -> Option<&'static str> {
        let right = match self {
            Self::Text => !value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')),
            Self::Uuid => is_uuid(value),
            Self::Email => is_email(value),
            Self::Url => is_url(value),
            Self::Currency => value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_uppercase()),
            Self::Locale => matches!(value, "ru" | "kk" | "en"),
            Self::Any => true,
        };
        (!right).then_some(match self {
            Self::Text | Self::Any => "must not hold control characters",
            Self::Uuid => "must be a UUID such as 0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f",
            Self::Email => "must be an e-mail address such as anna@example.com",
            Self::Url => "must be an http or https URL",
            Self::Currency => "must be a currency code of three capital letters such as RUB",
            Self::Locale => "must be ru, kk or en",
        })
    }
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// An address that SMTP can carry without quoting: one `@`, no spaces, a domain of labels with a dot.
fn is_email(value: &str) -> bool {
    let Some((local, domain)) = value.rsplit_once('@') else { return false };
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"()<>[]:;,\\\"@".contains(c);
    (1..=64).contains(&local.len())
        && local.chars().all(plain)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && domain.len() <= 253
        && domain.contains('.')
        && domain.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn is_url(value: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| {
        value.strip_prefix(scheme).is_some_and(|rest| {
            !rest.is_empty()
                && !rest.starts_with('/')
                && !value.chars().any(|c| c.is_whitespace() || c.is_control())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog, identity, order};

    fn fields<T: Validate>(message: &T) -> Vec<String> {
        violations(message).into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_wrong_field_is_named_by_its_json_path() {
        let item = |quantity| order::CreateOrderItem {
            product_id: "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f".into(),
            quantity,
        };
        let request =
            order::CreateOrderRequest { items: vec![item(1), item(0), item(-1)], ..Default::default() };
        assert_eq!(fields(&request), ["items[1].quantity", "items[2].quantity"]);
        assert_eq!(fields(&order::CreateOrderRequest::default()), ["items"]);
    }

    #[test]
    fn registration_is_checked() {
        let request = identity::RegisterRequest {
            email: "anna@".into(),
            password: "short".into(),
            display_name: " ".into(),
            locale: "de".into(),
        };
        assert_eq!(fields(&request), ["email", "password", "displayName", "locale"]);
    }

    #[test]
    fn a_partial_update_does_not_miss_what_it_leaves_out() {
        let update = catalog::UpdateProductRequest {
            product: Some(catalog::Product { vendor: "Ozero".into(), ..Default::default() }),
            update_mask: None,
        };
        assert!(fields(&update).is_empty());
        let create = catalog::CreateProductRequest { product: update.product, ..Default::default() };
        assert_eq!(fields(&create), ["product.name", "product.price"]);
    }

    #[test]
    fn addresses() {
        for good in ["a@b.kz", "anna.k+tag@почта.рф", "x@sub.example.com"] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["a", "a@b", "@b.kz", "a b@c.kz", "a@b..kz", "a@-b.kz", "a\r\nRCPT@b.kz", ".a@b.kz"] {
            assert!(!is_email(bad), "{bad}");
        }
    }
}
