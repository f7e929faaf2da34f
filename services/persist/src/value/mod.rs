//! Values between protobuf's wire format and PostgreSQL's binary format, without a detour.

mod array;
mod part;
mod row;
mod scalar;
mod wire;

use tokio_postgres::types::Type;

pub(crate) use array::{Array, array_items, array_literal, literal_items};
pub(crate) use row::message;
pub(crate) use scalar::{from_cell, to_cell};
pub(crate) use wire::{Wrong, decode, text_field};

/// A value in PostgreSQL's binary form; `None` for NULL.
pub(crate) type Cell = Option<Vec<u8>>;

/// The types of PostgreSQL that values have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Uuid,
    Text,
    Bigint,
    Integer,
    Boolean,
    Double,
    Timestamp,
    Bytes,
    Json,
}

impl Kind {
    /// The type's name in SQL, as PostgreSQL itself writes it.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::Bigint => "bigint",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Double => "double precision",
            Self::Timestamp => "timestamp with time zone",
            Self::Bytes => "bytea",
            Self::Json => "jsonb",
        }
    }

    /// The type as the driver knows it.
    pub(crate) fn sql_type(self) -> Type {
        match self {
            Self::Uuid => Type::UUID,
            Self::Text => Type::TEXT,
            Self::Bigint => Type::INT8,
            Self::Integer => Type::INT4,
            Self::Boolean => Type::BOOL,
            Self::Double => Type::FLOAT8,
            Self::Timestamp => Type::TIMESTAMPTZ,
            Self::Bytes => Type::BYTEA,
            Self::Json => Type::JSONB,
        }
    }

    /// The type of an array of it.
    pub(crate) fn sql_array_type(self) -> Type {
        match self {
            Self::Uuid => Type::UUID_ARRAY,
            Self::Text => Type::TEXT_ARRAY,
            Self::Bigint => Type::INT8_ARRAY,
            Self::Integer => Type::INT4_ARRAY,
            Self::Boolean => Type::BOOL_ARRAY,
            Self::Double => Type::FLOAT8_ARRAY,
            Self::Timestamp => Type::TIMESTAMPTZ_ARRAY,
            Self::Bytes => Type::BYTEA_ARRAY,
            Self::Json => Type::JSONB_ARRAY,
        }
    }

    /// The type's number in PostgreSQL's catalogue.
    fn oid(self) -> u32 {
        self.sql_type().oid()
    }
}

/// Microseconds from 1970 to 2000, where PostgreSQL begins to count.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// Seconds of the first and the last moment that protobuf allows: the years 1 and 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

pub(crate) fn text(value: &str) -> Cell {
    Some(value.as_bytes().to_vec())
}

pub(crate) fn bigint(value: i64) -> Cell {
    Some(value.to_be_bytes().to_vec())
}

pub(crate) fn integer(value: i32) -> Cell {
    Some(value.to_be_bytes().to_vec())
}

pub(crate) fn boolean(value: bool) -> Cell {
    Some(vec![u8::from(value)])
}

/// The text form of a UUID as a cell; `None` where it is none.
pub(crate) fn uuid(value: &str) -> Option<Vec<u8>> {
    (value.len() == 36).then(|| uuid::Uuid::try_parse(value).ok()).flatten().map(|id| id.as_bytes().to_vec())
}

/// A moment as a cell, to the microsecond; `None` where it is out of range.
pub(crate) fn timestamp(moment: &prost_types::Timestamp) -> Option<Vec<u8>> {
    if !SECONDS.contains(&moment.seconds) || !(0..1_000_000_000).contains(&moment.nanos) {
        return None;
    }
    let micros = moment.seconds * 1_000_000 + i64::from(moment.nanos) / 1_000 - POSTGRES_EPOCH;
    Some(micros.to_be_bytes().to_vec())
}

/// A cell as a moment.
pub(crate) fn moment(bytes: &[u8]) -> Option<prost_types::Timestamp> {
    let micros = read_i64(bytes)?.checked_add(POSTGRES_EPOCH)?;
    Some(prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).ok()?,
    })
}

pub(crate) fn read_i64(bytes: &[u8]) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

pub(crate) fn read_i32(bytes: &[u8]) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_to_the_microsecond() {
        for (seconds, nanos) in
            [(0, 0), (1_790_000_000, 123_456_000), (-1, 999_999_000), (-62_135_596_800, 0)]
        {
            let before = prost_types::Timestamp { seconds, nanos };
            assert_eq!(moment(&timestamp(&before).unwrap()).unwrap(), before);
        }
        assert!(timestamp(&prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }).is_none());
        assert!(timestamp(&prost_types::Timestamp { seconds: 0, nanos: -1 }).is_none());
    }

    #[test]
    fn only_uuids_with_hyphens_are_uuids() {
        assert!(uuid("0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f").is_some());
        assert!(uuid("0195d3a86f3c7e1a9b580c6f5a1d2e3f").is_none());
        assert!(uuid("").is_none());
    }
}
