//! The methods by which people come in and go: they take passwords, codes and refresh tokens, and give out tokens.

/// Such a method. What holds for them alone: an access token that is sent along is not looked at, since an expired one
/// is why they are called; answers are not compressed; sign-in, sign-up and refresh have limits of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// By password, or by a code that was sent to a phone.
    SignIn,
    /// For the first time, or by phone.
    SignUp,
    /// By refresh token.
    Refresh,
    /// And out again.
    SignOut,
}

const ENTRANCES: [(&str, Entrance); 6] = [
    ("artel.identity.v1.IdentityService.Login", Entrance::SignIn),
    ("artel.identity.v1.IdentityService.Register", Entrance::SignUp),
    ("artel.identity.v1.IdentityService.Refresh", Entrance::Refresh),
    ("artel.identity.v1.IdentityService.Logout", Entrance::SignOut),
    ("artel.identity.v1.GuestService.QuickAuth", Entrance::SignUp),
    ("artel.identity.v1.GuestService.ConfirmCode", Entrance::SignIn),
];

impl Entrance {
    /// Which of them a method is, by its full name.
    pub fn of(method: &str) -> Option<Self> {
        ENTRANCES.into_iter().find(|(name, _)| *name == method).map(|(_, entrance)| entrance)
    }

    /// Its name in Redis and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::SignUp => "sign_up",
            Self::Refresh => "refresh",
            Self::SignOut => "sign_out",
        }
    }
}

#[cfg(test)]
mod tests {
    use artel_proto::annotations::pool;

    use super::*;
    use crate::surface::Surface;

    #[test]
    fn the_entrances_are_there_and_open() {
        let surface = Surface::read(pool()).unwrap();
        for (name, _) in ENTRANCES {
            assert!(surface.methods.iter().any(|it| it.full_name == name && it.open), "{name}");
        }
    }
}
