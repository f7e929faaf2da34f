//! Ours and the yardsticks in turn (A B A B …), so that whatever else the machine does falls on all of them. The first
//! round is thrown away, and the median of the others is the figure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde::Serialize;

use crate::cpu::{self, GENERATOR, Watched};
use crate::load::Latency;

/// One of those that are compared.
#[async_trait(?Send)]
pub trait Contender {
    /// What the table calls it.
    fn name(&self) -> &str;

    /// The processes whose CPU is its.
    fn watched(&self) -> Vec<Watched>;

    /// Makes the next round begin as the first did. Not measured.
    async fn reset(&mut self) -> Result<()> {
        Ok(())
    }

    /// Works for about this long.
    async fn run(&mut self, time: Duration) -> Result<Work>;
}

/// What was done in a round, as the contender tells it.
#[derive(Debug, Default)]
pub struct Work {
    /// Requests.
    pub done: u64,
    /// What they took together, where the contender knows better than the clock around it.
    pub seconds: Option<f64>,
    /// How long each took.
    pub latency: Option<Latency>,
    /// Whatever else is worth keeping.
    pub more: BTreeMap<String, f64>,
}

/// A round as it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Requests.
    pub done: u64,
    /// What they took together.
    pub seconds: f64,
    /// Milliseconds of CPU, by process.
    pub cpu_ms: BTreeMap<String, f64>,
    /// How long each took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Whatever else is worth keeping.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, f64>,
}

/// The rounds of one contender that count.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// Whose.
    pub name: String,
    /// In order, without the first.
    pub rounds: Vec<Sample>,
}

/// How often and how long.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Rounds that count; one more is run before them.
    pub rounds: usize,
    /// What a round takes.
    pub time: Duration,
}

impl Sample {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    /// Milliseconds of a process' CPU for each request, which is seconds for 1,000.
    pub fn cpu(&self, process: &str) -> f64 {
        self.cpu_ms.get(process).copied().unwrap_or_default() / self.done.max(1) as f64
    }

    /// The same of all processes but the generator of load.
    pub fn cpu_of_all(&self) -> f64 {
        self.cpu_ms.keys().filter(|name| *name != GENERATOR).map(|name| self.cpu(name)).sum()
    }

    /// The median latency in milliseconds; 0 where it was not measured.
    pub fn p50(&self) -> f64 {
        self.latency.map_or(0.0, |latency| latency.p50_ms)
    }

    fn line(&self) -> String {
        let mut line = format!("{:>9.0}/s", self.rate());
        if let Some(latency) = &self.latency {
            line.push_str(&format!("  p50 {:.3} p99 {:.3} ms", latency.p50_ms, latency.p99_ms));
        }
        for name in self.cpu_ms.keys() {
            line.push_str(&format!("  {name} {:.4}", self.cpu(name)));
        }
        line
    }
}

impl Series {
    /// The median over the rounds of whatever is looked at.
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.median(Sample::rate)
    }

    /// Milliseconds of a process' CPU for each request.
    pub fn cpu(&self, process: &str) -> f64 {
        self.median(|sample| sample.cpu(process))
    }

    /// The medians of everything: rate, latency, CPU of each process.
    pub fn summary(&self) -> String {
        let Some(first) = self.rounds.first() else { return String::new() };
        let mut text = format!("{:.0}/s", self.rate());
        if first.latency.is_some() {
            let p99 = self.median(|sample| sample.latency.map_or(0.0, |latency| latency.p99_ms));
            text.push_str(&format!(", p50 {:.2} p99 {:.2} ms", self.median(Sample::p50), p99));
        }
        if !first.cpu_ms.is_empty() {
            let names = first.cpu_ms.keys().map(|name| format!("{name} {:.4}", self.cpu(name)));
            text.push_str(&format!("; CPU ms each: {}", names.collect::<Vec<_>>().join(", ")));
        }
        text
    }
}

/// The middle one, or 0 of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// Runs the contenders in turn and says how it goes. The series come in the contenders' order.
pub async fn in_turn(figure: &str, plan: Plan, contenders: &mut [&mut dyn Contender]) -> Result<Vec<Series>> {
    let mut series: Vec<Series> =
        contenders.iter().map(|it| Series { name: it.name().to_owned(), rounds: Vec::new() }).collect();
    for round in 0..=plan.rounds {
        for (contender, series) in contenders.iter_mut().zip(&mut series) {
            let name = series.name.clone();
            let sample = sample(*contender, plan.time).await.with_context(|| format!("{figure}, {name}"))?;
            let note = if round == 0 { "warm-up".to_owned() } else { format!("{round}/{}", plan.rounds) };
            println!("  {figure}  {note:>7}  {name:<24} {}", sample.line());
            if round > 0 {
                series.rounds.push(sample);
            }
        }
    }
    Ok(series)
}

async fn sample(contender: &mut dyn Contender, time: Duration) -> Result<Sample> {
    contender.reset().await.context("before the round")?;
    let watched = contender.watched();
    let before = cpu::used(&watched)?;
    let begin = Instant::now();
    let work = contender.run(time).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let mut cpu_ms = cpu::used(&watched)?;
    for (name, used) in &mut cpu_ms {
        *used -= before.get(name).copied().unwrap_or_default();
    }
    anyhow::ensure!(work.done > 0, "nothing was done in {seconds:.1} s");
    Ok(Sample {
        done: work.done,
        seconds: work.seconds.unwrap_or(seconds),
        cpu_ms,
        latency: work.latency,
        more: work.more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counts(Vec<u64>);

    #[async_trait(?Send)]
    impl Contender for Counts {
        fn name(&self) -> &str {
            "counts"
        }
        fn watched(&self) -> Vec<Watched> {
            vec![Watched::own("self")]
        }
        async fn run(&mut self, _: Duration) -> Result<Work> {
            Ok(Work { done: self.0.remove(0), seconds: Some(2.0), ..Work::default() })
        }
    }

    #[tokio::test]
    async fn the_first_round_is_thrown_away_and_the_median_taken() {
        let mut contender = Counts(vec![1_000, 10, 30, 20]);
        let plan = Plan { rounds: 3, time: Duration::ZERO };
        let series = in_turn("B0", plan, &mut [&mut contender]).await.unwrap();
        assert_eq!(series[0].rounds.len(), 3);
        assert!((series[0].rate() - 10.0).abs() < 1e-9, "20 in 2 s");
    }

    #[test]
    fn medians_of_odd_even_and_nothing() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(vec![]).abs() < 1e-9);
    }
}
