//! What a person has, and the commits that change it.

use artel_client::Call;
use artel_proto::Entity as _;
use artel_proto::bonus::{BonusAccount, BonusEntry, BonusEntryKind};
use artel_repo::{Commit, Delta, Query, Repo};
use artel_util::{Error, new_id};

use crate::domain::Move;

/// How often it is begun anew when somebody was faster.
pub(crate) const ATTEMPTS: usize = 16;

/// What a person has; the row is missing where nothing happened to it yet.
pub(crate) struct Account {
    pub(crate) is_new: bool,
    pub(crate) row: BonusAccount,
}

impl Account {
    pub(crate) async fn of(repo: &Repo, call: &Call, user_id: &str) -> Result<Self, Error> {
        let row: Option<BonusAccount> = repo.get(call, user_id).await?;
        let is_new = row.is_none();
        let row = row.unwrap_or_else(|| BonusAccount { id: user_id.to_owned(), ..BonusAccount::default() });
        Ok(Self { is_new, row })
    }

    /// Points come in. The row must still owe what it owed; all else may have changed.
    pub(crate) fn take_in(&self, commit: Commit, change: Move) -> Commit {
        if change == Move::default() {
            return commit;
        }
        if self.is_new {
            let Move { balance, held, owed } = change;
            return commit.insert(&BonusAccount { balance, held, owed, ..self.row.clone() });
        }
        adjust(commit, &self.row.id, change).expect("owed", self.row.owed)
    }

    /// Points go out, as far as there are any: of the row as it was seen.
    pub(crate) fn take_out(&self, commit: Commit, change: Move) -> Commit {
        let commit = self.take_in(commit, change);
        if self.is_new || change == Move::default() {
            commit
        } else {
            commit.expect_version(self.row.version)
        }
    }
}

/// Adds to the numbers of an account, none of which falls below zero.
pub(crate) fn adjust(commit: Commit, user_id: &str, change: Move) -> Commit {
    let numbers = [("balance", change.balance), ("held", change.held), ("owed", change.owed)];
    let deltas = numbers.into_iter().filter(|(_, amount)| *amount != 0);
    commit.adjust::<BonusAccount>(user_id, deltas.map(|(field, amount)| Delta::add(field, amount).floor(0)))
}

/// A new entry.
pub(crate) fn entry(user_id: &str, kind: BonusEntryKind, amount: i64, cause: String) -> BonusEntry {
    let (id, kind, user_id) = (new_id(), kind.into(), user_id.to_owned());
    BonusEntry { id, kind, user_id, amount, cause, ..BonusEntry::default() }
}

/// The entry with this cause.
pub(crate) async fn caused(repo: &Repo, call: &Call, cause: &str) -> Result<Option<BonusEntry>, Error> {
    Ok(repo.query::<BonusEntry>(call, Query::new().equal("cause", cause)).await?.items.pop())
}

/// True where somebody was faster: worth another look.
pub(crate) fn is_overtaken(error: &Error) -> bool {
    matches!(error.reason(), "PRECONDITION_FAILED" | "ROW_NOT_FOUND" | "UNIQUE_VIOLATION")
}

/// Counts points that moved.
pub(crate) fn count(kind: BonusEntryKind, amount: i64) {
    let kind = kind.as_str_name().trim_start_matches("BONUS_ENTRY_KIND_").to_lowercase();
    metrics::counter!("artel_bonus_points_total", "kind" => kind).increment(amount.unsigned_abs());
}

/// True where the violated law is that of the entries: what was to be done is done.
pub(crate) fn is_entered(error: &Error) -> bool {
    error.reason() == "UNIQUE_VIOLATION" && error.get("entity") == Some(BonusEntry::NAME)
}
