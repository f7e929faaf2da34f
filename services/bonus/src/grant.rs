//! Gifts.

use artel_client::Call;
use artel_proto::bonus::{BonusEntry, BonusEntryKind, GrantBonusRequest};
use artel_proto::identity::User;
use artel_repo::{Commit, Repo, digest};
use artel_util::Error;
use bytes::Bytes;

use crate::account::{ATTEMPTS, Account, caused, count, entry, is_overtaken};
use crate::domain::Move;
use crate::error::Refusal;

/// Gives a guest points, once for a key.
pub(crate) async fn grant(repo: &Repo, call: &Call, asked: &GrantBonusRequest) -> Result<BonusEntry, Error> {
    let cause = format!("grant/{}", asked.idempotency_key);
    if repo.get::<User>(call, &asked.user_id).await?.is_none() {
        return Err(Refusal::NoSuchUser { id: asked.user_id.clone() }.into());
    }
    for _ in 0..ATTEMPTS {
        if let Some(entry) = caused(repo, call, &cause).await? {
            let is_same = entry.user_id == asked.user_id
                && entry.amount == asked.amount
                && entry.comment == asked.comment;
            return if is_same { Ok(entry) } else { Err(Refusal::Reused { field: "idempotencyKey" }.into()) };
        }
        let account = Account::of(repo, call, &asked.user_id).await?;
        let mut gift = entry(&asked.user_id, BonusEntryKind::Grant, asked.amount, cause.clone());
        gift.comment.clone_from(&asked.comment);
        let commit = account
            .take_in(Commit::new().insert(&gift), Move::credit(&account.row, asked.amount))
            .once(format!("bonus.{cause}"), digest(asked), Bytes::new());
        match repo.commit(call, commit).await {
            // What was committed is read, with its time.
            Ok(committed) if !committed.replayed => count(BonusEntryKind::Grant, asked.amount),
            Ok(_) => {}
            Err(error) if is_overtaken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Refusal::Busy.into())
}
