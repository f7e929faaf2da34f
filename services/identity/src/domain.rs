//! The rules, pure: addresses, profiles, roles, and what a refresh token is worth.

use artel_proto::Entity as _;
use artel_proto::identity::{Session, User};
use artel_util::{Error, time};
use chrono::{DateTime, Utc};

use crate::refusal::Refusal;

/// The language of whoever names none.
pub(crate) const DEFAULT_LOCALE: &str = "ru";
/// What people may change of themselves.
const OWN_FIELDS: [&str; 2] = ["display_name", "locale"];
/// More roles than this nobody needs, and each travels in every access token.
const MOST_ROLES: usize = 32;

/// The form of an address in which it is kept and looked for: upper and lower case are the same. A domain in letters
/// beyond ASCII stays as it was written.
pub(crate) fn normalize_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// What a guest is called who has not said their name.
pub(crate) fn guest_name(locale: &str) -> &'static str {
    match locale {
        "kk" => "Қонақ",
        "en" => "Guest",
        _ => "Гость",
    }
}

/// The fields of the profile that change: those of the mask, or without one those that are set.
pub(crate) fn changed_fields(user: &User, mask: &[String]) -> Result<Vec<&'static str>, Error> {
    let mut fields = Vec::new();
    let named: Vec<&str> =
        if mask.is_empty() { user.populated() } else { mask.iter().map(String::as_str).collect() };
    for path in named {
        if path == "*" {
            fields.extend(OWN_FIELDS);
            continue;
        }
        let snake = snake_case(path);
        let known = OWN_FIELDS.into_iter().find(|field| *field == snake);
        fields.push(known.ok_or_else(|| {
            let place =
                if mask.is_empty() { format!("user.{}", camel_case(path)) } else { "updateMask".to_owned() };
            Error::invalid(
                place,
                format!("`{path}` cannot be changed here; what can is displayName and locale"),
            )
        })?);
    }
    fields.sort_unstable();
    fields.dedup();
    if fields.is_empty() {
        return Err(Error::invalid("user", "must set displayName, locale or both"));
    }
    if fields.contains(&"display_name") && user.display_name.trim().is_empty() {
        return Err(Error::invalid("user.displayName", "must not be empty"));
    }
    if fields.contains(&"locale") && user.locale.is_empty() {
        return Err(Error::invalid("user.locale", "must be ru, kk or en"));
    }
    Ok(fields)
}

/// Refuses what is no name of a role: a lower-case letter, then letters, digits and underscores.
pub(crate) fn check_role(role: &str) -> Result<(), Error> {
    let named = role.starts_with(|first: char| first.is_ascii_lowercase())
        && role.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if named {
        Ok(())
    } else {
        Err(Error::invalid(
            "role",
            "must be lower-case letters, digits and underscores such as catalog_editor",
        ))
    }
}

/// The roles with one more; `None` where it is among them.
pub(crate) fn with_role(roles: &[String], role: &str) -> Result<Option<Vec<String>>, Error> {
    if roles.iter().any(|own| own == role) {
        return Ok(None);
    }
    if roles.len() >= MOST_ROLES {
        return Err(Error::invalid("role", format!("the person has {MOST_ROLES} roles; revoke one first")));
    }
    let mut roles = roles.to_vec();
    roles.push(role.to_owned());
    roles.sort_unstable();
    Ok(Some(roles))
}

/// The roles with one less; `None` where it is not among them.
pub(crate) fn without_role(roles: &[String], role: &str) -> Option<Vec<String>> {
    roles.iter().any(|own| own == role).then(|| roles.iter().filter(|own| *own != role).cloned().collect())
}

/// What a refresh token of a session is worth at a moment.
///
/// # Errors
/// `ReusedRefreshToken` means that the session has to be ended, if it is not.
pub(crate) fn judge(session: &Session, digest: &[u8], now: DateTime<Utc>) -> Result<(), Refusal> {
    if session.expire_time.as_ref().and_then(time::to_chrono).is_none_or(|end| end <= now) {
        return Err(Refusal::ExpiredRefreshToken);
    }
    // Both are SHA-256 of 256 random bits: how long the comparison takes tells nothing that helps to guess one.
    if session.refresh_digest.as_ref() != digest {
        return Err(Refusal::ReusedRefreshToken);
    }
    if session.revoke_time.is_some() {
        return Err(Refusal::SessionEnded);
    }
    Ok(())
}

