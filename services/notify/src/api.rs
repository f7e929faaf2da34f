use artel_client::Call;
use artel_proto::Entity as _;
use artel_proto::notify::notify_service_server::NotifyService;
use artel_proto::notify::{
    GetPreferencesRequest, GetPreferencesResponse, ListNotificationsRequest, ListNotificationsResponse,
    Notification, Preferences, ReadNotificationRequest, ReadNotificationResponse, UpdatePreferencesRequest,
    UpdatePreferencesResponse,
};
use artel_repo::{Commit, Direction, Filter, Query, Repo, digest};
use artel_util::{Error, new_id, now};
use bytes::Bytes;
use tonic::{Request, Response, Status};

use crate::domain::{chosen, default_preferences, own};

/// How often a change begins anew when the row changes in between.
const ATTEMPTS: usize = 3;

/// The gRPC methods of `notify`.
pub(crate) struct Notifications {
    repo: Repo,
}

impl Notifications {
    pub fn new(repo: Repo) -> Self {
        Self { repo }
    }

    async fn read(&self, call: &Call, id: &str) -> Result<Notification, Error> {
        let user_id = call.user_id()?;
        for _ in 0..ATTEMPTS {
            let mut notification = own(self.repo.get(call, id).await?, user_id)?;
            if notification.read_time.is_some() {
                return Ok(notification);
            }
            notification.read_time = Some(now());
            let commit = Commit::new()
                .update(&notification, &["read_time"])
                .expect_version(notification.version)
                // A key of its own, so that it may be sent again if the answer is lost.
                .once(format!("notify.read/{}", new_id()), Bytes::new(), Bytes::new());
            match self.repo.commit(call, commit).await {
                Ok(committed) => {
                    notification.version =
                        committed.results.first().map_or(notification.version + 1, |row| row.version);
                    return Ok(notification);
                }
                Err(error) if error.reason() == "PRECONDITION_FAILED" => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(tonic::Code::Aborted, "BUSY", "The message is changing all the time. Try again."))
    }

    /// Changes what the caller chose. Whose it is, its version and its time are not for the request to say.
    async fn prefer(&self, call: &Call, asked: Preferences, mask: &[String]) -> Result<Preferences, Error> {
        let user_id = call.user_id()?;
        let fields = chosen(&asked, mask)?;
        for _ in 0..ATTEMPTS {
            let stored: Option<Preferences> = self.repo.get(call, user_id).await?;
            let mut wanted = stored.clone().unwrap_or_else(|| default_preferences(user_id));
            for field in &fields {
                wanted.take(&asked, field);
            }
            let commit = match stored {
                Some(_) => Commit::new().update(&wanted, &fields),
                None => Commit::new().insert(&wanted),
            };
            // A key of its own, so that it may be sent again if the answer is lost.
            let key = format!("notify.preferences/{}", new_id());
            match self.repo.commit(call, commit.once(key, digest(&wanted), Bytes::new())).await {
                Ok(_) => return self.preferences(call, user_id).await,
                // They were first written, or went, in between.
                Err(error) if matches!(error.reason(), "UNIQUE_VIOLATION" | "ROW_NOT_FOUND") => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(tonic::Code::Aborted, "BUSY", "The preferences are changing all the time. Try again."))
    }

    async fn preferences(&self, call: &Call, user_id: &str) -> Result<Preferences, Error> {
        let stored = self.repo.get(call, user_id).await?;
        Ok(stored.unwrap_or_else(|| default_preferences(user_id)))
    }
}

#[tonic::async_trait]
impl NotifyService for Notifications {
    async fn list_notifications(
        &self,
        request: Request<ListNotificationsRequest>,
    ) -> Result<Response<ListNotificationsResponse>, Status> {
        let (call, asked) = (Call::of(&request)?, request.get_ref());
        let mut query = Query::new()
            .equal("user_id", call.user_id()?)
            .order("create_time", Direction::Descending)
            .page_asked(asked.page_size, &asked.page_token);
        if asked.unread {
            query = query.filter(Filter::is_null("read_time"));
        }
        let page = self.repo.query::<Notification>(call, query).await?;
        Ok(Response::new(ListNotificationsResponse {
            notifications: page.items,
            next_page_token: page.next_page_token,
        }))
    }

    async fn read_notification(
        &self,
        request: Request<ReadNotificationRequest>,
    ) -> Result<Response<ReadNotificationResponse>, Status> {
        let notification = self.read(Call::of(&request)?, &request.get_ref().id).await?;
        Ok(Response::new(ReadNotificationResponse { notification: Some(notification) }))
    }

    async fn get_preferences(
        &self,
        request: Request<GetPreferencesRequest>,
    ) -> Result<Response<GetPreferencesResponse>, Status> {
        let call = Call::of(&request)?;
        let preferences = self.preferences(call, call.user_id()?).await?;
        Ok(Response::new(GetPreferencesResponse { preferences: Some(preferences) }))
    }

    async fn update_preferences(
        &self,
        request: Request<UpdatePreferencesRequest>,
    ) -> Result<Response<UpdatePreferencesResponse>, Status> {
        let call = Call::of(&request)?;
        let UpdatePreferencesRequest { preferences, update_mask } = request.get_ref();
        let mask = update_mask.as_ref().map(|mask| mask.paths.as_slice()).unwrap_or_default();
        let preferences = self.prefer(call, preferences.clone().unwrap_or_default(), mask).await?;
        Ok(Response::new(UpdatePreferencesResponse { preferences: Some(preferences) }))
    }
}
