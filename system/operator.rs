//! An operator's way into a running mesh: found through the `endpoints.json` that `cargo xtask up` writes, and let in
//! by the key that the mesh's services share.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use artel_client::{Call, CallKey, Channels, User};
use artel_config::Config;
use artel_discovery::Consul;
use artel_handle::{MESH_DEFAULTS, Mesh};
use serde::Deserialize;

/// The name that an operator's calls go by. `identity` lets nobody else grant roles.
const SERVICE: &str = "operator";
/// Who the change log names when an operator acts: no user has this id.
const ACTOR: &str = "00000000-0000-7000-8000-0000000000ff";

/// A way to every service of the mesh, and the call that goes there.
pub(crate) struct Operator {
    /// Channels to the services by their names in Consul.
    pub(crate) channels: Channels,
    /// The operator's own call, with the role `operator`.
    pub(crate) call: Call,
}

/// What of `endpoints.json` is needed here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoints {
    consul: String,
    mesh_key_file: PathBuf,
    /// The configuration the mesh runs with.
    config: Option<PathBuf>,
}

/// The configuration file of the mesh that the endpoints file names, if there is one.
pub(crate) fn configuration(endpoints: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(endpoints).ok()?;
    serde_json::from_str::<Endpoints>(&text).ok()?.config
}

impl Operator {
    /// Finds the mesh. Calls nobody yet.
    ///
    /// # Errors
    /// Where there is no such file, or what it names cannot be read.
    pub(crate) fn connect(endpoints: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(endpoints).with_context(|| {
            format!("no mesh is found: cannot read {}. Start one with `cargo xtask up`", endpoints.display())
        })?;
        let found: Endpoints = serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `cargo xtask up` writes", endpoints.display()))?;
        let secret = std::fs::read_to_string(&found.mesh_key_file)
            .with_context(|| format!("cannot read the mesh's key, {}", found.mesh_key_file.display()))?;
        let mesh: Mesh = Config::load(found.config.as_deref())?.section("mesh", MESH_DEFAULTS)?;

        let channels = Channels::new(SERVICE, Consul::new(&found.consul)?, CallKey::new(secret.trim_end())?);
        let mut call = Call::by_service(SERVICE, &mesh.default_workspace);
        call.user =
            Some(User { id: ACTOR.to_owned(), roles: vec![SERVICE.to_owned()], locale: "en".to_owned() });
        Ok(Self { channels, call })
    }

    /// The operator's call with one more role, for methods that ask for it.
    #[must_use]
    pub(crate) fn call_with_role(&self, role: &str) -> Call {
        let mut call = self.call.clone();
        if let Some(user) = &mut call.user {
            user.roles.push(role.to_owned());
        }
        call
    }
}
