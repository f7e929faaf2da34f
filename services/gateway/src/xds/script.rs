//! What Envoy has no filter for: a few lines of Lua for single routes.

use envoy_types::pb::envoy::extensions::filters::http::lua::v3 as lua;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::google::protobuf::Any;

use super::{filters, pack};

const NAME: &str = "envoy.filters.http.lua";

/// The filter, which routes switch on with a script of theirs.
pub fn filter() -> hcm::HttpFilter {
    // A route is chosen once: another one would run another script, or none.
    let filter = lua::Lua { clear_route_cache: pack::truth(false), ..Default::default() };
    hcm::HttpFilter { disabled: true, ..filters::filter(NAME, &filter) }
}

/// Switches it on for a route, with this script.
pub fn on(script: &str) -> (String, Any) {
    let script = lua::LuaPerRoute {
        r#override: pack::inline(script).map(lua::lua_per_route::Override::SourceCode),
        ..Default::default()
    };
    (NAME.to_owned(), pack::any(&script))
}
