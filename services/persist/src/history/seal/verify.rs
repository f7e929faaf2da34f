//! Checks the change log of a workspace against its seals, one after another, and says the first thing that does not
//! hold.

use std::sync::{Arc, LazyLock};

use artel_proto::persist::{Finding, FindingKind, VerifyRequest, VerifyResponse};
use artel_util::{Error, time};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tonic::Status;

use super::chain::{COLUMNS, Head, LAST, Range, Seal};
use super::keys::Keys;
use super::tree::{Digest, leaf, root, sealed_columns, unpack};
use crate::database::{Database, Scope};
use crate::measure::Name;
use crate::snapshot::{Snapshot, rows_of_window, window};
use crate::sql::{self, DriverRow, Statement, with_column};
use crate::transaction::Failed;
use crate::value::{self, Kind};

/// Seals that are read at once. A seal has at most some thousand rows.
const PAGE: i64 = 16;

static SEALS: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT {COLUMNS} FROM seals WHERE workspace_id = $1 AND number > $2 ORDER BY number LIMIT $3")
});

/// The rows of a seal.
static ROWS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {} FROM {} ORDER BY w.position",
        sealed_columns(),
        rows_of_window!("change_log", " AND workspace_id = $5 AND position > $6 AND position <= $7")
    )
});

/// Of the rows behind the last seal: the first of those that the sealer has passed (`$8`, `$9`), and how many it has yet
/// to come to.
const TAIL: &str = concat!(
    "SELECT min(w.position) FILTER (WHERE w.txid < $8 AND w.txid <> ALL($9)),
    count(*) FILTER (WHERE NOT (w.txid < $8 AND w.txid <> ALL($9))) FROM ",
    rows_of_window!("change_log", " AND workspace_id = $5 AND position > $6 AND position <= $7")
);

/// Rows before the place where the first seal begins.
const BEFORE: &str = "SELECT min(position) FROM change_log WHERE workspace_id = $1 AND position <= $2";

const STATE: &str = "SELECT epoch, floor, sealed FROM history";

const NAMES: &str =
    "SELECT entity, entity_id::text FROM change_log WHERE workspace_id = $1 AND position = $2";

/// What a call of Verify gives.
pub(crate) type Checked = BoxStream<'static, Result<VerifyResponse, Status>>;

/// Checks seals.
pub(crate) struct Verifier {
    pub(crate) database: Database,
    pub(crate) keys: Arc<Keys>,
}

/// A check under way.
struct Walk {
    verifier: Arc<Verifier>,
    scope: Scope,
    head: Head,
    last: Option<Seal>,
    rows: i64,
    /// The last message was given.
    is_done: bool,
}

/// What ends a walk before its end.
enum Broken {
    Found(Finding),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Verifier {
    /// Checks from where the request says.
    pub(crate) async fn verify(
        self: Arc<Self>,
        scope: Scope,
        request: &VerifyRequest,
    ) -> Result<Checked, Error> {
        let mut walk =
            Walk { verifier: self, scope, head: Head::none(), last: None, rows: 0, is_done: false };
        if request.after_seal > 0 {
            walk.begin_behind(request).await?;
        }
        let messages = futures::stream::try_unfold(walk, |mut walk| async move {
            if walk.is_done {
                return Ok(None);
            }
            let message = walk.step().await.map_err(Status::from)?;
            Ok(Some((message, walk)))
        });
        Ok(messages.boxed())
    }

    async fn read(&self, scope: Scope, statements: Vec<Statement>) -> Result<Vec<Vec<DriverRow>>, Error> {
        // One moment for all of them.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let read = self.database.transaction(begin, scope, statements).await;
        read.map_err(|Failed { failure, .. }| failure.into())
    }
}

impl Walk {
    async fn begin_behind(&mut self, request: &VerifyRequest) -> Result<(), Error> {
        let wrong = |text: &str| Error::invalid("afterDigest", text);
        let seals = self.seals(request.after_seal - 1, 1);
        let read = self.verifier.read(self.scope, vec![seals]).await?;
        let seal = read.iter().flatten().next().and_then(Seal::read);
        let seal = seal.filter(|seal| seal.number == request.after_seal).ok_or_else(|| {
            Error::invalid(
                "afterSeal",
                "there is no such seal; begin with the first, which says what is wrong",
            )
        })?;
        if seal.digest() != request.after_digest {
            return Err(wrong("is not that of the seal; begin with the first, which says what is wrong"));
        }
        self.head = seal.head();
        self.last = Some(seal);
        Ok(())
    }

