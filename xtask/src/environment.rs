//! What the tests of single crates need to know about the components, as environment variables.

use anyhow::Result;

use crate::components::{Context, consul, postgres, rabbitmq, redis};
use crate::{files, process};

/// Each variable with its value.
pub fn variables(context: &Context) -> Result<Vec<(&'static str, String)>> {
    let mut variables = vec![
        ("ARTEL_TEST_POSTGRES", postgres::url(context, "postgres")?),
        ("ARTEL_TEST_POSTGRES_BIN", context.tools.postgres.display().to_string()),
        ("ARTEL_TEST_POSTGRES_SOCKET", postgres::socket_folder(&context.state)?.display().to_string()),
        ("ARTEL_TEST_RABBITMQ", rabbitmq::url(context)?),
        ("ARTEL_TEST_RABBITMQ_MANAGEMENT", rabbitmq::management_with_login(context)?),
        ("ARTEL_TEST_REDIS", redis::url(context)?),
        ("ARTEL_TEST_CONSUL", consul::url(context)),
        ("ARTEL_TEST_CONSUL_SERVER", context.tools.consul.display().to_string()),
        ("ARTEL_TEST_ENVOY", context.tools.envoy.display().to_string()),
    ];
    if process::records(&context.state).contains_key("mailbox") {
        variables.push(("ARTEL_TEST_SMTP", format!("smtp://127.0.0.1:{}", context.ports.get("smtp"))));
        variables.push(("ARTEL_TEST_MAILBOX", format!("http://127.0.0.1:{}", context.ports.get("mailbox"))));
    }
    Ok(variables)
}

/// Writes `test.env` and gives its lines.
pub fn write(context: &Context) -> Result<String> {
    write_with(context, &[])
}

/// The same with more variables.
pub fn write_with(context: &Context, more: &[(&'static str, String)]) -> Result<String> {
    let variables = variables(context)?;
    let all = variables.iter().chain(more);
    let lines: String = all.map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    files::write_private(&context.state.test_env(), &lines)?;
    Ok(lines)
}
