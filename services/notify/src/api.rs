use artel_client::Call;
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

use crate::domain::{default_preferences, own};

/// How often marking begins anew when the message changes in between.
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
        let user_id = call.user_id()?;
        let asked = request.get_ref().preferences.clone().unwrap_or_default();
        // What is kept is the caller's, whatever id, version or time the request names.
        let wanted = Preferences {
            id: user_id.to_owned(),
            email: asked.email,
            in_app: asked.in_app,
            locale: asked.locale,
            ..Preferences::default()
        };
        let key = format!("notify.preferences/{}", new_id());
        let commit = Commit::new().upsert(&wanted).once(key, digest(&wanted), Bytes::new());
        self.repo.commit(call, commit).await?;
        let preferences = self.preferences(call, user_id).await?;
        Ok(Response::new(UpdatePreferencesResponse { preferences: Some(preferences) }))
    }
}