    fn workspace(&self) -> value::Cell {
        Some(self.scope.workspace.as_bytes().to_vec())
    }

    fn seals(&self, behind: i64, most: i64) -> Statement {
        Statement::fixed(SEALS.as_str())
            .named(Name::of("seals.read"))
            .bind(Kind::Uuid, self.workspace())
            .bind(Kind::Bigint, value::bigint(behind))
            .bind(Kind::Bigint, value::bigint(most))
    }

    /// The next message: some seals, or the end.
    async fn step(&mut self) -> Result<VerifyResponse, Error> {
        let (finding, unsealed) = match self.some().await {
            Ok(unsealed) => (None, unsealed),
            Err(Broken::Found(finding)) => (Some(finding), None),
            Err(Broken::Failed(error)) => return Err(error),
        };
        self.is_done = finding.is_some() || unsealed.is_some();
        Ok(VerifyResponse {
            seal: self.head.number,
            digest: self.head.digest.clone().into(),
            time: self.last.as_ref().map(|seal| time::from_chrono(seal.time)),
            rows: self.rows,
            done: self.is_done,
            finding,
            unsealed: unsealed.unwrap_or_default(),
            public_key: self.last.as_ref().map(|seal| seal.public_key.clone().into()).unwrap_or_default(),
        })
    }

    /// Checks the next seals; behind the last one, how many rows are not sealed yet.
    async fn some(&mut self) -> Result<Option<i64>, Broken> {
        let read = self.verifier.read(self.scope, vec![self.seals(self.head.number, PAGE)]).await?;
        let rows = read.into_iter().flatten().collect::<Vec<_>>();
        if rows.is_empty() {
            return self.tail().await;
        }
        for row in &rows {
            let expected = self.head.number + 1;
            let seal = Seal::read(row).ok_or_else(|| {
                found(FindingKind::RootAltered, expected, "the seal holds what no seal does".to_owned())
            })?;
            self.seal(seal).await?;
        }
        Ok(None)
    }

    async fn seal(&mut self, seal: Seal) -> Result<(), Broken> {
        let number = seal.number;
        let expected = self.head.number + 1;
        if number != expected {
            let text = format!("seal {expected} is gone: seal {number} comes behind {}", self.head.number);
            return Err(found(FindingKind::SealRemoved, expected, text));
        }
        if seal.previous != self.head.digest || !seal.range.follows(self.head.range.as_ref()) {
            let text = format!("seal {number} does not follow from the one before it");
            return Err(found(FindingKind::SealOutOfOrder, number, text));
        }
        let leaves = unpack(&seal.leaves).filter(|leaves| {
            let digests: Vec<Digest> = leaves.iter().map(|(_, digest)| *digest).collect();
            seal.root == root(&digests)
        });
        let leaves = leaves.ok_or_else(|| {
            let text =
                format!("the root of seal {number} is not that of its leaves: one of them was altered");
            found(FindingKind::RootAltered, number, text)
        })?;
        if !self.verifier.keys.verifies(&seal.public_key, &seal.digest(), &seal.signature) {
            let text = format!(
                "seal {number} is not signed by a key that is trusted: it was altered, or persist.seal_former_keys \
                 lacks {}",
                hex::encode(&seal.public_key)
            );
            return Err(found(FindingKind::SignatureWrong, number, text));
        }
        if self.head.number == 0 && seal.range.after > 0 {
            self.nothing_before(number, seal.range.after).await?;
        }
        self.rows(&seal, &leaves).await?;
        self.rows += leaves.len() as i64;
        self.head = seal.head();
        self.last = Some(seal);
        Ok(())
    }

    /// The chain begins behind this position, because nothing of the workspace was there before.
    async fn nothing_before(&self, seal: i64, begin: i64) -> Result<(), Broken> {
        let statement = Statement::fixed(BEFORE)
            .bind(Kind::Uuid, self.workspace())
            .bind(Kind::Bigint, value::bigint(begin));
        let read = self.verifier.read(self.scope, vec![statement]).await?;
        let row = read.iter().flatten().next();
        match row.and_then(|row| sql::number(row, 0)) {
            None => Ok(()),
            Some(position) => Err(self.about_row(FindingKind::RowInserted, seal, position).await?),
        }
    }

