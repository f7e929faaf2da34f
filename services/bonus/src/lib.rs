//! Bonus points: earned with paid orders, held and spent by payments, given back with refunds.
//!
//! What a person has is one row, changed together with what says why: the entries of a person always add up to balance
//! and held points, less what is owed. A balance never falls below zero, and nobody owes points who has some.

mod account;
mod api;
mod domain;
mod error;
mod grant;
mod holds;
mod listen;
mod settings;

#[cfg(test)]
mod tests;

use artel_handle::{Host, Live, Service, Shape};
use artel_proto::billing::PaymentRefunded;
use artel_proto::bonus::bonus_service_server::BonusServiceServer;
use artel_proto::order::OrderPaid;

use crate::api::Bonus;
use crate::listen::{Earn, TakeBack};
use crate::settings::Settings;

pub use crate::settings::DEFAULTS;

/// The section `[bonus]`, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// The service `bonus`.
///
/// # Errors
/// Where its section of the configuration is wrong.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let settings: Live<Settings> = host.settings()?;
    let repo = host.repo();
    Ok(Service::new("bonus")
        .grpc(BonusServiceServer::new(Bonus::new(repo.clone())))
        .listen::<OrderPaid>(Earn::new(repo.clone(), settings))
        .listen::<PaymentRefunded>(TakeBack::new(repo)))
}
