//! The rules of {{entities}}, pure.

use artel_proto::{{name}}::{{Entity}};
use artel_util::new_id;
use prost_types::Timestamp;

use crate::error::Refusal;

/// A new one of this person, with a name as people read it: no spaces around it, single ones inside.
pub(crate) fn draft(user_id: &str, name: &str, moment: Timestamp) -> Result<{{Entity}}, Refusal> {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        return Err(Refusal::NoName);
    }
    Ok({{Entity}} {
        id: new_id(),
        user_id: user_id.to_owned(),
        name,
        version: 1,
        create_time: Some(moment),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_as_people_read_it() {
        let moment = Timestamp { seconds: 1, nanos: 0 };
        let made = draft("anna", "  Зелёный\t чай ", moment).unwrap();
        assert_eq!((made.name.as_str(), made.user_id.as_str()), ("Зелёный чай", "anna"));
        assert_eq!((made.version, made.create_time), (1, Some(moment)));
        assert_ne!(made.id, draft("anna", "a", moment).unwrap().id);
    }

    #[test]
    fn spaces_alone_are_no_name() {
        assert_eq!(draft("anna", " \u{a0}\n", Timestamp::default()), Err(Refusal::NoName));
    }
}
