//! What one Envoy on one stream has been told, and what it is still owed. No I/O: requests go in, responses come out.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as Wire,
};

use super::snapshot::{ResourceType, Snapshot};

/// The state of a stream.
#[derive(Debug, Default)]
pub struct Session {
    subscriptions: BTreeMap<ResourceType, Subscription>,
    /// Types that the gateway has nothing of, not yet answered.
    strange: BTreeSet<String>,
    strange_answered: BTreeSet<String>,
    nonce: u64,
}

/// What Envoy wants of one type, and has.
#[derive(Debug, Default)]
struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
    /// What Envoy was told last of each name: its version, or that there is none.
    known: BTreeMap<String, Option<String>>,
    /// It asked, so it gets an answer, even an empty one: without it Envoy waits 15 s before it goes on.
    owed: bool,
}

/// What a request meant.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Envoy wants more or less than before.
    Subscription,
    /// Envoy took what it was told.
    Accepted(ResourceType),
    /// Envoy refused what it was told and goes on with what it had.
    Rejected {
        /// Of what type.
        kind: ResourceType,
        /// In which response.
        nonce: String,
        /// Why.
        problem: String,
    },
}

impl Session {
    /// Takes a request in.
    pub fn hear(&mut self, request: DeltaDiscoveryRequest) -> Heard {
        let Some(kind) = ResourceType::of(&request.type_url) else {
            if !self.strange_answered.contains(&request.type_url) {
                self.strange.insert(request.type_url);
            }
            return Heard::Subscription;
        };
        let first = !self.subscriptions.contains_key(&kind);
        let subscription = self.subscriptions.entry(kind).or_default();
        if first {
            // What it still has from an earlier stream, perhaps with another gateway.
            subscription.known = request
                .initial_resource_versions
                .into_iter()
                .map(|(name, version)| (name, Some(version)))
                .collect();
            subscription.wildcard = request.resource_names_subscribe.is_empty();
            subscription.owed = true;
        }
        let changed = first
            || !request.resource_names_subscribe.is_empty()
            || !request.resource_names_unsubscribe.is_empty();
        for name in request.resource_names_subscribe {
            subscription.owed = true;
            if name == "*" {
                subscription.wildcard = true;
                continue;
            }
            // Whoever asks again for what it was told has lost it.
            if !first {
                subscription.known.remove(&name);
            }
            subscription.names.insert(name);
        }
        for name in request.resource_names_unsubscribe {
            if name == "*" {
                subscription.wildcard = false;
                subscription.known.retain(|known, _| subscription.names.contains(known));
                continue;
            }
            subscription.names.remove(&name);
            if !subscription.wildcard {
                subscription.known.remove(&name);
            }
        }
        match request.error_detail {
            // The versions stay noted as told, so that what was refused is not sent again until it changes.
            Some(error) if !request.response_nonce.is_empty() => {
                Heard::Rejected { kind, nonce: request.response_nonce, problem: error.message }
            }
            _ if changed => Heard::Subscription,
            _ => Heard::Accepted(kind),
        }
    }

    /// Everything that Envoy is owed now. What comes into being is told before what refers to it, and what goes away
    /// after.
    pub fn tell(&mut self, snapshot: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        let mut responses = Vec::new();
        for kind in ResourceType::ORDER {
            let response = self.changes(kind, snapshot, kind != ResourceType::Cluster);
            if kind == ResourceType::Cluster {
                self.forget_endpoints_of(&response);
            }
            responses.extend(response);
        }
        responses.extend(self.changes(ResourceType::Cluster, snapshot, true));
        for url in std::mem::take(&mut self.strange) {
            responses.push(self.response(&url, Vec::new(), Vec::new()));
            self.strange_answered.insert(url);
        }
        responses
    }

    /// A cluster that is told anew waits for its endpoints until they are told anew, too.
    fn forget_endpoints_of(&mut self, clusters: &Option<DeltaDiscoveryResponse>) {
        let Some(endpoints) = self.subscriptions.get_mut(&ResourceType::Endpoint) else { return };
        for cluster in clusters.iter().flat_map(|response| &response.resources) {
            endpoints.known.remove(&cluster.name);
        }
    }

