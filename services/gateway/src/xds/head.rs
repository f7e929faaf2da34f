//! HEAD answers as GET does, without the body. The transcoder and the services know no HEAD: they are told GET, and what
//! they answer is measured and dropped on the way back.

use envoy_types::pb::envoy::extensions::filters::http::lua::v3 as lua;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::google::protobuf::Any;

use super::{filters, pack};

const NAME: &str = "envoy.filters.http.lua";

/// Dropping the body would say that its length is 0.
const SCRIPT: &str = r#"
function envoy_on_request(request)
  request:headers():replace(":method", "GET")
end
function envoy_on_response(response)
  local body = response:body()
  if body then
    local length = body:length()
    body:setBytes("")
    response:headers():replace("content-length", tostring(length))
  end
end
"#;

/// The filter, which only routes of HEAD switch on.
pub fn filter() -> hcm::HttpFilter {
    // Another method is no other route: that one would not drop the body.
    let filter = lua::Lua { clear_route_cache: pack::truth(false), ..Default::default() };
    hcm::HttpFilter { disabled: true, ..filters::filter(NAME, &filter) }
}

/// Switches it on for a route.
pub fn on() -> (String, Any) {
    let script = lua::LuaPerRoute {
        r#override: pack::inline(SCRIPT).map(lua::lua_per_route::Override::SourceCode),
        ..Default::default()
    };
    (NAME.to_owned(), pack::any(&script))
}
