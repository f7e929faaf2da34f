//! The plan of one entity, from its message and annotations.

use artel_proto::annotations;
use artel_proto::options::{self, EntityOptions, FieldOptions, Format, Scope, SearchWeight};
use prost_reflect::{FieldDescriptor, Kind as Proto, MessageDescriptor};

use super::{Check, Column, Entity, Field, Index, PlanError, Reference, Shape, Stamp};
use crate::value::Kind;

pub(super) fn entity(message: &MessageDescriptor, options: &EntityOptions) -> Result<Entity, PlanError> {
    let problem = |problem: String| PlanError { entity: message.full_name().to_owned(), problem };
    if !is_name(&options.table) {
        return Err(problem(format!("`{}` is no name of a table", options.table)));
    }
    let scoped = match options.scope() {
        Scope::Workspace => true,
        Scope::Global => false,
        Scope::Unspecified => return Err(problem("its scope is not said".to_owned())),
    };

    let mut fields = Vec::new();
    let mut columns: Vec<Column> = Vec::new();
    let mut indexed = Vec::new();
    let mut references = Vec::new();
    let mut search = Vec::new();
    let mut descriptors: Vec<FieldDescriptor> = message.fields().collect();
    descriptors.sort_by_key(FieldDescriptor::number);
    for descriptor in descriptors {
        let annotation = annotations::field(&descriptor);
        let shape = shape(&descriptor, &annotation).map_err(&problem)?;
        let first = columns.len();
        columns.extend(columns_of(&descriptor, &annotation, &shape));
        if annotation.index || annotation.unique {
            indexed.push(Index { columns: vec![(first, false)], unique: annotation.unique });
            columns[first..].iter_mut().for_each(|column| column.queryable = true);
        }
        if annotation.filter {
            columns[first..].iter_mut().for_each(|column| column.queryable = true);
        }
        if !annotation.references.is_empty() {
            references.push(Reference { column: first, entity: annotation.references.clone() });
        }
        if let Some(weight) = weight(annotation.search()) {
            search.push((first, weight));
        }
        fields.push(Field {
            number: descriptor.number(),
            kind: descriptor.kind(),
            has_presence: descriptor.supports_presence(),
            is_repeated: descriptor.is_list() || descriptor.is_map(),
            descriptor,
            shape,
            column: first,
        });
    }

    let keys: Vec<usize> = (0..fields.len()).filter(|index| is_key(&fields[*index])).collect();
    let [key] = keys[..] else { return Err(problem(format!("has {} keys instead of one", keys.len()))) };
    let key = fields[key].column;
    columns[key].queryable = true;
    let stamped = |stamp: Stamp| columns.iter().position(|column| column.stamp == stamp);
    let version =
        stamped(Stamp::Version).ok_or_else(|| problem("has no field for its version".to_owned()))?;
    let delete_time = stamped(Stamp::DeleteTime);
    if options.soft_delete != delete_time.is_some() {
        return Err(problem("soft_delete and a field stamped with the delete time go together".to_owned()));
    }

    let list = columns.iter().map(|column| column.of("t")).collect::<Vec<_>>().join(", ");
    let mut entity = Entity {
        name: message.full_name().to_owned(),
        table: options.table.clone(),
        scoped,
        descriptor: message.clone(),
        key,
        version,
        create_time: stamped(Stamp::CreateTime),
        update_time: stamped(Stamp::UpdateTime),
        delete_time,
        fields,
        columns,
        list,
        indexes: Vec::new(),
        references,
        search,
    };
    for index in &options.indexes {
        let index = explicit(&entity, index).map_err(&problem)?;
        index.columns.iter().for_each(|(column, _)| entity.columns[*column].queryable = true);
        entity.indexes.push(index);
    }
    for index in indexed {
        let (first, _) = index.columns[0];
        let covered = first == key
            || entity
                .indexes
                .iter()
                .any(|other| other.columns[0].0 == first && (other.unique || !index.unique));
        if index.unique || !covered {
            entity.indexes.push(index);
        }
    }
    Ok(entity)
}

fn is_key(field: &Field) -> bool {
    annotations::field(&field.descriptor).key
}

/// Names go into statements as they are.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 40
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn explicit(entity: &Entity, index: &options::Index) -> Result<Index, String> {
    let columns = index.fields.iter().map(|path| {
        let (name, descending) = path.strip_prefix('-').map_or((path.as_str(), false), |name| (name, true));
        let column =
            entity.column(name).ok_or_else(|| format!("an index names `{name}`, which is no field"))?;
        Ok((column, descending))
    });
    let columns = columns.collect::<Result<Vec<_>, String>>()?;
    if columns.is_empty() {
        Err("an index names no field".to_owned())
    } else {
        Ok(Index { columns, unique: index.unique })
    }
}

