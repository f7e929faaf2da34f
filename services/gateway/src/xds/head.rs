//! HEAD answers as GET does, without the body. The transcoder and the services know no HEAD: they are told GET, and what
//! they answer is measured and dropped on the way back.

use envoy_types::pb::google::protobuf::Any;

use super::script;

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

/// Switches it on for a route.
pub fn on() -> (String, Any) {
    script::on(SCRIPT)
}
