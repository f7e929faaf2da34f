//! Full text: what a person typed as a query over the search column.

use artel_util::Error;

use super::filter::{Text, all};
use crate::plan::Entity;
use crate::value::{Kind, bigint, text};

/// The words as a tsquery, or nothing where none are given.
///
/// Each of the three languages reads the words; a row is found where one of them finds it. What must not occur is taken
/// out first, since "not found in Russian or not found in English" would hold for nearly everything.
pub(super) fn words(entity: &Entity, search: &str, parameters: &mut Text) -> Result<Option<String>, Error> {
    if search.trim().is_empty() {
        return Ok(None);
    }
    if entity.search.is_empty() {
        return Err(Error::invalid("search", format!("{} has no searchable field", entity.name)));
    }
    if search.contains('\0') {
        return Err(Error::invalid("search", "must not hold the character NUL"));
    }
    let (wanted, unwanted) = split(search);
    let mut any = |words: &str| {
        let words = parameters.bind(Kind::Text, text(words));
        let languages = ["russian", "english", "simple"];
        let queries = languages.map(|language| format!("websearch_to_tsquery('{language}', {words})"));
        format!("({})", queries.join(" || "))
    };
    let wanted = any(&wanted);
    let unwanted = any(&unwanted);
    // An empty query on either side leaves the other as it is.
    Ok(Some(format!("({wanted} && !!{unwanted})")))
}

/// What is ranked of the rows that these conditions hold for: a table `t` and the conditions on it. A rank is made from
/// all the words of a row, which are read for it, so that only the newest so many get one; what is older is no hit where
/// hits are sorted by their rank.
pub(super) fn newest(
    entity: &Entity,
    conditions: &[String],
    most: usize,
    parameters: &mut Text,
) -> (String, Vec<String>) {
    let (table, key) = (&entity.table, entity.columns[entity.key].of("t"));
    let age = entity.create_time.map(|column| format!("{} DESC, ", entity.columns[column].of("t")));
    let most = parameters.bind(Kind::Bigint, bigint(i64::try_from(most).unwrap_or(i64::MAX)));
    // Keys alone: whole rows would have to be sorted on the disk.
    let newest = format!(
        "(SELECT {key} AS id FROM {table} t{} ORDER BY {}{key} DESC LIMIT {most}) n CROSS JOIN {table} t",
        all(conditions),
        age.unwrap_or_default(),
    );
    let mut same = entity.visible("t");
    same.push(format!("{key} = n.id"));
    (newest, same)
}

/// What must occur, and what must not: `-word` and `-"some words"`, joined by "or".
fn split(search: &str) -> (String, String) {
    let (mut wanted, mut unwanted): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut rest = search.trim_start();
    while !rest.is_empty() {
        let (negative, body) = match rest.strip_prefix('-') {
            Some(body) if body.starts_with(|next: char| next == '"' || next.is_alphanumeric()) => {
                (true, body)
            }
            _ => (false, rest),
        };
        let end = match body.strip_prefix('"') {
            Some(phrase) => phrase.find('"').map_or(body.len(), |end| end + 2),
            None => body.find(char::is_whitespace).unwrap_or(body.len()),
        };
        let (word, after) = body.split_at(end);
        if negative {
            unwanted.push(word.to_owned())
        } else {
            wanted.push(word.to_owned())
        }
        rest = after.trim_start();
    }
    (wanted.join(" "), unwanted.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn what_must_not_occur_is_taken_out() {
        let split = |search| split(search);
        assert_eq!(split("чехол -кожа"), ("чехол".into(), "кожа".into()));
        assert_eq!(
            split(r#" "red case"  -"very big" x-ray -b"#),
            (r#""red case" x-ray"#.into(), r#""very big" or b"#.into())
        );
        assert_eq!(split("- a"), ("- a".into(), String::new()));
        assert_eq!(split("\"open"), ("\"open".into(), String::new()));
    }
}
