use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::components::{self, Context, consul, envoy, rabbitmq};
use crate::endpoints::{self, Keeper};
use crate::mesh::{self, Shape};
use crate::ports::Prefer;
use crate::progress::seconds;
use crate::session::{self, Session};
use crate::state::State;
use crate::{artel, environment, http, signals};

/// Install what is missing, build, and run the whole mesh until Ctrl-C
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask up                           everything, the services in one process\n  \
    cargo xtask up --split --scale order=2   a process a service, two of order\n  \
    cargo xtask up --detach                  in the background; `cargo xtask down` stops it\n  \
    cargo xtask up --port 9000 --no-demo     another port, an empty catalogue")]
pub struct Args {
    /// Run a process a service
    #[arg(long)]
    split: bool,
    /// Run so many of a service; may be repeated
    #[arg(long, value_name = "SERVICE=COUNT", value_parser = Shape::parse_scale)]
    scale: Vec<(String, usize)>,
    /// Leave the catalogue as it is
    #[arg(long)]
    no_demo: bool,
    /// Build with optimizations
    #[arg(long)]
    release: bool,
    /// Run this binary instead of building one
    #[arg(long, value_name = "PATH", conflicts_with = "release")]
    artel: Option<PathBuf>,
    /// Where Envoy listens [default: 8080, or a free port where that is taken]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Return when all is healthy, and leave it running
    #[arg(long, short)]
    detach: bool,
}

/// From the start of the services until Consul has seen each of them healthy.
const HEALTHY: Duration = Duration::from_secs(90);

pub fn run(state: &State, args: &Args) -> Result<()> {
    if args.detach {
        return session::detach(state);
    }
    signals::listen()?;
    let begin = Instant::now();
    let session = Session::begin(state, Prefer::Standard, args.port)?;
    let shape = Shape { split: args.split, scale: args.scale.iter().cloned().collect::<BTreeMap<_, _>>() };
    let artel = match &args.artel {
        Some(path) => Artel::At(path.canonicalize().with_context(|| path.display().to_string())?),
        None => Artel::Build { release: args.release },
    };
    let mesh = start(&session.context, &shape, artel)?;
    if !args.no_demo {
        demo(&session.context, &mesh.artel)?;
    }
    tell(&session.context, begin.elapsed())?;
    session.stay()
}

/// Where the binary comes from.
pub enum Artel {
    Build { release: bool },
    At(PathBuf),
}

/// A mesh that runs.
pub struct Mesh {
    pub artel: PathBuf,
    _keeper: Keeper,
}

/// Brings up the components, the services and Envoy, and waits until all of it answers.
pub fn start(context: &Context, shape: &Shape, from: Artel) -> Result<Mesh> {
    let mut built = None;
    components::start(context, || {
        let release = match from {
            Artel::At(path) => {
                built = Some(path);
                return Ok(());
            }
            Artel::Build { release } => release,
        };
        let step = context.progress.step("build", "cargo build --bin artel");
        let artel = artel::build(&context.state.log("build"), release, &step)?;
        step.done(&artel.display().to_string());
        built = Some(artel);
        Ok(())
    })?;
    let artel = built.context("there is no artel binary")?;
    signals::check()?;
    artel::configure(context)?;

    let step = context.progress.step("migrate", "artel migrate");
    let said = artel::run(context, &artel, "migrate", &["migrate"], Duration::from_secs(120))?;
    step.done(said.lines().last().unwrap_or_default());

    let step = context.progress.step("mailbox", "starting");
    step.done(&artel::start_mailbox(context, &artel)?);
    let step = context.progress.step("sandboxes", "starting");
    step.done(&artel::start_sandboxes(context, &artel)?);

    let step = context.progress.step("services", "waiting until Consul reports each healthy");
    let services = mesh::start(context, &artel, shape, HEALTHY)?;
    let count: usize = services.values().map(Vec::len).sum();
    step.done(&format!("{count} healthy: {}", artel::services().collect::<Vec<_>>().join(", ")));

    let step = context.progress.step("Envoy", "waiting for its first configuration");
    let api = envoy::start(context)?;
    crate::wait::until(
        "the API to answer through Envoy",
        Duration::from_secs(30),
        || context.supervisor.check("envoy"),
        || {
            let answer = http::get(&format!("{api}/api/v1/categories"), None, Duration::from_secs(2))?;
            anyhow::ensure!(answer.ok(), "{} {}", answer.status, answer.text.trim());
            Ok(true)
        },
    )?;
    step.done(&api);
    environment::write(context)?;
    Ok(Mesh { artel, _keeper: endpoints::keep(context, &services)? })
}

/// Loads what the demo sells and serves. A second time changes nothing.
pub fn demo(context: &Context, artel: &std::path::Path) -> Result<()> {
    let all: [&[&str]; 2] =
        [&["import", "system/demo/catalog.yml"], &["restaurant", "load", "system/demo/restaurant.json"]];
    for args in all {
        let step = context.progress.step("demo", &format!("artel {}", args.join(" ")));
        let said = artel::run(context, artel, "demo", args, Duration::from_secs(120))?;
        step.done(said.lines().last().unwrap_or_default());
    }
    Ok(())
}

fn tell(context: &Context, time: Duration) -> Result<()> {
    let api = envoy::api(context);
    let state = context.state.root().display().to_string();
    say!("\nArtel is up ({}).\n", seconds(time));
    say!("  API            {api}   (gRPC, gRPC-Web and REST)");
    say!("  over HTTPS     {}   (trust {state}/tls/ca.pem)", envoy::api_tls(context));
    say!("  API reference  {api}/docs");
    say!("  Consul         {}/ui/", consul::url(context));
    say!(
        "  RabbitMQ       {}   (user {}, password {})",
        rabbitmq::management(context),
        rabbitmq::USER,
        context.secrets.password("rabbitmq")?
    );
    say!("  Mailbox        http://127.0.0.1:{}", context.ports.get("mailbox"));
    say!(
        "  Sandboxes      {}   (the ledger of each: /sandbox/ledger; what it does wrong: /sandbox/faults)",
        artel::SANDBOXES.map(|name| format!("{name} :{}", context.ports.get(name))).join(", ")
    );
    say!("  for scripts    {state}/endpoints.json");
    say!("\nTry:\n  curl '{api}/api/v1/products?pageSize=3'");
    say!("  curl --cacert {state}/tls/ca.pem {}/api/v1/categories", envoy::api_tls(context));
    say!("  grpcurl -plaintext {} list", api.trim_start_matches("http://"));
    say!("  cargo xtask status        (in another terminal)");
    say!("\nCtrl-C drains and stops everything.");
    Ok(())
}
