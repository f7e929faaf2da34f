//! The real components under the mesh: one file each says how a private instance is set up and run.

pub mod consul;
pub mod envoy;
pub mod postgres;
pub mod rabbitmq;
pub mod redis;

use std::thread;

use anyhow::{Result, anyhow};

use crate::install::Tools;
use crate::ports::Ports;
use crate::progress::Progress;
use crate::secrets::Secrets;
use crate::state::State;
use crate::supervise::Supervisor;

/// All that starting something needs to know.
pub struct Context {
    pub state: State,
    pub tools: Tools,
    pub ports: Ports,
    pub secrets: Secrets,
    pub supervisor: Supervisor,
    pub progress: Progress,
    /// The port of the collector that takes the mesh's traces.
    pub collector: Option<u16>,
}

/// Starts one component, waits until it is ready, and gives its address.
pub type Starter = fn(&Context) -> Result<String>;

/// Starts the components that the services need (everything but Envoy), beside each other, and `meanwhile`
/// beside them. RabbitMQ takes 10 s, the others 2 s at most.
///
/// # Errors
/// Every one that failed, one after the other.
pub fn start(context: &Context, meanwhile: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let all: [(&str, Starter); 4] = [
        ("RabbitMQ", rabbitmq::start),
        ("PostgreSQL", postgres::start),
        ("Consul", consul::start),
        ("Redis", redis::start),
    ];
    start_some(context, &all, meanwhile)
}

/// The same of some of them.
///
/// # Errors
/// Every one that failed, one after the other.
pub fn start_some(
    context: &Context,
    starters: &[(&'static str, Starter)],
    meanwhile: impl FnOnce() -> Result<()> + Send,
) -> Result<()> {
    let errors: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = starters
            .iter()
            .map(|&(name, start)| {
                scope.spawn(move || -> Result<()> {
                    let step = context.progress.step(name, "starting");
                    let text = start(context).map_err(|error| anyhow!("{name}: {error:#}"))?;
                    step.done(&text);
                    Ok(())
                })
            })
            .collect();
        let other = meanwhile();
        let mut errors: Vec<String> = running
            .into_iter()
            .filter_map(|thread| match thread.join() {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{error:#}")),
                Err(_) => Some("a starting thread panicked".to_owned()),
            })
            .collect();
        errors.extend(other.err().map(|error| format!("{error:#}")));
        errors
    });
    if errors.is_empty() { Ok(()) } else { Err(anyhow!(errors.join("\n\n"))) }
}
