use uuid::Uuid;

/// A new id: a UUIDv7, which sorts by the time it was made.
#[must_use]
pub fn new_id() -> String {
    Uuid::now_v7().to_string()
}

/// True for a UUID in the form with hyphens.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}
