//! `artel keys`: an operator rotates the keys that sign access tokens.

use std::path::Path;

use artel_proto::identity::RotateKeysRequest;
use artel_proto::identity::identity_service_client::IdentityServiceClient;
use clap::Subcommand;

use crate::operator::Operator;
use crate::role::said;

/// What is done with the keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Make a new key, which signs as soon as every verifier has had time to learn it
    #[command(after_help = "Example: artel keys rotate")]
    Rotate,
}

/// Rotates the keys of the mesh that the endpoints file names, and prints those that are published then.
///
/// # Errors
/// Where the mesh is not found or refuses.
pub(crate) async fn run(action: Action, endpoints: &Path) -> anyhow::Result<()> {
    let Action::Rotate = action;
    let operator = Operator::connect(endpoints)?;
    let mut identity = IdentityServiceClient::new(operator.channels.to("identity"));
    let request = operator.call.request(RotateKeysRequest {});
    let keys = identity.rotate_keys(request).await.map_err(said)?.into_inner().keys;
    println!("Published now, the one that signs first:");
    for key in keys {
        println!("  {}", key.kid);
    }
    println!("The new key signs as soon as every verifier has had time to learn it.");
    Ok(())
}
