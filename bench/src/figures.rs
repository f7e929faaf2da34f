//! Every figure there is, by name.

use std::path::PathBuf;

use anyhow::Result;

use crate::places::Places;
use crate::report::Outcome;
use crate::rounds::Plan;
use crate::store::Store;
use crate::{b1, b2, b3, b4, b5, b6, b7, b8, b9, b10, b11, b12};

/// What all figures are measured under.
#[derive(Debug)]
pub struct Setting {
    /// How often and how long.
    pub plan: Plan,
    /// Events in the outbox when persist is killed.
    pub rows: u64,
    /// The size of the feed that is imported.
    pub megabytes: u64,
    /// Where what is measured is kept.
    pub folder: PathBuf,
}

impl Setting {
    /// Where the components are.
    pub fn places(&self) -> Result<Places> {
        Places::find()
    }

    /// persist alone.
    pub async fn store(&self) -> Result<Store> {
        Store::start(&self.places()?).await
    }
}

macro_rules! figures {
    ($($name:literal $module:ident $what:literal,)*) => {
        /// Name and what it measures.
        pub const FIGURES: &[(&str, &str)] = &[$(($name, $what)),*];

        /// Measures one.
        pub async fn measure(name: &str, setting: &Setting) -> Result<Outcome> {
            match name {
                $($name => $module::run(setting).await,)*
                other => anyhow::bail!("there is no figure `{other}`"),
            }
        }
    };
}

figures! {
    "B1" b1 "a unary call through our stack, in instructions, against bare tonic",
    "B2" b2 "persist's reads against pgbench and tokio-postgres",
    "B3" b3 "an order placed in one Commit against pgbench",
    "B4" b4 "the same of one hot product, exactly N sold",
    "B5" b5 "an order end to end through Envoy, its event's effect committed",
    "B6" b6 "from a commit to the listener's committed effect",
    "B7" b7 "the outbox drained, against raw confirms",
    "B8" b8 "10,000 idle streams",
    "B9" b9 "memory of idle services, and their cold start",
    "B10" b10 "a second copy of a service",
    "B11" b11 "a feed imported",
    "B12" b12 "10,000 idle boards of the restaurant",
}