fn shape(field: &FieldDescriptor, annotation: &FieldOptions) -> Result<Shape, String> {
    if field.is_map() {
        return Ok(Shape::Part);
    }
    if field.is_list() {
        return Ok(match field.kind() {
            Proto::String => Shape::List(Kind::Text),
            Proto::Int32 | Proto::Sint32 | Proto::Sfixed32 => Shape::List(Kind::Integer),
            Proto::Int64 | Proto::Sint64 | Proto::Sfixed64 => Shape::List(Kind::Bigint),
            Proto::Bool => Shape::List(Kind::Boolean),
            _ => Shape::Part,
        });
    }
    let is_id = annotation.key
        || !annotation.references.is_empty()
        || annotation.rules.as_ref().is_some_and(|rules| rules.format() == Format::Uuid);
    Ok(match field.kind() {
        Proto::String if is_id => Shape::Id,
        Proto::String => Shape::Text,
        Proto::Bytes => Shape::Bytes,
        Proto::Bool => Shape::Boolean,
        Proto::Int32 | Proto::Sint32 | Proto::Sfixed32 => Shape::Integer,
        Proto::Int64 | Proto::Sint64 | Proto::Sfixed64 | Proto::Uint32 | Proto::Fixed32 => Shape::Bigint,
        Proto::Double | Proto::Float => Shape::Double,
        Proto::Enum(choices) => Shape::Choice(choices),
        Proto::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => Shape::Moment,
            "artel.type.v1.Money" => Shape::Money,
            _ => Shape::Part,
        },
        Proto::Uint64 | Proto::Fixed64 => {
            return Err(format!("`{}` may be greater than a bigint; use int64", field.name()));
        }
    })
}

fn columns_of(field: &FieldDescriptor, annotation: &FieldOptions, shape: &Shape) -> Vec<Column> {
    let stamp = match annotation.stamp() {
        options::Stamp::Unspecified => Stamp::None,
        options::Stamp::Version => Stamp::Version,
        options::Stamp::CreateTime => Stamp::CreateTime,
        options::Stamp::UpdateTime => Stamp::UpdateTime,
        options::Stamp::DeleteTime => Stamp::DeleteTime,
    };
    let nullable = match stamp {
        Stamp::DeleteTime => true,
        Stamp::Version | Stamp::CreateTime | Stamp::UpdateTime => false,
        Stamp::None => !annotation.key && (field.supports_presence() || matches!(shape, Shape::Id)),
    };
    let plain = |kind: Kind| Column {
        name: field.name().to_owned(),
        path: field.name().to_owned(),
        kind,
        is_list: matches!(shape, Shape::List(_)),
        nullable,
        check: None,
        stamp,
        queryable: false,
        secret: annotation.secret,
        is_json_list: field.is_list(),
    };
    match shape {
        Shape::Id => vec![plain(Kind::Uuid)],
        Shape::Text => vec![plain(Kind::Text)],
        Shape::Bytes => vec![plain(Kind::Bytes)],
        Shape::Boolean => vec![plain(Kind::Boolean)],
        Shape::Integer => vec![plain(Kind::Integer)],
        Shape::Bigint => vec![plain(Kind::Bigint)],
        Shape::Double => vec![plain(Kind::Double)],
        Shape::Moment => vec![plain(Kind::Timestamp)],
        Shape::List(kind) => vec![plain(*kind)],
        Shape::Part => vec![plain(Kind::Json)],
        Shape::Choice(choices) => {
            let names = choices.values().map(|value| value.name().to_owned()).collect();
            vec![Column { check: Some(Check { names }), ..plain(Kind::Text) }]
        }
        Shape::Money => [("amount_minor", Kind::Bigint), ("currency", Kind::Text)]
            .map(|(name, kind)| Column {
                name: format!("{}_{name}", field.name()),
                path: format!("{}.{name}", field.name()),
                ..plain(kind)
            })
            .into(),
    }
}

fn weight(weight: SearchWeight) -> Option<char> {
    match weight {
        SearchWeight::Unspecified => None,
        SearchWeight::A => Some('A'),
        SearchWeight::B => Some('B'),
        SearchWeight::C => Some('C'),
        SearchWeight::D => Some('D'),
    }
}
