//! What people read: how far it is, and how the evening was.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::board::Board;
use super::guest::{Meal, amount};
use super::sandbox::text;

/// How far the evening is.
#[derive(Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    pub fn new(first: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(120));
        let style = ProgressStyle::with_template("{spinner} [{elapsed}] {msg} {wide_bar} {pos}/{len}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        let progress = Self(bar);
        progress.next(first);
        progress
    }

    /// The next part begins.
    pub fn next(&self, what: &str) {
        self.say(&format!("… {what}"));
        self.0.set_position(0);
        self.0.set_message("");
    }

    pub fn say(&self, what: &str) {
        // Also where nobody looks at a terminal.
        if self.0.is_hidden() { println!("{what}") } else { self.0.println(what) }
    }

    /// One more of so many.
    pub fn step(&self, of: u64) {
        self.0.set_length(of);
        self.0.inc(1);
    }

    pub fn at(&self, done: u64, of: u64, board: &Board) {
        self.0.set_length(of);
        self.0.set_position(done);
        let shown = |numbers: &std::collections::BTreeSet<u64>| numbers.len();
        self.0.set_message(format!("preparing {}, ready {}", shown(&board.preparing), shown(&board.ready)));
    }

    pub fn done(&self) {
        self.0.finish_and_clear();
    }
}

/// How the evening was.
pub struct Report {
    pub board: Board,
    pub numbers: Value,
    /// What the day had come to before the evening.
    pub numbers_before: Value,
    /// What the bank did.
    pub effects: Vec<Value>,
    pub receipts: usize,
    pub receipts_waited: usize,
    pub sms: usize,
    /// What the monitor says, and whether all holds.
    pub invariants: (String, bool),
    pub meals: Vec<Meal>,
}

impl Report {
    /// Prints it. True where everything adds up.
    pub fn tell(&self) -> bool {
        self.guests();
        self.board();
        self.day();
        let money = self.money();
        println!("\nWhat must always hold\n{}", self.invariants.0.trim_end());
        let good = money && self.invariants.1;
        println!("\n{}", if good { "Everything adds up." } else { "Something does not add up: see above." });
        good
    }

    fn guests(&self) {
        let paid = self.meals.iter().filter(|meal| meal.paid.is_some()).count();
        let mut refusals: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in self.meals.iter().flat_map(|meal| &meal.refusals) {
            *refusals.entry(reason).or_default() += 1;
        }
        let mut times = Histogram::<u64>::new_with_max(3_600_000, 3)
            .unwrap_or_else(|_| unreachable!("an hour with three digits is fine"));
        for meal in self.meals.iter().filter(|meal| meal.paid.is_some()) {
            times.saturating_record(meal.took.as_millis().try_into().unwrap_or(u64::MAX));
        }
        println!("\nThe guests");
        println!("  {} came, {paid} paid and ate, {} SMS came to their phones", self.meals.len(), self.sms);
        for (reason, count) in refusals {
            println!("  {count} times a payment was refused with {reason}, and nothing was taken");
        }
        println!(
            "  from asking to pay until paid: p50 {} ms, p95 {} ms, longest {} ms",
            times.value_at_quantile(0.5),
            times.value_at_quantile(0.95),
            times.max()
        );
        println!(
            "  up to {} receipts waited for the dead printer; {} are printed",
            self.receipts_waited, self.receipts
        );
    }

    fn board(&self) {
        let numbers = |numbers: &std::collections::BTreeSet<u64>| match numbers.len() {
            0 => "–".to_owned(),
            _ => numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        println!("\nThe board ({} changes shown, {} reconnects)", self.board.changes, self.board.reconnects);
        println!("  preparing  {}", numbers(&self.board.preparing));
        println!("  ready      {}", numbers(&self.board.ready));
    }

    fn day(&self) {
        let total = &self.numbers["total"];
        let count = |field: &str| amount(&total[field]);
        println!("\nThe day's numbers");
        println!("  {} orders placed, {} paid", count("placed"), count("orders"));
        println!(
            "  revenue {}, average bill {}, points used {}",
            money(count("revenueMinor")),
            money(count("averageBillMinor")),
            money(count("bonusMinor"))
        );
        println!(
            "  prepared in {:.1} s (p50), {:.1} s (p95)",
            count("preparationP50Ms") as f64 / 1000.0,
            count("preparationP95Ms") as f64 / 1000.0
        );
        for dish in self.numbers["dishes"].as_array().into_iter().flatten().take(5) {
            let sold = amount(&dish["quantity"]);
            println!("  {sold:>4} × {} for {}", text(dish, "name"), money(amount(&dish["amountMinor"])));
        }
    }

    /// What the guests were told that they paid against what the bank took, and against the day's numbers.
    fn money(&self) -> bool {
        let sum = |kind: &str| -> i64 {
            let effects = self.effects.iter().filter(|effect| text(effect, "kind") == kind);
            effects.map(|effect| amount(&effect["amountMinor"])).sum()
        };
        let kept = sum("charged") - sum("refunded");
        let paid = || self.meals.iter().filter_map(|meal| meal.paid.as_ref());
        let (card, bonus): (i64, i64) =
            (paid().map(|paid| paid.card).sum(), paid().map(|paid| paid.bonus).sum());
        let all: i64 = paid().map(|paid| paid.amount).sum();
        let revenue =
            [&self.numbers, &self.numbers_before].map(|numbers| amount(&numbers["total"]["revenueMinor"]));
        let revenue = revenue[0] - revenue[1];
        println!("\nThe money");
        println!(
            "  guests were told that they paid {}: {} by card, {} with points",
            money(all),
            money(card),
            money(bonus)
        );
        println!(
            "  the bank took {} and gave {} back: {} apart",
            money(sum("charged")),
            money(sum("refunded")),
            money(kept - card)
        );
        println!("  the day's revenue grew by {}: {} apart", money(revenue), money(revenue - all));
        kept == card && revenue == all && card + bonus == all
    }
}

/// Minor units as people read them.
fn money(minor: i64) -> String {
    format!("{}.{:02} KZT", minor / 100, (minor % 100).abs())
}
