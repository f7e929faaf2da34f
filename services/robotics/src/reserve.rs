//! Setting ingredients aside and giving them back: one commit each, all of it or nothing.

use artel_client::Call;
use artel_proto::robotics::{
    CookingOrder, Ingredient, Recipe, ReleaseIngredientsRequest, Reservation, ReservationStatus,
    ReserveIngredientsRequest,
};
use artel_repo::{Commit, Delta, Repo, digest};
use artel_util::Error;
use bytes::Bytes;

use crate::domain::{Amounts, Shortage, kept, needs, shortage, sum};
use crate::error::Refusal;

/// How often it is begun anew when somebody was faster.
const ATTEMPTS: usize = 5;

/// Sets aside what these dishes take. It is tried before it is looked whether it was done: a reservation that stands may be
/// what leaves too little.
pub(crate) async fn reserve(
    repo: &Repo,
    call: &Call,
    asked: &ReserveIngredientsRequest,
) -> Result<Reservation, Error> {
    let reserved = reserve_now(repo, call, asked).await;
    let refused = match reserved {
        Err(error) if error.is_transient() => return Err(error),
        other => other.err(),
    };
    match (repo.get::<Reservation>(call, &asked.id).await?, refused) {
        (Some(there), _) if there.status() == ReservationStatus::Released => {
            Err(Refusal::Released { id: there.id }.into())
        }
        (Some(there), _) if there.order_id != asked.order_id => Err(Refusal::Reused { id: there.id }.into()),
        (Some(there), _) => Ok(there),
        (None, Some(error)) => Err(error),
        (None, None) => Err(Refusal::Busy.into()),
    }
}

async fn reserve_now(repo: &Repo, call: &Call, asked: &ReserveIngredientsRequest) -> Result<(), Error> {
    let dishes = lower(&asked.dishes);
    let recipes: Vec<Recipe> = repo.get_many(call, ids(&dishes)).await?;
    let needs = needs(&dishes, &recipes).map_err(Refusal::Short)?;
    let all = sum(&needs);
    let mut reservation = Reservation {
        id: asked.id.clone(),
        order_id: asked.order_id.clone(),
        ingredients: kept(&all),
        ..Reservation::default()
    };
    reservation.set_status(ReservationStatus::Held);
    let commit = all.iter().fold(Commit::new(), |commit, (id, amount)| {
        commit.adjust::<Ingredient>(id, [Delta::add("stock", -amount).floor(0)])
    });
    let commit = commit.insert(&reservation).once(
        format!("robotics.reserve/{}", asked.id),
        digest(asked),
        Bytes::new(),
    );
    let counted = |outcome: &'static str| {
        metrics::counter!("artel_robotics_reservations_total", "outcome" => outcome).increment(1);
    };
    match repo.commit(call, commit).await {
        Ok(committed) => {
            if !committed.replayed {
                counted("held");
            }
            Ok(())
        }
        Err(error) => Err(match short(&error, &dishes, &needs) {
            Some(shortage) => {
                counted("short");
                Refusal::Short(shortage).into()
            }
            None => error,
        }),
    }
}

/// Which dish a failed commit means.
fn short(error: &Error, dishes: &[CookingOrder], needs: &[Amounts]) -> Option<Shortage> {
    if !matches!(error.reason(), "PRECONDITION_FAILED" | "ROW_NOT_FOUND") {
        return None;
    }
    let left = error.get("actual").and_then(|left| left.parse().ok()).unwrap_or_default();
    shortage(dishes, needs, error.get("id")?, left)
}

/// Gives back what was set aside. What never was stands as given back from now on.
pub(crate) async fn release(
    repo: &Repo,
    call: &Call,
    asked: &ReleaseIngredientsRequest,
) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let commit = match repo.get::<Reservation>(call, &asked.id).await? {
            None => {
                let (id, order_id) = (asked.id.clone(), asked.order_id.clone());
                let mut tombstone = Reservation { id, order_id, ..Reservation::default() };
                tombstone.set_status(ReservationStatus::Released);
                Commit::new().insert(&tombstone)
            }
            Some(mut there) => match there.status() {
                ReservationStatus::Held => {
                    let back = there.ingredients.clone();
                    there.set_status(ReservationStatus::Released);
                    back.iter().fold(
                        Commit::new().update(&there, &["status"]).expect_version(there.version),
                        |commit, portion| {
                            let back = Delta::add("stock", portion.amount);
                            commit.adjust::<Ingredient>(&portion.ingredient_id, [back])
                        },
                    )
                }
                ReservationStatus::Used => return Err(Refusal::Used { id: there.id }.into()),
                _ => return Ok(()),
            },
        };
        let commit = commit.once(format!("robotics.release/{}", asked.id), digest(asked), Bytes::new());
        match repo.commit(call, commit).await {
            Ok(_) => return Ok(()),
            Err(error) if is_overtaken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Refusal::Busy.into())
}

/// True where somebody was faster: worth another look.
pub(crate) fn is_overtaken(error: &Error) -> bool {
    matches!(error.reason(), "PRECONDITION_FAILED" | "ROW_NOT_FOUND" | "UNIQUE_VIOLATION")
}

/// With ids as they are kept.
pub(crate) fn lower(dishes: &[CookingOrder]) -> Vec<CookingOrder> {
    let lower =
        |dish: &CookingOrder| CookingOrder { dish_id: dish.dish_id.to_ascii_lowercase(), ..dish.clone() };
    dishes.iter().map(lower).collect()
}

/// The dishes, each once.
pub(crate) fn ids(dishes: &[CookingOrder]) -> Vec<String> {
    let mut ids: Vec<String> = dishes.iter().map(|dish| dish.dish_id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
