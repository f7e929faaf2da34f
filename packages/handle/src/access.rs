use artel_client::Call;
use artel_proto::annotations::{self, Rule};
use artel_proto::options::{Access as Who, MethodOptions};
use artel_util::Error;
use tonic::Code;

/// What every service answers about itself, to anybody who can reach its port.
pub(crate) const OPEN: [&str; 3] = ["grpc.health.v1.Health", REFLECTION, REFLECTION_ALPHA];
pub(crate) const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
pub(crate) const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// Who may call a method: what its annotation says, and nothing where it says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Access(Option<&'static MethodOptions>);

impl Access {
    /// The access of a request path, `/artel.order.v1.OrderService/GetOrder`.
    #[must_use]
    pub fn to(path: &str) -> Self {
        Self::of(annotations::rule(path))
    }

    /// The access of a method that is known already.
    pub(crate) fn of(rule: Option<&'static Rule>) -> Self {
        Self(rule.and_then(|rule| rule.options.as_ref()))
    }

    /// True for health and reflection, which carry nobody's data.
    #[must_use]
    pub fn is_open(path: &str) -> bool {
        path.strip_prefix('/')
            .and_then(|path| path.split_once('/'))
            .is_some_and(|(service, _)| OPEN.contains(&service))
    }

    /// Lets the call pass or says why not.
    ///
    /// # Errors
    /// UNAUTHENTICATED where signing in would help, else PERMISSION_DENIED.
    pub fn check(self, call: &Call) -> Result<(), Error> {
        let Some(options) = self.0 else {
            return Err(denied("NOT_ANNOTATED", "Nobody may call this method."));
        };
        match options.access() {
            Who::Public => Ok(()),
            Who::SignedIn => call.user_id().map(drop),
            Who::Role if call.has_role(&options.role) => Ok(()),
            Who::Role => {
                call.user_id()?;
                let text = format!(
                    "This needs the role `{}`. Ask an operator to grant it, then sign in again.",
                    options.role
                );
                Err(denied("ROLE_MISSING", text).with("role", &options.role))
            }
            Who::Internal if !call.service.is_empty() => Ok(()),
            Who::Internal => {
                Err(denied("INTERNAL_METHOD", "Only services of the mesh may call this method."))
            }
            Who::Unspecified => Err(denied("NOT_ANNOTATED", "Nobody may call this method.")),
        }
    }
}

fn denied(reason: &'static str, text: impl Into<String>) -> Error {
    Error::new(Code::PermissionDenied, reason, text)
}

#[cfg(test)]
mod tests {
    use artel_client::User;

    use super::*;

    /// Walks every method of the contracts as nobody, a user, an editor and a service.
    #[test]
    fn every_method_lets_in_whom_its_annotation_names() {
        let nobody = Call { service: String::new(), ..Call::by_service("", "w") };
        let with = |roles: &[&str]| {
            let roles = roles.iter().map(|role| (*role).to_owned()).collect();
            Call { user: Some(User { id: "u".into(), roles, locale: "ru".into() }), ..nobody.clone() }
        };
        let (user, editor, service) = (with(&[]), with(&["catalog_editor"]), Call::by_service("order", "w"));
        let mut walked = 0;
        for (path, rule) in annotations::rules() {
            let options = rule.options.clone().unwrap_or_default();
            let passes = |call: &Call| Access::to(path).check(call).is_ok();
            let seen = [passes(&nobody), passes(&user), passes(&editor), passes(&service)];
            let expected = match options.access() {
                Who::Public => [true, true, true, true],
                Who::SignedIn => [false, true, true, false],
                Who::Role => [false, false, options.role == "catalog_editor", false],
                Who::Internal => [false, false, false, true],
                Who::Unspecified => [false; 4],
            };
            assert_eq!(seen, expected, "{path}");
            walked += 1;
        }
        assert!(walked > 20, "only {walked} methods in the contracts");
        assert!(Access::to("/artel.order.v1.OrderService/Nothing").check(&service).is_err());
    }
}
