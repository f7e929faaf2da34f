//! Which port each thing listens on: the standard one, or a free one where that is taken, and the same one
//! next time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

use crate::files;
use crate::state::State;

/// Each port by name, with the one everybody expects.
const STANDARD: &[(&str, u16)] = &[
    ("postgres", 5432),
    ("redis", 6379),
    ("rabbitmq", 5672),
    ("rabbitmq_management", 15672),
    ("rabbitmq_distribution", 25672),
    ("epmd", 4369),
    ("consul", 8500),
    ("consul_server", 8300),
    ("consul_gossip", 8301),
    ("edge", 8080),
    ("edge_tls", 8443),
    ("envoy_admin", 9901),
    ("xds", 18000),
    ("smtp", 1025),
    ("mailbox", 8025),
    ("bank", 8101),
    ("printer", 8102),
    ("sms", 8103),
    ("push", 8104),
    ("robots", 8105),
    (COLLECTOR, 4317),
];

/// Where a collector of traces listens that is not ours: the developer's, or a test's.
const COLLECTOR: &str = "otlp";

/// Free ports are taken from below the range from which the kernel picks ports for outgoing connections.
const FREE: std::ops::Range<u16> = 20_000..32_000;

/// The chosen ports.
#[derive(Debug, Clone)]
pub struct Ports(BTreeMap<String, u16>);

/// What to prefer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// The standard ports.
    Standard,
    /// Free ones, out of everybody's way: for tests.
    Free,
}

impl Ports {
    /// Chooses, preferring what this folder used before, and remembers.
    pub fn choose(state: &State, prefer: Prefer, edge: Option<u16>) -> Result<Self> {
        let remembered = Self::remembered(state);
        let mut taken = BTreeSet::new();
        let mut ports = BTreeMap::new();
        for &(name, standard) in STANDARD {
            let mut wishes = Vec::new();
            if let Some(port) = edge.filter(|_| name == "edge") {
                if !free(port) {
                    bail!("port {port} is taken: choose another with --port");
                }
                wishes.push(port);
            }
            wishes.extend(remembered.get(name));
            if prefer == Prefer::Standard {
                wishes.push(standard);
            }
            let wish = wishes.into_iter().find(|&port| !taken.contains(&port) && free(port));
            let Some(port) = wish.or_else(|| any_free(&taken)) else {
                bail!("there is no free port between {} and {}", FREE.start, FREE.end);
            };
            taken.insert(port);
            ports.insert(name.to_owned(), port);
        }
        files::write_public(&state.root().join("ports.json"), &serde_json::to_string_pretty(&ports)?)?;
        Ok(Self(ports))
    }

    /// What was chosen last time.
    pub fn remembered(state: &State) -> BTreeMap<String, u16> {
        let text = fs::read_to_string(state.root().join("ports.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// # Panics
    /// There is no port of this name in the list above.
    pub fn get(&self, name: &str) -> u16 {
        self.0[name]
    }

    /// The port of the developer's own collector of traces, if one listens.
    pub fn collector() -> Option<u16> {
        let (_, port) = STANDARD.iter().find(|(name, _)| *name == COLLECTOR)?;
        (!free(*port)).then_some(*port)
    }

    pub fn text(&self, name: &str) -> String {
        self.get(name).to_string()
    }
}

/// The standard ports that somebody listens on now.
pub fn standard_taken() -> Vec<(&'static str, u16)> {
    STANDARD.iter().copied().filter(|&(name, port)| name != COLLECTOR && !free(port)).collect()
}

fn free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn any_free(taken: &BTreeSet<u16>) -> Option<u16> {
    (0..2_000).map(|_| rand::random_range(FREE)).find(|port| !taken.contains(port) && free(*port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_avoided_and_a_choice_remembered() {
        let dir = std::env::temp_dir().join(format!("artel-ports-{}", std::process::id()));
        let state = State::open(&dir).unwrap();
        let first = Ports::choose(&state, Prefer::Free, None).unwrap();
        let distinct: BTreeSet<_> = first.0.values().collect();
        assert_eq!(distinct.len(), STANDARD.len());
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, first.get("redis"))).unwrap();
        let second = Ports::choose(&state, Prefer::Free, None).unwrap();
        assert_ne!(first.get("redis"), second.get("redis"));
        assert_eq!(first.get("edge"), second.get("edge"));
        let error = Ports::choose(&state, Prefer::Free, Some(first.get("redis"))).unwrap_err().to_string();
        assert!(error.contains("--port"), "{error}");
        fs::remove_dir_all(&dir).unwrap();
    }
}