    fn changes(
        &mut self,
        kind: ResourceType,
        snapshot: &Snapshot,
        with_removals: bool,
    ) -> Option<DeltaDiscoveryResponse> {
        let subscription = self.subscriptions.get_mut(&kind)?;
        let mut resources = Vec::new();
        for (name, resource) in snapshot.all(kind) {
            let wanted = subscription.wildcard || subscription.names.contains(name);
            let known =
                subscription.known.get(name).is_some_and(|known| known.as_ref() == Some(&resource.version));
            if wanted && !known {
                subscription.known.insert(name.clone(), Some(resource.version.clone()));
                resources.push(Wire {
                    name: name.clone(),
                    version: resource.version.clone(),
                    resource: Some(resource.body.clone()),
                    ..Default::default()
                });
            }
        }
        let removed = if with_removals { subscription.removals(kind, snapshot) } else { Vec::new() };
        if resources.is_empty() && removed.is_empty() && !subscription.owed {
            return None;
        }
        subscription.owed = false;
        Some(self.response(kind.url(), resources, removed))
    }

    fn response(&mut self, url: &str, resources: Vec<Wire>, removed: Vec<String>) -> DeltaDiscoveryResponse {
        self.nonce += 1;
        DeltaDiscoveryResponse {
            type_url: url.to_owned(),
            nonce: self.nonce.to_string(),
            resources,
            removed_resources: removed,
            ..Default::default()
        }
    }
}

impl Subscription {
    /// What Envoy has and is gone, and what it asked for by name and never was.
    fn removals(&mut self, kind: ResourceType, snapshot: &Snapshot) -> Vec<String> {
        let gone = |name: &String| snapshot.get(kind, name).is_none();
        let had: Vec<String> = self
            .known
            .iter()
            .filter(|(name, version)| version.is_some() && gone(name))
            .map(|(name, _)| name.clone())
            .collect();
        let never: Vec<String> =
            self.names.iter().filter(|name| gone(name) && !self.known.contains_key(*name)).cloned().collect();
        let removed: Vec<String> = had.into_iter().chain(never).collect();
        for name in &removed {
            if self.names.contains(name) {
                self.known.insert(name.clone(), None);
            } else {
                self.known.remove(name);
            }
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use envoy_types::pb::google::rpc::Status;

    use super::super::{endpoints, snapshot::Resource};
    use super::*;
    use ResourceType::{Cluster, Endpoint, Listener};

    fn resource(name: &str, port: u16) -> Resource {
        Resource::new(&endpoints::build(name, [SocketAddr::from(([127, 0, 0, 1], port))].into_iter()))
    }

    fn snapshot(resources: &[(ResourceType, &str, u16)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (kind, name, port) in resources {
            snapshot.put(*kind, name, resource(name, *port));
        }
        snapshot
    }

    fn ask(kind: ResourceType, names: &[&str]) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        }
    }

    fn ack(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..Default::default()
        }
    }

