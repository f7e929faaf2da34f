//! The kitchen, as the menu needs it: how many portions there can be.

use artel_client::{Call, Channel};
use artel_proto::robotics::robotics_service_client::RoboticsServiceClient;
use artel_proto::robotics::{CookingOrder, DishPortions, GetPortionsRequest};
use artel_util::Error;
use async_trait::async_trait;

/// Dishes that one question asks for.
const AT_ONCE: usize = 1_000;

/// Who knows what can be cooked.
#[async_trait]
pub(crate) trait Kitchen: Send + Sync + 'static {
    /// One answer for each dish, in order. Up to a thousand dishes count together.
    async fn portions(&self, call: &Call, dishes: Vec<CookingOrder>) -> Result<Vec<DishPortions>, Error>;
}

/// The service `robotics`.
pub(crate) struct Robotics(RoboticsServiceClient<Channel>);

impl Robotics {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(RoboticsServiceClient::new(channel))
    }
}

#[async_trait]
impl Kitchen for Robotics {
    async fn portions(&self, call: &Call, dishes: Vec<CookingOrder>) -> Result<Vec<DishPortions>, Error> {
        let mut portions = Vec::with_capacity(dishes.len());
        for dishes in dishes.chunks(AT_ONCE) {
            let request = call.request(GetPortionsRequest { dishes: dishes.to_vec() });
            portions.extend(self.0.clone().get_portions(request).await?.into_inner().dishes);
        }
        Ok(portions)
    }
}
