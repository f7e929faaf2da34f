//! 201 for what was made. gRPC has no such status and the transcoder answers 200, so the service says it beside its answer.

use envoy_types::pb::google::protobuf::Any;

use super::script;

/// The metadata in which a service says so.
pub const STATUS: &str = "x-artel-status";

const SCRIPT: &str = r#"
function envoy_on_response(response)
  local headers = response:headers()
  if headers:get("x-artel-status") == "201" and headers:get(":status") == "200" then
    headers:replace(":status", "201")
  end
  headers:remove("x-artel-status")
end
"#;

/// Switches it on for a route.
pub fn on() -> (String, Any) {
    script::on(SCRIPT)
}
