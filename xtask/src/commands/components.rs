use anyhow::Result;

use crate::components::{self, consul, rabbitmq};
use crate::install::fluent;
use crate::ports::Prefer;
use crate::session::{self, Session};
use crate::state::State;
use crate::{environment, signals};

/// Start only the components (PostgreSQL, Redis, RabbitMQ, Consul), for running single crates' tests
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask components                                   until Ctrl-C\n  \
    cargo xtask --state /tmp/mine components --detach        in the background\n  \
    . /tmp/mine/test.env && cargo nextest run -p artel-persist")]
pub struct Args {
    /// Return when they are ready, and leave them running
    #[arg(long, short)]
    detach: bool,
}

pub fn run(state: &State, args: &Args) -> Result<()> {
    if args.detach {
        return session::detach(state);
    }
    signals::listen()?;
    let session = Session::begin(state, Prefer::Standard, None)?;
    let context = &session.context;
    components::start(context, || Ok(()))?;
    signals::check()?;
    let receiver = fluent::ensure(&context.progress)?;
    say!("\n{}", environment::write_with(context, &receiver.variables())?);
    say!("Consul    {}/ui/", consul::url(context));
    say!("RabbitMQ  {} (login in the URL above)", rabbitmq::management(context));
    say!("`. {}` sets these variables in a shell.", state.test_env().display());
    session.stay()
}
