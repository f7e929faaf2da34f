//! Devices that take push messages.

use artel_client::Call;
use artel_proto::notify::push_service_server::PushService;
use artel_proto::notify::{PushDevice, RegisterPushDeviceRequest, RegisterPushDeviceResponse};
use artel_repo::{Commit, Query, Repo, digest};
use artel_util::{Error, new_id};
use bytes::Bytes;
use tonic::{Request, Response, Status};

/// How often a registration begins anew when the device is registered elsewhere in between.
const ATTEMPTS: usize = 5;

/// The gRPC methods for devices.
pub(crate) struct Devices {
    repo: Repo,
}

impl Devices {
    pub fn new(repo: Repo) -> Self {
        Self { repo }
    }

    /// The device of that token is the caller's; its id.
    async fn register(&self, call: &Call, token: &str) -> Result<String, Error> {
        let user_id = call.user_id()?;
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let text =
                "must be the registration token as the device got it: letters, digits and signs of ASCII";
            return Err(Error::invalid("token", text));
        }
        for _ in 0..ATTEMPTS {
            let query = Query::new().equal("token", token).page(1, "");
            let known: Option<PushDevice> = self.repo.query(call, query).await?.items.pop();
            let (device, commit) = match known {
                Some(device) if device.user_id == user_id => return Ok(device.id),
                // Whoever signs in on a device has it.
                Some(device) => {
                    let device = PushDevice { user_id: user_id.to_owned(), ..device };
                    let commit = Commit::new().update(&device, &["user_id"]).expect_version(device.version);
                    (device, commit)
                }
                None => {
                    let device = PushDevice {
                        id: new_id(),
                        user_id: user_id.to_owned(),
                        token: token.to_owned(),
                        ..PushDevice::default()
                    };
                    let commit = Commit::new().insert(&device);
                    (device, commit)
                }
            };
            // A key of its own, so that it may be sent again if the answer is lost.
            let key = format!("notify.device/{}", new_id());
            match self.repo.commit(call, commit.once(key, digest(&device), Bytes::new())).await {
                Ok(_) => return Ok(device.id),
                Err(error)
                    if matches!(
                        error.reason(),
                        "UNIQUE_VIOLATION" | "PRECONDITION_FAILED" | "ROW_NOT_FOUND"
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(tonic::Code::Aborted, "BUSY", "The device is changing all the time. Try again."))
    }
}

#[tonic::async_trait]
impl PushService for Devices {
    async fn register_push_device(
        &self,
        request: Request<RegisterPushDeviceRequest>,
    ) -> Result<Response<RegisterPushDeviceResponse>, Status> {
        let id = self.register(Call::of(&request)?, &request.get_ref().token).await?;
        Ok(Response::new(RegisterPushDeviceResponse { id }))
    }
}
