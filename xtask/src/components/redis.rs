//! Redis.

use std::time::Duration;

use anyhow::Result;

use super::Context;
use crate::files;
use crate::process::{Kind, Spec};

pub const CONFIG: &str = include_str!("../../../system/cache/redis.conf");

pub fn start(context: &Context) -> Result<String> {
    let Context { state, tools, ports, secrets, supervisor, .. } = context;
    let port = ports.text("redis");
    let data = state.data("redis")?;
    let config = files::fill(
        CONFIG,
        &[
            ("bind", "127.0.0.1"),
            ("port", &port),
            ("password", &secrets.password("redis")?),
            ("data", &format!("\"{}\"", data.display())),
        ],
    )?;
    let file = state.config("redis.conf");
    files::write_private(&file, &config)?;
    let address = format!("127.0.0.1:{port}");
    let spec = Spec::new("redis", Kind::Component, &tools.redis, state)
        .args([file.display().to_string()])
        .at(&address);
    let password = secrets.password("redis")?;
    supervisor.start_and_wait(spec, Duration::from_secs(30), || ping(&address, &password))?;
    Ok(address)
}

pub fn url(context: &Context) -> Result<String> {
    let password = context.secrets.password("redis")?;
    Ok(format!("redis://:{password}@127.0.0.1:{}/0", context.ports.get("redis")))
}

/// Speaks just enough of Redis' protocol to hear PONG; while it loads its file it says LOADING.
fn ping(address: &str, password: &str) -> Result<bool> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(format!("AUTH {password}\r\nPING\r\nQUIT\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.contains("+PONG"))
}
