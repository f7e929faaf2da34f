//! `artel role`: an operator gives a person a role, or takes it.

use std::path::Path;

use artel_proto::identity::identity_service_client::IdentityServiceClient;
use artel_proto::identity::{GrantRoleRequest, RevokeRoleRequest, User};
use clap::Subcommand;
use tonic::Status;

use crate::operator::Operator;

/// What is done to a person's roles.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Grant a person a role
    #[command(after_help = "Example: artel role grant anna@example.com catalog_editor")]
    Grant {
        /// The person's e-mail address
        email: String,
        /// The role: lower-case letters, digits and underscores
        role: String,
    },
    /// Take a role from a person
    #[command(after_help = "Example: artel role revoke anna@example.com catalog_editor")]
    Revoke {
        /// The person's e-mail address
        email: String,
        /// The role
        role: String,
    },
}

/// Grants or revokes in the mesh that the endpoints file names, and prints the roles the person has then.
///
/// # Errors
/// Where the mesh is not found or refuses: an unknown address, a role that is no name.
pub(crate) async fn run(action: Action, endpoints: &Path) -> anyhow::Result<()> {
    let operator = Operator::connect(endpoints)?;
    let mut identity = IdentityServiceClient::new(operator.channels.to("identity"));
    let user = match action {
        Action::Grant { email, role } => {
            let request = operator.call.request(GrantRoleRequest { email, role });
            identity.grant_role(request).await.map_err(said)?.into_inner().user
        }
        Action::Revoke { email, role } => {
            let request = operator.call.request(RevokeRoleRequest { email, role });
            identity.revoke_role(request).await.map_err(said)?.into_inner().user
        }
    };
    println!("{}", summary(&user.unwrap_or_default()));
    Ok(())
}

fn summary(user: &User) -> String {
    let roles = if user.roles.is_empty() { "no roles".to_owned() } else { user.roles.join(", ") };
    format!("{}: {roles}. Access tokens say so after the next refresh or sign-in.", user.email())
}

/// The service's own words, which are made for people.
pub(crate) fn said(status: Status) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message())
}
