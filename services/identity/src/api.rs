use std::sync::Arc;

use artel_client::Call;
use artel_handle::created;
use artel_proto::identity::guest_service_server::GuestService;
use artel_proto::identity::identity_service_server::IdentityService;
use artel_proto::identity::{
    ConfirmCodeRequest, ConfirmCodeResponse, GetKeysRequest, GetKeysResponse, GetMeRequest, GetMeResponse,
    GrantRoleRequest, GrantRoleResponse, LoginRequest, LoginResponse, LogoutRequest, LogoutResponse,
    QuickAuthRequest, QuickAuthResponse, RefreshRequest, RefreshResponse, RegisterRequest, RegisterResponse,
    RevealCodeRequest, RevealCodeResponse, RevokeRoleRequest, RevokeRoleResponse, RotateKeysRequest,
    RotateKeysResponse, UpdateMeRequest, UpdateMeResponse,
};
use tonic::{Request, Response, Status};

use crate::guests::{Entry, Guests};
use crate::keys::Keyring;
use crate::people::People;
use crate::refusal::Refusal;
use crate::sessions::Sessions;

/// The name that operators' calls go by.
const OPERATOR: &str = "operator";
/// The service that sends codes.
const NOTIFY: &str = "notify";

/// The gRPC methods of `identity`.
pub(crate) struct Identity {
    pub(crate) people: People,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) keyring: Arc<Keyring>,
}

#[tonic::async_trait]
impl IdentityService for Identity {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let it = self.people.register(Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(RegisterResponse {
            user: Some(it.user),
            access_token: it.access_token,
            refresh_token: it.refresh_token,
            expires_in: it.expires_in,
        }))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<LoginResponse>, Status> {
        let it = self.people.login(Call::of(&request)?, request.metadata(), request.get_ref()).await?;
        Ok(Response::new(LoginResponse {
            user: Some(it.user),
            access_token: it.access_token,
            refresh_token: it.refresh_token,
            expires_in: it.expires_in,
        }))
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Result<Response<RefreshResponse>, Status> {
        let it = self.sessions.refresh(Call::of(&request)?, &request.get_ref().refresh_token).await?;
        Ok(Response::new(RefreshResponse {
            user: Some(it.user),
            access_token: it.access_token,
            refresh_token: it.refresh_token,
            expires_in: it.expires_in,
        }))
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Result<Response<LogoutResponse>, Status> {
        self.sessions.end_by(Call::of(&request)?, &request.get_ref().refresh_token).await?;
        Ok(Response::new(LogoutResponse {}))
    }

    async fn get_me(&self, request: Request<GetMeRequest>) -> Result<Response<GetMeResponse>, Status> {
        let user = self.people.me(Call::of(&request)?).await?;
        Ok(Response::new(GetMeResponse { user: Some(user) }))
    }

    async fn update_me(
        &self,
        request: Request<UpdateMeRequest>,
    ) -> Result<Response<UpdateMeResponse>, Status> {
        let call = Call::of(&request)?.clone();
        let UpdateMeRequest { user, update_mask } = request.into_inner();
        let mask = update_mask.unwrap_or_default().paths;
        let user = self.people.update_me(&call, user.unwrap_or_default(), &mask).await?;
        Ok(Response::new(UpdateMeResponse { user: Some(user) }))
    }

    async fn get_keys(&self, _: Request<GetKeysRequest>) -> Result<Response<GetKeysResponse>, Status> {
        Ok(Response::new(GetKeysResponse { keys: self.keyring.published().await? }))
    }

    async fn grant_role(
        &self,
        request: Request<GrantRoleRequest>,
    ) -> Result<Response<GrantRoleResponse>, Status> {
        let (call, asked) = (operator(&request)?, request.get_ref());
        let user = self.people.grant(call, &asked.email, &asked.role).await?;
        Ok(Response::new(GrantRoleResponse { user: Some(user) }))
    }

    async fn revoke_role(
        &self,
        request: Request<RevokeRoleRequest>,
    ) -> Result<Response<RevokeRoleResponse>, Status> {
        let (call, asked) = (operator(&request)?, request.get_ref());
        let user = self.people.revoke(call, &asked.email, &asked.role).await?;
        Ok(Response::new(RevokeRoleResponse { user: Some(user) }))
    }

    async fn rotate_keys(
        &self,
        request: Request<RotateKeysRequest>,
    ) -> Result<Response<RotateKeysResponse>, Status> {
        self.keyring.rotate(operator(&request)?).await?;
        Ok(Response::new(RotateKeysResponse { keys: self.keyring.published().await? }))
    }
}

/// The gRPC methods for guests.
pub(crate) struct GuestEntrance(pub(crate) Arc<Guests>);

#[tonic::async_trait]
impl GuestService for GuestEntrance {
    async fn quick_auth(
        &self,
        request: Request<QuickAuthRequest>,
    ) -> Result<Response<QuickAuthResponse>, Status> {
        match self.0.enter(Call::of(&request)?, request.metadata(), request.get_ref()).await? {
            Entry::SignedIn(it) => Ok(Response::new(QuickAuthResponse {
                user: Some(it.user),
                access_token: it.access_token,
                refresh_token: it.refresh_token,
                expires_in: it.expires_in,
                ..QuickAuthResponse::default()
            })),
            Entry::Code(sent) => Ok(created(QuickAuthResponse {
                temporary_token: sent.temporary_token,
                code_expires_in: sent.expires_in,
                ..QuickAuthResponse::default()
            })),
        }
    }

    async fn confirm_code(
        &self,
        request: Request<ConfirmCodeRequest>,
    ) -> Result<Response<ConfirmCodeResponse>, Status> {
        let it = self.0.confirm(Call::of(&request)?, request.metadata(), request.get_ref()).await?;
        Ok(Response::new(ConfirmCodeResponse {
            user: Some(it.signed_in.user),
            access_token: it.signed_in.access_token,
            refresh_token: it.signed_in.refresh_token,
            expires_in: it.signed_in.expires_in,
            device_token: it.device_token,
        }))
    }

    async fn reveal_code(
        &self,
        request: Request<RevealCodeRequest>,
    ) -> Result<Response<RevealCodeResponse>, Status> {
        let call = Call::of(&request)?;
        if call.service != NOTIFY {
            return Err(artel_util::Error::from(Refusal::NotifyOnly).into());
        }
        Ok(Response::new(self.0.codes.reveal(call, &request.get_ref().id).await?))
    }
}

/// The call, where an operator makes it. Its name is signed with the mesh's key; the annotation lets in every service.
fn operator<T>(request: &Request<T>) -> Result<&Call, Status> {
    let call = Call::of(request)?;
    if call.service == OPERATOR {
        Ok(call)
    } else {
        Err(artel_util::Error::from(Refusal::OperatorOnly).into())
    }
}
