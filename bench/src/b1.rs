//! B1: a unary call through our whole server and client stack, against bare tonic on the same runtime. In instructions,
//! which do not depend on what else the machine does: valgrind counts them for two numbers of calls, and the difference
//! is the calls' own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use artel_handle::Service;
use artel_handle::testing::LocalMesh;
use artel_proto::CheckedCodec;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{GetRequest, GetResponse};
use clap::ValueEnum;
use futures::future::try_join_all;
use tokio::process::Command;

use crate::figures::Setting;
use crate::process::free_port;
use crate::report::{Outcome, Verdict};
use crate::store::endpoint;
use crate::yardstick::echo::{self, Echo};

/// The counts whose difference is taken.
const CALLS: [u32; 2] = [512, 2_560];
/// Calls before, so that nothing is counted that is made only once.
const WARM_UP: u32 = 256;
/// Calls under way at once: alone, and as in a busy service.
const IN_FLIGHT: [u32; 2] = [1, 16];

/// Which stack a call goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stack {
    /// Authentication, access, field rules, deadline, trace, metrics, logs, discovery, retries.
    Ours,
    /// tonic's server and channel as they come.
    Bare,
}

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let folder = setting.folder.join("callgrind");
    fs::create_dir_all(&folder)?;
    for in_flight in IN_FLIGHT {
        let bare = each(Stack::Bare, in_flight, &folder).await?;
        let ours = each(Stack::Ours, in_flight, &folder).await?;
        let what = if in_flight == 1 { "one call at a time" } else { "16 calls in flight" };
        println!("  B1  {what}: bare {bare:.0}, ours {ours:.0} instructions a call");
        outcome.verdicts.push(Verdict::at_most(&format!("instructions, {what}"), "x", ours / bare, 1.25));
        outcome.notes.push(format!("{what}: bare {bare:.0} instructions a call, ours {ours:.0}"));
    }
    outcome.notes.push(format!("where they go: callgrind_annotate {}/ours-1-2560.out", folder.display()));
    Ok(outcome)
}

/// Instructions of one call, client and server together.
async fn each(stack: Stack, in_flight: u32, folder: &Path) -> Result<f64> {
    let [few, many] = CALLS;
    let less = counted(stack, few, in_flight, folder).await?;
    let more = counted(stack, many, in_flight, folder).await?;
    Ok((more - less) as f64 / f64::from(many - few))
}

async fn counted(stack: Stack, calls: u32, in_flight: u32, folder: &Path) -> Result<u64> {
    let name = stack.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let out: PathBuf = folder.join(format!("{name}-{in_flight}-{calls}.out"));
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["role", "unary", &name, "--calls", &calls.to_string()])
        .args(["--in-flight", &in_flight.to_string()])
        .output()
        .await
        .context("cannot run valgrind: install it (on Debian: apt-get install valgrind)")?;
    if !output.status.success() {
        bail!("under valgrind: {}", String::from_utf8_lossy(&output.stderr));
    }
    let written = fs::read_to_string(&out)?;
    let total = written.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.with_context(|| format!("{} holds no total", out.display()))
}

/// The role `unary`: client and server in one process, on one thread.
pub async fn unary(stack: Stack, calls: u32, in_flight: u32) -> Result<()> {
    match stack {
        Stack::Bare => {
            let address = free_port()?;
            tokio::spawn(echo::serve(address));
            let channel = loop {
                match endpoint(address)?.connect().await {
                    Ok(channel) => break channel,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            };
            repeat(calls, in_flight, async |number| echo::call(channel.clone(), number).await.map(drop)).await
        }
        Stack::Ours => {
            artel_handle::init_logs("console", "info")?;
            let mesh = LocalMesh::start("").await?;
            let server = Echo::<CheckedCodec<GetResponse, GetRequest>>::default();
            mesh.serve(Service::new("persist").grpc(server)).await?;
            let stub = PersistServiceClient::new(mesh.host("order").channel("persist"));
            let call = echo::caller();
            repeat(calls, in_flight, async |number| {
                Ok(stub.clone().get(call.request(echo::request(number))).await.map(drop)?)
            })
            .await
        }
    }
}

async fn repeat(calls: u32, in_flight: u32, call: impl AsyncFn(u32) -> Result<()>) -> Result<()> {
    let share = (WARM_UP + calls) / in_flight;
    let call = &call;
    let loops = (0..in_flight).map(|_| async move {
        for number in 0..share {
            call(number).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(loops).await.map(drop)
}
