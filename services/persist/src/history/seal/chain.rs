use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::keys::Keys;
use super::tree::{Digest, pack, root};
use crate::measure::Name;
use crate::snapshot::Snapshot;
use crate::sql::{self, DriverRow, Statement, with_column};
use crate::value::{self, Kind};

/// The last position there can be.
pub(super) const LAST: i64 = i64::MAX;

const INSERT: &str =
    "INSERT INTO seals (workspace_id, number, epoch, since, until, oldest, after, through, leaves,
    root, previous, digest, public_key, signature, time)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

/// The columns of a seal that [`Seal::read`] reads.
pub(super) const COLUMNS: &str =
    "workspace_id, number, epoch, since, until, after, through, leaves, root, previous,
    public_key, signature, time";

/// What rows a seal holds: those that `until` sees and `since` does not, behind the position `after`, up to `through`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) epoch: i64,
    pub(super) since: Snapshot,
    pub(super) until: Snapshot,
    pub(super) after: i64,
    pub(super) through: i64,
}

/// The end of a workspace's chain.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// 0 before the first seal.
    pub(super) number: i64,
    pub(super) digest: Vec<u8>,
    /// What the last seal holds; `None` before the first.
    pub(super) range: Option<Range>,
}

/// A seal as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Seal {
    pub(super) workspace: Uuid,
    pub(super) number: i64,
    pub(super) range: Range,
    pub(super) leaves: Vec<u8>,
    pub(super) root: Vec<u8>,
    pub(super) previous: Vec<u8>,
    pub(super) public_key: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) time: DateTime<Utc>,
}

impl Range {
    /// True where this comes right behind the other, with nothing between.
    pub(super) fn follows(&self, before: Option<&Self>) -> bool {
        let Some(before) = before else { return self.since == Snapshot::beginning() };
        if self.epoch != before.epoch {
            // The one before is the end of its epoch: it holds everything that there was.
            return self.epoch > before.epoch
                && before.until == Snapshot::end()
                && self.since == Snapshot::beginning()
                && self.after == before.through;
        }
        if before.through == LAST {
            return self.since == before.until;
        }
        // Another part of the same window.
        (&self.since, &self.until, self.after) == (&before.since, &before.until, before.through)
    }
}

impl Head {
    pub(super) fn none() -> Self {
        Self { number: 0, digest: Vec::new(), range: None }
    }

    /// Where the next window of the epoch begins for this workspace: nothing of it lies between.
    pub(super) fn since(&self, epoch: i64) -> Snapshot {
        let range = self.range.as_ref().filter(|range| range.epoch == epoch);
        range.map_or_else(Snapshot::beginning, |range| range.until.clone())
    }
}

impl Seal {
    /// Signs what is in the range, as the next of a chain. The time is to the microsecond, which is how it is stored.
    pub(super) fn set(
        keys: &Keys,
        workspace: Uuid,
        head: &Head,
        range: Range,
        leaves: &[(i64, Digest)],
    ) -> Self {
        let digests: Vec<Digest> = leaves.iter().map(|(_, digest)| *digest).collect();
        let now = Utc::now().timestamp_micros();
        let mut seal = Self {
            workspace,
            number: head.number + 1,
            range,
            leaves: pack(leaves),
            root: root(&digests).to_vec(),
            previous: head.digest.clone(),
            public_key: keys.public().to_vec(),
            signature: Vec::new(),
            time: DateTime::from_timestamp_micros(now).unwrap_or_default(),
        };
        seal.signature = keys.sign(&seal.digest());
        seal
    }

    /// What is signed: everything but the leaves, for which the root stands.
    pub(super) fn digest(&self) -> Vec<u8> {
        let Range { epoch, since, until, after, through } = &self.range;
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            digest.update(part);
        };
        add(b"artel seal 1");
        add(self.workspace.as_bytes());
        add(&self.number.to_be_bytes());
        add(&epoch.to_be_bytes());
        add(since.to_string().as_bytes());
        add(until.to_string().as_bytes());
        add(&after.to_be_bytes());
        add(&through.to_be_bytes());
        add(&self.root);
        add(&self.previous);
        add(&self.public_key);
        add(&self.time.timestamp_micros().to_be_bytes());
        digest.finalize().to_vec()
    }

    /// The chain with this at its end.
    pub(super) fn head(&self) -> Head {
        Head { number: self.number, digest: self.digest(), range: Some(self.range.clone()) }
    }

    pub(super) fn insert(&self) -> Statement {
        let Range { epoch, since, until, after, through } = &self.range;
        let bytes = |bytes: &[u8]| Some(bytes.to_vec());
        let time = artel_util::time::from_chrono(self.time);
        Statement::fixed(INSERT)
            .named(Name::of("seals.insert"))
            .bind(Kind::Uuid, bytes(self.workspace.as_bytes()))
            .bind(Kind::Bigint, value::bigint(self.number))
            .bind(Kind::Bigint, value::bigint(*epoch))
            .bind(Kind::Text, value::text(&since.to_string()))
            .bind(Kind::Text, value::text(&until.to_string()))
            .bind(Kind::Bigint, value::bigint(until.oldest()))
            .bind(Kind::Bigint, value::bigint(*after))
            .bind(Kind::Bigint, value::bigint(*through))
            .bind(Kind::Bytes, bytes(&self.leaves))
            .bind(Kind::Bytes, bytes(&self.root))
            .bind(Kind::Bytes, bytes(&self.previous))
            .bind(Kind::Bytes, Some(self.digest()))
            .bind(Kind::Bytes, bytes(&self.public_key))
            .bind(Kind::Bytes, bytes(&self.signature))
            .bind(Kind::Timestamp, value::timestamp(&time))
    }

    /// A row of [`COLUMNS`]; `None` where it holds what no seal does.
    pub(super) fn read(row: &DriverRow) -> Option<Self> {
        let bytes = |index| with_column(row, index, |cell| cell.map(<[u8]>::to_vec));
        let number = |index| sql::number(row, index);
        let snapshot = |index| Snapshot::parse(std::str::from_utf8(&bytes(index)?).ok()?);
        let time = with_column(row, 12, |cell| cell.and_then(value::moment))?;
        Some(Self {
            workspace: Uuid::from_slice(&bytes(0)?).ok()?,
            number: number(1)?,
            range: Range {
                epoch: number(2)?,
                since: snapshot(3)?,
                until: snapshot(4)?,
                after: number(5)?,
                through: number(6)?,
            },
            leaves: bytes(7)?,
            root: bytes(8)?,
            previous: bytes(9)?,
            public_key: bytes(10)?,
            signature: bytes(11)?,
            time: artel_util::time::to_chrono(&time)?,
        })
    }
}
