//! The services: started, one process or many, and watched through Consul.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::artel::{self, services};
use crate::components::Context;
use crate::http;

/// How many processes, and of what.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// A process a service; otherwise one holds them all.
    pub split: bool,
    /// How many of a service (at least 1).
    pub scale: BTreeMap<String, usize>,
}

/// Where each service is, by name: its healthy instances' addresses.
pub type Addresses = BTreeMap<String, Vec<String>>;

impl Shape {
    /// Reads `order=2`.
    pub fn parse_scale(text: &str) -> Result<(String, usize), String> {
        let (name, count) = text.split_once('=').ok_or("expected SERVICE=COUNT, as in order=2")?;
        if !services().any(|service| service == name) {
            let known = services().collect::<Vec<_>>().join(", ");
            return Err(format!("there is no service `{name}`; there are {known}"));
        }
        // It listens on one fixed port, where Envoy expects it.
        if name == "gateway" {
            return Err("the gateway can't be scaled on one machine: Envoy looks for it on one port".into());
        }
        match count.parse() {
            Ok(count @ 1..=16) => Ok((name.to_owned(), count)),
            _ => Err(format!("`{count}` is no count from 1 to 16")),
        }
    }

    fn count(&self, service: &str) -> usize {
        self.scale.get(service).copied().unwrap_or(1)
    }

    /// Each process: its name and what it serves.
    fn processes(&self) -> Vec<(String, &'static str)> {
        let mut processes = Vec::new();
        if !self.split {
            processes.push(("artel".to_owned(), "all"));
        }
        for service in services() {
            let first = if self.split { 1 } else { 2 };
            for number in first..=self.count(service) {
                let name = if number == 1 { service.to_owned() } else { format!("{service}-{number}") };
                processes.push((name, service));
            }
        }
        processes
    }
}

/// Starts the services and waits until Consul reports as many of each healthy as there should be.
pub fn start(context: &Context, artel: &Path, shape: &Shape, limit: Duration) -> Result<Addresses> {
    let processes = shape.processes();
    for (name, serves) in &processes {
        context.supervisor.start(artel::spec(context, artel, name, &["serve", serves]))?;
    }
    let alive = || processes.iter().try_for_each(|(name, _)| context.supervisor.check(name));
    let consul = crate::components::consul::url(context);
    let mut waits_for = String::new();
    let waited = crate::wait::until("Consul to report every service healthy", limit, alive, || {
        let now = addresses(&consul)?;
        let missing: Vec<&str> =
            services().filter(|name| now.get(*name).map_or(0, Vec::len) < shape.count(name)).collect();
        waits_for = missing.join(", ");
        Ok(missing.is_empty())
    });
    if let Err(error) = waited {
        if waits_for.is_empty() || crate::signals::asked() {
            return Err(error);
        }
        bail!("{error:#}\nnot healthy yet: {waits_for}. Logs: {}", context.state.logs().display());
    }
    for (name, _) in &processes {
        context.supervisor.ready(name);
    }
    addresses(&consul)
}

/// The healthy instances of our services, as the local Consul agent knows them.
pub fn addresses(consul: &str) -> Result<Addresses> {
    Ok(instances(consul)?
        .into_iter()
        .map(|(name, all)| {
            let passing = all.into_iter().filter(|it| it.status == "passing");
            (name, passing.map(|it| it.address).collect())
        })
        .collect())
}

/// One registration in Consul.
#[derive(Debug, Clone)]
pub struct Instance {
    pub address: String,
    pub status: String,
}

/// Every registered instance of our services.
pub fn instances(consul: &str) -> Result<BTreeMap<String, Vec<Instance>>> {
    services().map(|name| Ok((name.to_owned(), of_service(consul, name)?))).collect()
}

fn of_service(consul: &str, name: &str) -> Result<Vec<Instance>> {
    let url = format!("{consul}/v1/agent/health/service/name/{name}?format=json");
    let answer = http::get(&url, None, Duration::from_secs(2))?;
    if answer.status == 404 {
        return Ok(Vec::new());
    }
    let found = answer.json().with_context(|| format!("Consul's answer about {name}"))?;
    let mut instances: Vec<Instance> = found.as_array().into_iter().flatten().map(read).collect();
    instances.sort_by(|one, other| one.address.cmp(&other.address));
    Ok(instances)
}

fn read(found: &Value) -> Instance {
    let service = &found["Service"];
    Instance {
        address: format!(
            "{}:{}",
            service["Address"].as_str().unwrap_or_default(),
            service["Port"].as_u64().unwrap_or_default()
        ),
        status: found["AggregatedStatus"].as_str().unwrap_or("unknown").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_follow_the_shape() {
        let names = |shape: &Shape| -> Vec<String> { shape.processes().into_iter().map(|it| it.0).collect() };
        let scale = BTreeMap::from([("order".to_owned(), 2)]);
        assert_eq!(names(&Shape::default()), ["artel"]);
        assert_eq!(names(&Shape { split: false, scale: scale.clone() }), ["artel", "order-2"]);
        let split = names(&Shape { split: true, scale });
        assert_eq!(split.len(), services().count() + 1);
        assert!(split.contains(&"order".to_owned()) && split.contains(&"order-2".to_owned()));
    }

    #[test]
    fn a_scale_is_a_service_and_a_count() {
        assert_eq!(Shape::parse_scale("order=2"), Ok(("order".to_owned(), 2)));
        for wrong in ["order", "order=0", "order=x", "nobody=2", "gateway=2", "order=99"] {
            assert!(Shape::parse_scale(wrong).is_err(), "{wrong}");
        }
    }
}
