//! `endpoints.json`: where the running mesh is reached, for scripts, tests and `artel` itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::certificates::Certificates;
use crate::components::{Context, consul, envoy, postgres, rabbitmq, redis};
use crate::mesh::{self, Addresses};
use crate::{artel, files, progress::Progress, state::State};

/// Everything but the services.
fn fixed(context: &Context) -> Result<Value> {
    let Context { state, ports, secrets, .. } = context;
    let api = envoy::api(context);
    Ok(json!({
        "api": api,
        "apiTls": envoy::api_tls(context),
        "certificateAuthority": Certificates::of(&state.tls()).authority,
        "docs": format!("{api}/docs"),
        "consul": consul::url(context),
        "rabbitmq": rabbitmq::url(context)?,
        "rabbitmqManagement": rabbitmq::management_with_login(context)?,
        "mailbox": format!("http://127.0.0.1:{}", ports.get("mailbox")),
        "bank": artel::sandbox(context, "bank"),
        "printer": artel::sandbox(context, "printer"),
        "sms": artel::sandbox(context, "sms"),
        "push": artel::sandbox(context, "push"),
        "robots": artel::sandbox(context, "robots"),
        "smtp": format!("smtp://127.0.0.1:{}", ports.get("smtp")),
        "postgres": postgres::url(context, "artel_owner")?,
        "postgresSuperuser": postgres::url(context, "postgres")?,
        "postgresSocket": postgres::socket_folder(state)?,
        "redis": redis::url(context)?,
        "otlp": context.collector.map(|port| format!("127.0.0.1:{port}")),
        "xds": format!("127.0.0.1:{}", ports.get("xds")),
        "envoyAdmin": envoy::admin(context),
        "meshKeyFile": secrets.key_file("mesh.key")?,
        "config": state.artel_toml(),
        "state": state.root(),
    }))
}

/// Keeps the file true while the services come and go. Stops when dropped.
pub struct Keeper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Writes the file and begins to follow Consul.
pub fn keep(context: &Context, services: &Addresses) -> Result<Keeper> {
    let fixed = fixed(context)?;
    write(&context.state, &fixed, services)?;
    let stop = Arc::new(AtomicBool::new(false));
    let follow = Follow {
        state: context.state.clone(),
        progress: context.progress.clone(),
        consul: consul::url(context),
        fixed,
        written: services.clone(),
    };
    let asked = stop.clone();
    let thread = std::thread::Builder::new().name("endpoints".into()).spawn(move || follow.run(&asked))?;
    Ok(Keeper { stop, thread: Some(thread) })
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Follow {
    state: State,
    progress: Progress,
    consul: String,
    fixed: Value,
    written: Addresses,
}

impl Follow {
    fn run(mut self, stop: &AtomicBool) {
        let mut rounds = 0_u32;
        while !stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(100));
            rounds = rounds.wrapping_add(1);
            if !rounds.is_multiple_of(10) {
                continue;
            }
            // Where Consul is away, what was written last is the best there is.
            let Ok(now) = mesh::addresses(&self.consul) else { continue };
            if now != self.written {
                match write(&self.state, &self.fixed, &now) {
                    Ok(()) => self.written = now,
                    Err(error) => self.progress.line(&format!("  !! {error:#}")),
                }
            }
        }
    }
}

fn write(state: &State, fixed: &Value, services: &Addresses) -> Result<()> {
    let mut all = fixed.clone();
    all["services"] = json!(services);
    // Private: it holds the passwords of this mesh.
    files::write_private(&state.endpoints(), &format!("{:#}\n", all))
}
