//! The methods of a service, each with what the stack has to know to let a call through, looked up once a call.

use std::collections::HashMap;
use std::sync::Arc;

use artel_proto::annotations::{self, Rule};

use crate::access::OPEN;
use crate::admission::{Bounds, Lane};
use crate::api::{AnyApi, Apis};
use crate::measure::Meter;

/// A method that the service answers.
pub(crate) struct Method {
    /// Its name in metrics, spans and logs: `artel.order.v1.OrderService/GetOrder`.
    pub(crate) name: &'static str,
    /// True for health and reflection, which carry nobody's data and are let through first.
    pub(crate) open: bool,
    /// What the contracts say about it; nothing where they do not know it.
    pub(crate) rule: Option<&'static Rule>,
    /// What answers it.
    pub(crate) api: Arc<dyn AnyApi>,
    pub(crate) lane: Lane,
    pub(crate) meter: Meter,
}

impl Method {
    /// True where its calls last as long as their streams.
    pub(crate) fn streams(&self) -> bool {
        self.rule.is_some_and(|rule| rule.client_streams || rule.server_streams)
    }

    /// True where a call is answered when the caller has sent all, however long that takes: its time says nothing.
    pub(crate) fn takes_a_stream(&self) -> bool {
        self.rule.is_some_and(|rule| rule.client_streams)
    }
}

/// The methods of a service by their paths.
pub(crate) struct Methods {
    by_path: HashMap<&'static str, Method>,
    /// What is asked of a gRPC service and is in no contract: any word. One name for all of them, or whoever asks could
    /// make metrics without end.
    others: HashMap<&'static str, Method>,
}

impl Methods {
    /// Those of gRPC services.
    pub(crate) fn of(service: &'static str, apis: &Apis, bounds: &Bounds) -> Self {
        let (mut by_path, mut others) = (HashMap::new(), HashMap::new());
        for (api_name, api) in apis.iter() {
            let open = OPEN.contains(&api_name);
            let method = |name, rule| Method {
                name,
                open,
                rule,
                api: Arc::clone(api),
                lane: Lane::new(bounds),
                meter: Meter::new(service, name),
            };
            let rules = annotations::rules().filter(|(_, rule)| rule.service == api_name);
            by_path.extend(rules.map(|(path, rule)| (path, method(&rule.name, Some(rule)))));
            others.insert(api_name, method(api_name, None));
        }
        Self { by_path, others }
    }

    /// The method behind a request path; `None` for a page.
    pub(crate) fn find(&self, path: &str) -> Option<&Method> {
        if let Some(method) = self.by_path.get(path) {
            return Some(method);
        }
        let (service, _) = path.strip_prefix('/')?.split_once('/')?;
        self.others.get(service)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use artel_proto::order::order_service_server::OrderServiceServer;

    use super::*;
    use crate::stack_tests::Mirror;

    #[test]
    fn what_anybody_may_ask_makes_no_new_names() {
        let latency = Duration::from_millis(100);
        let bounds = Bounds { most: 1, streams: 1, least: 1, latency, factor: 1.0, edge: 1.0 };
        let (_, health) = tonic_health::server::health_reporter();
        let apis = Apis::default().with(OrderServiceServer::new(Mirror)).with_health(health);
        let methods = Methods::of("order", &apis, &bounds);
        let name = |path| methods.find(path).map(|method| (method.name, method.open));
        assert_eq!(name("/grpc.health.v1.Health/Anything"), Some(("grpc.health.v1.Health", true)));
        let get = "/artel.order.v1.OrderService/GetOrder";
        assert_eq!(name(get), Some((&get[1..], false)));
        let anything = name("/artel.order.v1.OrderService/Anything");
        assert_eq!(anything, Some(("artel.order.v1.OrderService", false)));
        // In the contracts, but another service's.
        assert_eq!(name("/artel.persist.v1.PersistService/Get"), None);
        assert_eq!(name("/metrics"), None);
    }
}
