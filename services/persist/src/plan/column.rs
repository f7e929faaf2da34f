use prost_reflect::EnumDescriptor;

use crate::value::Kind;

/// How a field's value looks on the wire and where it goes.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// A string kept as a UUID; empty is NULL.
    Id,
    Text,
    Bytes,
    Boolean,
    /// A whole number of at most 32 bits with a sign.
    Integer,
    /// A whole number of up to 64 bits with a sign, or of 32 without.
    Bigint,
    Double,
    /// An enum, kept as the name of its value.
    Choice(EnumDescriptor),
    /// A `google.protobuf.Timestamp`.
    Moment,
    /// An `artel.type.v1.Money`: amount and currency.
    Money,
    /// Repeated scalars, kept as an array.
    List(Kind),
    /// Anything else, kept as JSON.
    Part,
}

impl Shape {
    /// How many columns it takes.
    pub(crate) fn width(&self) -> usize {
        if matches!(self, Self::Money) { 2 } else { 1 }
    }
}

/// What `persist` writes into a column by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// Nothing: it is the caller's.
    None,
    Version,
    CreateTime,
    UpdateTime,
    DeleteTime,
}

/// What a column's value must be one of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) names: Vec<String>,
}

/// A column that comes from a field.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// How a caller names it: `price.amount_minor`.
    pub(crate) path: String,
    /// Its type, or the type of its items.
    pub(crate) kind: Kind,
    pub(crate) is_list: bool,
    pub(crate) nullable: bool,
    pub(crate) check: Option<Check>,
    pub(crate) stamp: Stamp,
    /// It may be filtered and sorted by.
    pub(crate) queryable: bool,
    /// It must not be written into the change log, nor told.
    pub(crate) secret: bool,
    /// JSON that is a list.
    pub(crate) is_json_list: bool,
}

impl Column {
    /// Its name in a statement.
    pub(crate) fn quoted(&self) -> String {
        format!("\"{}\"", self.name)
    }

    /// Its name in a statement, of the table with that alias.
    pub(crate) fn of(&self, alias: &str) -> String {
        format!("{alias}.\"{}\"", self.name)
    }

    /// Its type as PostgreSQL itself writes it.
    pub(crate) fn sql_type(&self) -> String {
        if self.is_list { format!("{}[]", self.kind.sql()) } else { self.kind.sql().to_owned() }
    }

    /// What it holds where nothing is said, as PostgreSQL itself writes it; `None` for NULL or for no default.
    pub(crate) fn default(&self) -> Option<String> {
        if self.nullable || self.stamp != Stamp::None {
            return None;
        }
        if self.is_list {
            return Some(format!("'{{}}'::{}", self.sql_type()));
        }
        match self.kind {
            Kind::Uuid | Kind::Timestamp => None,
            Kind::Text => {
                let value =
                    self.check.as_ref().and_then(|check| check.names.first()).map_or("", String::as_str);
                Some(format!("'{value}'::text"))
            }
            Kind::Bigint | Kind::Integer | Kind::Double => Some("0".to_owned()),
            Kind::Boolean => Some("false".to_owned()),
            Kind::Bytes => Some("'\\x'::bytea".to_owned()),
            Kind::Json => Some(if self.is_json_list { "'[]'::jsonb" } else { "'{}'::jsonb" }.to_owned()),
        }
    }

    pub(crate) fn is_scalar(&self) -> bool {
        !self.is_list && self.kind != Kind::Json && self.kind != Kind::Bytes
    }

    pub(crate) fn is_number(&self) -> bool {
        !self.is_list && matches!(self.kind, Kind::Bigint | Kind::Integer)
    }

    /// The type that a set of rows carries it in: an array of arrays cannot be taken apart row by row, so lists travel
    /// in their text form.
    pub(crate) fn carrier(&self) -> Kind {
        if self.is_list { Kind::Text } else { self.kind }
    }

    /// An expression of the carrier as the column's own type.
    pub(crate) fn unpacked(&self, expression: &str) -> String {
        if self.is_list { format!("{expression}::{}", self.sql_type()) } else { expression.to_owned() }
    }
}
