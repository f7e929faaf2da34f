//! Placing: `menu` is asked, then one commit in which the order, its number on the board and the event happen together or
//! not at all.

use artel_client::{Call, Channel};
use artel_handle::Live;
use artel_proto::Entity as _;
use artel_proto::Message as _;
use artel_proto::menu::CheckAvailabilityRequest;
use artel_proto::menu::menu_service_client::MenuServiceClient;
use artel_proto::order::{BoardNumber, Order, OrderPlaced, PlaceOrderRequest};
use artel_repo::{Commit, Repo, digest};
use artel_util::{Error, now, time};

use super::lines::{self, Line, draft};
use super::numbers::Numbers;
use crate::error::Refusal;
use crate::place::is_overtaken;
use crate::settings::Settings;

/// How often it is begun anew when the number of the board, or that of the order, is taken meanwhile.
const ATTEMPTS: usize = 8;

/// Takes orders of dishes.
pub(crate) struct Kitchen {
    repo: Repo,
    menu: MenuServiceClient<Channel>,
    numbers: Numbers,
    settings: Live<Settings>,
}

impl Kitchen {
    pub(crate) fn new(repo: Repo, menu: Channel, settings: Live<Settings>) -> Self {
        Self { repo, menu: MenuServiceClient::new(menu), numbers: Numbers::new(), settings }
    }

    /// Places an order. With a key, the same request gives the same order however often it comes.
    pub(super) async fn place(&self, call: &Call, request: &PlaceOrderRequest) -> Result<Order, Error> {
        let user_id = call.user_id()?;
        let lines = lines::together(&request.items)?;
        let key = (!request.idempotency_key.is_empty())
            .then(|| format!("order.place/{user_id}/{}", request.idempotency_key));
        let placed = self.place_now(call, user_id, &lines, key.as_deref(), request).await;
        // Whatever stands in the way now, a request that was granted before gets its answer again.
        if let (Err(_), Some(key)) = (&placed, &key)
            && let Ok(Some(answer)) = self.repo.recall(call, key, digest(request)).await
        {
            return Order::decode(answer).map_err(Error::internal);
        }
        placed
    }

    async fn place_now(
        &self,
        call: &Call,
        user_id: &str,
        lines: &[Line],
        key: Option<&str>,
        request: &PlaceOrderRequest,
    ) -> Result<Order, Error> {
        let locale = call.user.as_ref().map(|user| user.locale.clone()).unwrap_or_default();
        let question = CheckAvailabilityRequest { lines: lines::question(lines), locale };
        let offers = self.menu.clone().check_availability(call.request(question)).await?.into_inner().offers;
        let mut order = draft(user_id, lines, offers)?;
        order.board_number = self.numbers.turn();
        let moment = now();
        (order.version, order.create_time, order.update_time) = (1, Some(moment), Some(moment));
        order.expire_time = Some(time::after(self.settings.get().pay_within()));

        for _ in 0..ATTEMPTS {
            let number =
                BoardNumber { id: order.id.clone(), number: order.board_number, ..BoardNumber::default() };
            let event = OrderPlaced {
                order_id: order.id.clone(),
                user_id: order.user_id.clone(),
                order: Some(order.clone()),
            };
            let mut commit = Commit::new().insert(&order).insert(&number).publish(&event);
            if let Some(key) = key {
                commit = commit.once(key, digest(request), order.encode_to_vec());
            }
            match self.repo.commit(call, commit).await {
                Ok(committed) if committed.replayed => {
                    return Order::decode(committed.answer).map_err(Error::internal);
                }
                Ok(_) => {
                    metrics::counter!("artel_order_dishes_placed_total").increment(1);
                    return Ok(order);
                }
                Err(error) if !is_overtaken(&error) => return Err(error),
                Err(error) if error.get("entity") == Some(BoardNumber::NAME) => {
                    order.board_number = self.numbers.free(&self.repo, call).await?;
                }
                Err(_) => order.number = crate::domain::number(rand::random()),
            }
        }
        Err(Refusal::Busy.into())
    }
}