    /// Type, names told, names removed.
    fn told(responses: &[DeltaDiscoveryResponse]) -> Vec<(&'static str, Vec<&str>, Vec<&str>)> {
        let line = |response: &'_ DeltaDiscoveryResponse| {
            ResourceType::of(&response.type_url).map_or("strange", ResourceType::label)
        };
        responses
            .iter()
            .map(|response| {
                (
                    line(response),
                    response.resources.iter().map(|resource| resource.name.as_str()).collect(),
                    response.removed_resources.iter().map(String::as_str).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn a_subscriber_hears_everything_once_and_then_only_changes() {
        let mut session = Session::default();
        let before = snapshot(&[(Cluster, "order", 1), (Cluster, "catalog", 1)]);
        assert_eq!(session.hear(ask(Cluster, &[])), Heard::Subscription);
        let first = session.tell(&before);
        assert_eq!(told(&first), [("cluster", vec!["catalog", "order"], vec![])]);
        assert_eq!(session.hear(ack(&first[0])), Heard::Accepted(Cluster));
        assert!(session.tell(&before).is_empty());
        let after = snapshot(&[(Cluster, "order", 2), (Cluster, "catalog", 1)]);
        assert_eq!(told(&session.tell(&after)), [("cluster", vec!["order"], vec![])]);
    }

    #[test]
    fn an_empty_wildcard_gets_an_empty_answer() {
        let mut session = Session::default();
        session.hear(ask(Listener, &["*"]));
        assert_eq!(told(&session.tell(&Snapshot::default())), [("listener", vec![], vec![])]);
        assert!(session.tell(&Snapshot::default()).is_empty());
    }

    #[test]
    fn a_type_that_nobody_has_is_answered_once() {
        let mut session = Session::default();
        let request =
            DeltaDiscoveryRequest { type_url: "type.googleapis.com/x.Y".into(), ..Default::default() };
        session.hear(request.clone());
        assert_eq!(told(&session.tell(&Snapshot::default())), [("strange", vec![], vec![])]);
        session.hear(request);
        assert!(session.tell(&Snapshot::default()).is_empty());
    }

    #[test]
    fn a_refusal_is_reported_and_not_repeated_until_the_resource_changes() {
        let mut session = Session::default();
        session.hear(ask(Cluster, &[]));
        let bad = snapshot(&[(Cluster, "order", 1)]);
        let response = session.tell(&bad).remove(0);
        let error_detail = Some(Status { message: "no such thing".into(), ..Default::default() });
        let heard = session.hear(DeltaDiscoveryRequest { error_detail, ..ack(&response) });
        assert_eq!(
            heard,
            Heard::Rejected { kind: Cluster, nonce: response.nonce, problem: "no such thing".into() }
        );
        assert!(session.tell(&bad).is_empty());
        assert_eq!(told(&session.tell(&snapshot(&[(Cluster, "order", 2)]))).len(), 1);
    }

    #[test]
    fn a_cluster_that_changes_has_its_endpoints_told_again() {
        let mut session = Session::default();
        session.hear(ask(Cluster, &[]));
        let before = snapshot(&[(Cluster, "order", 1), (Endpoint, "order", 1), (Endpoint, "catalog", 1)]);
        session.tell(&before);
        session.hear(ask(Endpoint, &["order", "catalog"]));
        assert_eq!(told(&session.tell(&before)), [("endpoint", vec!["catalog", "order"], vec![])]);
        let after = snapshot(&[(Cluster, "order", 2), (Endpoint, "order", 1), (Endpoint, "catalog", 1)]);
        assert_eq!(
            told(&session.tell(&after)),
            [("cluster", vec!["order"], vec![]), ("endpoint", vec!["order"], vec![])]
        );
    }

    #[test]
    fn what_appears_is_told_before_what_refers_to_it_and_what_goes_after() {
        let mut session = Session::default();
        for kind in [Cluster, Listener, ResourceType::Route] {
            session.hear(ask(kind, &["*"]));
        }
        session.hear(ask(Endpoint, &["old", "new"]));
        session.tell(&snapshot(&[
            (Cluster, "old", 1),
            (Endpoint, "old", 1),
            (ResourceType::Route, "edge", 1),
        ]));
        let after = snapshot(&[(Cluster, "new", 1), (Endpoint, "new", 1), (ResourceType::Route, "edge", 2)]);
        assert_eq!(
            told(&session.tell(&after)),
            [
                ("cluster", vec!["new"], vec![]),
                ("endpoint", vec!["new"], vec!["old"]),
                ("route", vec!["edge"], vec![]),
                ("cluster", vec![], vec!["old"]),
            ]
        );
    }

    #[test]
    fn a_name_that_is_nothing_is_told_to_be_nothing_once_and_told_when_it_is_something() {
        let mut session = Session::default();
        session.hear(ask(Endpoint, &["order"]));
        assert_eq!(told(&session.tell(&Snapshot::default())), [("endpoint", vec![], vec!["order"])]);
        assert!(session.tell(&Snapshot::default()).is_empty());
        let now = snapshot(&[(Endpoint, "order", 1)]);
        assert_eq!(told(&session.tell(&now)), [("endpoint", vec!["order"], vec![])]);
    }

    #[test]
    fn who_unsubscribes_hears_no_more_and_who_asks_again_hears_it_again() {
        let mut session = Session::default();
        session.hear(ask(Endpoint, &["order", "catalog"]));
        session.tell(&snapshot(&[(Endpoint, "order", 1), (Endpoint, "catalog", 1)]));
        let unsubscribe =
            DeltaDiscoveryRequest { resource_names_unsubscribe: vec!["order".into()], ..ask(Endpoint, &[]) };
        assert_eq!(session.hear(unsubscribe), Heard::Subscription);
        let after = snapshot(&[(Endpoint, "order", 2), (Endpoint, "catalog", 1)]);
        assert!(session.tell(&after).is_empty());
        session.hear(ask(Endpoint, &["order", "catalog"]));
        assert_eq!(told(&session.tell(&after)), [("endpoint", vec!["catalog", "order"], vec![])]);
    }

    #[test]
    fn after_a_reconnect_only_what_changed_meanwhile_is_told() {
        let now = snapshot(&[(Cluster, "order", 1), (Cluster, "catalog", 2)]);
        let version = |name: &str, port| (name.to_owned(), resource(name, port).version);
        let mut session = Session::default();
        session.hear(DeltaDiscoveryRequest {
            initial_resource_versions: [version("order", 1), version("catalog", 1), version("gone", 1)]
                .into(),
            ..ask(Cluster, &["*"])
        });
        assert_eq!(
            told(&session.tell(&now)),
            [("cluster", vec!["catalog"], vec![]), ("cluster", vec![], vec!["gone"])]
        );
    }
}