    /// The rows as they are against the leaves as they were.
    async fn rows(&self, seal: &Seal, leaves: &[(i64, Digest)]) -> Result<(), Broken> {
        let Range { since, until, after, through, .. } = &seal.range;
        let statement = window(ROWS.as_str(), since, until)
            .named(Name::of("change_log.sealed"))
            .bind(Kind::Uuid, self.workspace())
            .bind(Kind::Bigint, value::bigint(*after))
            .bind(Kind::Bigint, value::bigint(*through));
        let read = self.verifier.read(self.scope, vec![statement]).await?;
        let rows = read.iter().flatten().map(|row| {
            let position = sql::number(row, 0).unwrap_or_default();
            (position, leaf(row, 0))
        });
        let mut leaves = leaves.iter();
        let mut next = leaves.next();
        let (kind, position) = 'found: {
            for (position, digest) in rows {
                match next {
                    Some((sealed, _)) if *sealed < position => {
                        break 'found (FindingKind::RowRemoved, *sealed);
                    }
                    Some((sealed, as_sealed)) if *sealed == position => {
                        if *as_sealed != digest {
                            break 'found (FindingKind::RowAltered, position);
                        }
                        next = leaves.next();
                    }
                    _ => break 'found (FindingKind::RowInserted, position),
                }
            }
            match next {
                None => return Ok(()),
                Some((sealed, _)) => (FindingKind::RowRemoved, *sealed),
            }
        };
        Err(self.about_row(kind, seal.number, position).await?)
    }

    /// Behind the last seal: rows that are not sealed yet, and none that the sealer has passed.
    async fn tail(&self) -> Result<Option<i64>, Broken> {
        let read = self.verifier.read(self.scope, vec![Statement::fixed(STATE)]).await?;
        let row = read.iter().flatten().next();
        let state = row.and_then(|row| {
            let epoch = sql::number(row, 0)?;
            let floor = sql::number(row, 1)?;
            let sealed = Snapshot::read(row, 2)?;
            Some((epoch, floor, sealed))
        });
        let Some((epoch, floor, sealed)) = state else {
            let text = "the table `history` does not say how far the log is sealed".to_owned();
            return Err(found(FindingKind::SealRemoved, self.head.number + 1, text));
        };
        match &self.head.range {
            None if floor > 0 => self.nothing_before(self.head.number + 1, floor).await?,
            Some(range) if range.epoch != epoch && range.until != Snapshot::end() => {
                let text = format!("the seals behind {} are gone: the epoch has no end", self.head.number);
                return Err(found(FindingKind::SealRemoved, self.head.number + 1, text));
            }
            _ => {}
        }
        let tail = window(TAIL, &self.head.since(epoch), &Snapshot::end())
            .named(Name::of("change_log.tail"))
            .bind(Kind::Uuid, self.workspace())
            .bind(Kind::Bigint, value::bigint(floor))
            .bind(Kind::Bigint, value::bigint(LAST));
        let tail = sealed.bind_to(tail);
        // Seals that were set since the last look are walked first: then this is asked again.
        let more = self.seals(self.head.number, 1);
        let read = self.verifier.read(self.scope, vec![more, tail]).await?;
        let [more, tail] = &read[..] else { return Err(Error::internal("an answer is missing").into()) };
        if !more.is_empty() {
            return Ok(None);
        }
        let number = |index| tail.first().and_then(|row| sql::number(row, index));
        match number(0) {
            None => Ok(Some(number(1).unwrap_or_default())),
            Some(position) => {
                Err(self.about_row(FindingKind::RowInserted, self.head.number + 1, position).await?)
            }
        }
    }

    async fn about_row(&self, kind: FindingKind, seal: i64, position: i64) -> Result<Broken, Error> {
        let names = Statement::fixed(NAMES)
            .bind(Kind::Uuid, self.workspace())
            .bind(Kind::Bigint, value::bigint(position));
        let read = self.verifier.read(self.scope, vec![names]).await?;
        let text = |index| {
            let row = read.iter().flatten().next()?;
            with_column(row, index, |cell| Some(String::from_utf8_lossy(cell?).into_owned()))
        };
        let (entity, id) = (text(0).unwrap_or_default(), text(1).unwrap_or_default());
        let what = match kind {
            FindingKind::RowAltered => "is not as it was sealed",
            FindingKind::RowRemoved => "was sealed and is gone",
            _ if seal > self.head.number && self.last.as_ref().is_none_or(|last| last.number < seal) => {
                "lies in what is sealed, and no seal holds it: it was inserted later, or its seal was removed"
            }
            _ => "stands between sealed rows: it was inserted later",
        };
        let description = format!("the row at position {position} {what}");
        Ok(Broken::Found(Finding { kind: kind.into(), seal, position, entity, id, description }))
    }
}

fn found(kind: FindingKind, seal: i64, description: String) -> Broken {
    Broken::Found(Finding { kind: kind.into(), seal, description, ..Finding::default() })
}
