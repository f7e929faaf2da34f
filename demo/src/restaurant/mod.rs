//! An evening in the robot restaurant: guests sign in by phone and order at once, the bank fails and loses answers, the
//! printer dies for a while, and in the end everything must add up.

mod api;
mod board;
mod guest;
mod places;
mod sandbox;
mod staff;
mod tell;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use futures::StreamExt as _;
use serde_json::json;
use tokio::time::Instant;

use self::api::Api;
use self::board::Screen;
use self::guest::{Guest, Meal};
use self::places::{Operator, Places};
use self::sandbox::{Phones, Sandbox};
use self::tell::{Progress, Report};

/// Sign-ins that are under way at once: guests come one after the other, and order together.
const AT_THE_DOOR: usize = 20;
/// For how long what was paid may take until it is cooked, printed and handed over.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the evening is like.
#[derive(Debug, clap::Args)]
pub struct Evening {
    /// Guests who order at once
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=900))]
    guests: u64,
    /// Calls of the bank that fail, in percent
    #[arg(long, default_value_t = 5.0)]
    bank_fails: f64,
    /// Answers of the bank that are lost, in percent
    #[arg(long, default_value_t = 2.0)]
    bank_loses: f64,
    /// Seconds for which the printer is dead
    #[arg(long, default_value_t = 60)]
    printer_dead: u64,
    /// What chance depends on, so that an evening can be had again
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The menu and the kitchen
    #[arg(long, default_value = "system/demo/restaurant.json")]
    menu: String,
}

impl Evening {
    /// Has the evening, and tells how it was. True where everything adds up.
    pub async fn run(&self, endpoints: &Path, artel: PathBuf) -> anyhow::Result<bool> {
        let (places, operator) = (Places::read(endpoints)?, Operator::new(artel, endpoints));
        let api = Api::new(&places.api)?;
        let [bank, printer, sms] =
            [&places.bank, &places.printer, &places.sms].map(|url| Sandbox::new(api.http(), url));

        let progress = Progress::new("the kitchen and the menu");
        progress.say(operator.run(&["restaurant", "load", &self.menu]).await?.trim());
        let staff = staff::hire(&api, &operator).await?;
        let phones = Phones::follow(sms).await?;
        let (screen, mut calls) = Screen::follow(&api);
        let numbers_before = staff.get("/api/v1/statistics/today").await?["report"].clone();
        let (charged_before, printed_before) = (bank.last().await?, printer.last().await?);

        progress.next(&format!("{} guests sign in by phone", self.guests));
        let guests: Vec<anyhow::Result<Guest>> = futures::stream::iter(0..self.guests)
            .map(|number| Guest::come_in(&api, &phones, &staff, number, self.seed))
            .buffer_unordered(AT_THE_DOOR)
            .inspect(|_| progress.step(self.guests))
            .collect()
            .await;
        let guests = guests.into_iter().collect::<anyhow::Result<Vec<_>>>()?;

        progress.next(&format!(
            "all order and pay at once; the bank fails {} % and loses {} % of its answers, the printer is dead for {} s",
            self.bank_fails, self.bank_loses, self.printer_dead
        ));
        bank.faults(&json!({"failPercent": self.bank_fails, "losePercent": self.bank_loses})).await?;
        printer.faults(&json!({"down": true})).await?;
        let dead_until = Instant::now() + Duration::from_secs(self.printer_dead);
        let waited = Arc::new(AtomicUsize::new(0));
        let printing =
            tokio::spawn(watch_printer(printer.clone(), staff.clone(), dead_until, waited.clone()));

        let orders: Arc<Mutex<HashMap<u64, String>>> = Arc::default();
        let served = Arc::new(AtomicU64::new(0));
        let serving = {
            let (orders, served, staff) = (orders.clone(), served.clone(), staff.clone());
            tokio::spawn(async move {
                while let Some(number) = calls.recv().await {
                    let order = orders.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned();
                    // A number of another evening is nobody's here.
                    if let Some(order) = order
                        && staff::hand_over(&staff, &order).await.is_ok()
                    {
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        let meals = guests.into_iter().map(|guest| {
            let (orders, progress, count) = (orders.clone(), progress.clone(), self.guests);
            async move {
                let meal = guest.eat(|number, order| {
                    orders.lock().unwrap_or_else(PoisonError::into_inner).insert(number, order.to_owned());
                });
                let meal = meal.await;
                progress.step(count);
                meal
            }
        });
        let meals =
            futures::future::join_all(meals).await.into_iter().collect::<anyhow::Result<Vec<Meal>>>()?;
        bank.mend().await?;

        let paid = meals.iter().filter(|meal| meal.paid.is_some()).count() as u64;
        progress.next("the kitchen cooks, the board calls, guests fetch");
        let begun = Instant::now();
        loop {
            let done = served.load(Ordering::Relaxed);
            progress.at(done, paid, &screen.now());
            let printed = printing.is_finished() && staff::receipts_waiting(&staff).await? == 0;
            if done >= paid && printed {
                break;
            }
            if begun.elapsed() > PATIENCE {
                bail!(
                    "after {PATIENCE:?} {done} of {paid} orders are handed over; receipts printed: {printed}"
                );
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        serving.abort();
        printing.await??;

        progress.next("the numbers of the day");
        // Numbers are no older than two seconds.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let report = Report {
            board: screen.now(),
            numbers: staff.get("/api/v1/statistics/today").await?["report"].clone(),
            numbers_before,
            effects: bank.ledger(charged_before).await?,
            receipts: printed(&printer.ledger(printed_before).await?),
            receipts_waited: waited.load(Ordering::Relaxed),
            sms: phones.count(),
            invariants: operator.ask(&["restaurant", "check", "--older-than", "0"]).await?,
            meals,
        };
        progress.done();
        Ok(report.tell())
    }
}

/// Counts the most receipts that wait while the printer is dead, and has it mended when its time has come.
async fn watch_printer(
    printer: Sandbox,
    staff: Api,
    dead_until: Instant,
    most: Arc<AtomicUsize>,
) -> anyhow::Result<()> {
    while Instant::now() < dead_until {
        most.fetch_max(staff::receipts_waiting(&staff).await?, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    most.fetch_max(staff::receipts_waiting(&staff).await?, Ordering::Relaxed);
    printer.mend().await
}

/// How many receipts are on paper, of what the printer did.
fn printed(effects: &[serde_json::Value]) -> usize {
    effects.iter().filter(|effect| sandbox::text(effect, "kind") == "printed").count()
}