/// `displayName` or `display_name` to the latter; a prefix `user.` is taken off.
fn snake_case(path: &str) -> String {
    let path = path.strip_prefix("user.").unwrap_or(path);
    let mut snake = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn camel_case(path: &str) -> String {
    let mut upper = false;
    let mut camel = String::with_capacity(path.len());
    for letter in path.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                camel.push(letter.to_ascii_uppercase());
                upper = false;
            }
            letter => camel.push(letter),
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use artel_util::time::from_chrono;
    use chrono::TimeDelta;

    use super::*;

    fn user(display_name: &str, locale: &str) -> User {
        User { display_name: display_name.into(), locale: locale.into(), ..User::default() }
    }

    fn mask(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn addresses_differ_by_more_than_case() {
        assert_eq!(normalize_email("  Anna.K@Example.COM "), "anna.k@example.com");
        assert_eq!(normalize_email("АННА@Почта.рф"), "анна@почта.рф");
    }

    #[test]
    fn a_profile_changes_where_the_mask_says_or_where_it_is_set() {
        let fields = |user: &User, paths: &[&str]| changed_fields(user, &mask(paths));
        assert_eq!(fields(&user("Anna", ""), &[]).unwrap(), ["display_name"]);
        assert_eq!(fields(&user("Anna", "kk"), &[]).unwrap(), ["display_name", "locale"]);
        assert_eq!(fields(&user("Anna", "kk"), &["locale"]).unwrap(), ["locale"]);
        for spelling in ["displayName", "display_name", "user.displayName"] {
            assert_eq!(fields(&user("Anna", ""), &[spelling, spelling]).unwrap(), ["display_name"]);
        }
        assert_eq!(fields(&user("Anna", "en"), &["*"]).unwrap(), ["display_name", "locale"]);
    }

    #[test]
    fn what_cannot_be_changed_is_named() {
        let field = |user: &User, paths: &[&str]| {
            changed_fields(user, &mask(paths)).unwrap_err().fields()[0].field.clone()
        };
        for path in ["email", "roles", "id", "version", "createTime", "display_name.x", ""] {
            let error = changed_fields(&user("A", ""), &mask(&[path])).unwrap_err();
            assert_eq!(error.fields()[0].field, "updateMask");
            assert!(error.message().contains(&format!("`{path}`")), "{error}");
        }
        let set = User { email: Some("x@y.kz".into()), ..user("Anna", "") };
        assert_eq!(field(&set, &[]), "user.email");
        let set = User { roles: vec!["admin".into()], ..User::default() };
        assert_eq!(field(&set, &[]), "user.roles");
        assert_eq!(field(&user("  ", ""), &["display_name"]), "user.displayName");
        assert_eq!(field(&user("", ""), &["locale"]), "user.locale");
        assert_eq!(field(&user("", ""), &[]), "user");
    }

    #[test]
    fn roles_have_names_and_are_had_once() {
        for good in ["catalog_editor", "a", "a1_"] {
            check_role(good).unwrap();
        }
        for bad in ["", "Catalog", "1a", "_a", "a-b", "a b", "é", "a,b"] {
            assert!(check_role(bad).is_err(), "{bad}");
        }
        let roles = mask(&["b"]);
        assert_eq!(with_role(&roles, "a").unwrap(), Some(mask(&["a", "b"])));
        assert_eq!(with_role(&roles, "b").unwrap(), None);
        assert_eq!(without_role(&roles, "b"), Some(vec![]));
        assert_eq!(without_role(&roles, "a"), None);
        let many: Vec<String> = (0..MOST_ROLES).map(|n| format!("r{n}")).collect();
        assert!(with_role(&many, "one_more").is_err());
    }

    #[test]
    fn a_refresh_token_is_good_once_and_in_time() {
        let now = Utc::now();
        let session = Session {
            refresh_digest: b"new".as_slice().into(),
            expire_time: Some(from_chrono(now + TimeDelta::seconds(1))),
            ..Session::default()
        };
        assert_eq!(judge(&session, b"new", now), Ok(()));
        assert_eq!(judge(&session, b"old", now), Err(Refusal::ReusedRefreshToken));
        let later = now + TimeDelta::seconds(2);
        assert_eq!(judge(&session, b"new", later), Err(Refusal::ExpiredRefreshToken));
        // What is over is over: nothing has to be ended because an old token comes back.
        assert_eq!(judge(&session, b"old", later), Err(Refusal::ExpiredRefreshToken));
        let ended = Session { revoke_time: Some(from_chrono(now)), ..session.clone() };
        assert_eq!(judge(&ended, b"new", now), Err(Refusal::SessionEnded));
        // Whoever loses a race is told the same, whether somebody else ended the session already or not.
        assert_eq!(judge(&ended, b"old", now), Err(Refusal::ReusedRefreshToken));
        let endless = Session { expire_time: None, ..session };
        assert_eq!(judge(&endless, b"new", now), Err(Refusal::ExpiredRefreshToken));
    }
}
