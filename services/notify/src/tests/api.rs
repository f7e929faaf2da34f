use artel_handle::Listener as _;
use artel_proto::FieldMask;
use artel_proto::notify::{
    GetPreferencesRequest, ListNotificationsRequest, Notification, Preferences, ReadNotificationRequest,
    UpdatePreferencesRequest,
};
use artel_util::{Error, new_id};
use tonic::Code;

use super::world::World;

impl World {
    async fn told(&self, user_id: &str, times: usize) {
        for _ in 0..times {
            let (delivery, event) = self.placed(user_id);
            self.teller.hear(&delivery, event).await.unwrap();
        }
    }

    async fn list(
        &self,
        user_id: &str,
        request: ListNotificationsRequest,
    ) -> Result<(Vec<Notification>, String), Error> {
        let request = self.call_of(user_id).request(request);
        let answer = self.client.clone().list_notifications(request).await?.into_inner();
        Ok((answer.notifications, answer.next_page_token))
    }

    async fn read(&self, user_id: &str, id: &str) -> Result<Notification, Error> {
        let request = self.call_of(user_id).request(ReadNotificationRequest { id: id.to_owned() });
        Ok(self.client.clone().read_notification(request).await?.into_inner().notification.unwrap())
    }

    async fn preferences(&self, user_id: &str) -> Preferences {
        let request = self.call_of(user_id).request(GetPreferencesRequest {});
        self.client.clone().get_preferences(request).await.unwrap().into_inner().preferences.unwrap()
    }

    async fn prefer(
        &self,
        user_id: &str,
        preferences: Preferences,
        mask: &[&str],
    ) -> Result<Preferences, Error> {
        let mask = FieldMask { paths: mask.iter().map(|path| (*path).to_owned()).collect() };
        let request = UpdatePreferencesRequest { preferences: Some(preferences), update_mask: Some(mask) };
        let answer = self.client.clone().update_preferences(self.call_of(user_id).request(request)).await?;
        Ok(answer.into_inner().preferences.unwrap())
    }
}

#[tokio::test]
async fn messages_are_paged_newest_first_and_are_ones_own() {
    let world = World::start().await;
    let (me, you) = (world.person().await.id, world.person().await.id);
    world.told(&me, 5).await;
    world.told(&you, 1).await;
    let mut seen = Vec::new();
    let mut request = ListNotificationsRequest { page_size: 2, ..Default::default() };
    loop {
        let (page, next) = world.list(&me, request.clone()).await.unwrap();
        assert!(page.len() <= 2);
        seen.extend(page);
        if next.is_empty() {
            break;
        }
        request.page_token = next;
    }
    assert_eq!(seen.len(), 5);
    let times: Vec<_> = seen.iter().map(|one| one.create_time.map(|at| (at.seconds, at.nanos))).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    assert!(seen.iter().all(|one| one.user_id == me && one.read_time.is_none()));

    let refused = world.list(&me, ListNotificationsRequest { page_size: -1, ..Default::default() }).await;
    assert_eq!(refused.unwrap_err().fields()[0].field, "pageSize");
    let refused =
        world.list(&me, ListNotificationsRequest { page_token: "junk".into(), ..Default::default() }).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_message_is_read_once_and_by_its_owner() {
    let world = World::start().await;
    let (me, you) = (world.person().await.id, world.person().await.id);
    world.told(&me, 2).await;
    let id = world.list(&me, ListNotificationsRequest::default()).await.unwrap().0[0].id.clone();
    let stranger = world.read(&you, &id).await.unwrap_err();
    let missing = world.read(&you, &new_id()).await.unwrap_err();
    assert_eq!((stranger.code(), stranger.reason()), (Code::NotFound, "NOTIFICATION_NOT_FOUND"));
    assert_eq!((stranger.code(), stranger.message()), (missing.code(), missing.message()));

    let (first, second) = tokio::join!(world.read(&me, &id), world.read(&me, &id));
    let (first, second) = (first.unwrap(), second.unwrap());
    let stored = world.read(&me, &id).await.unwrap();
    assert!(stored.read_time.is_some());
    assert_eq!((first.read_time, first.version), (stored.read_time, stored.version));
    assert_eq!((second.read_time, second.version), (stored.read_time, stored.version));
    let unread = ListNotificationsRequest { unread: true, ..Default::default() };
    let unread = world.list(&me, unread).await.unwrap().0;
    assert!(unread.len() == 1 && unread[0].id != id);
    assert_eq!(world.read(&me, "not-an-id").await.unwrap_err().fields()[0].field, "id");
}

#[tokio::test]
async fn preferences_have_defaults_and_are_the_callers() {
    let world = World::start().await;
    let (me, you) = (new_id(), new_id());
    let defaults = world.preferences(&me).await;
    assert_eq!((defaults.email, defaults.in_app, defaults.locale.as_str()), (true, true, ""));
    // Whatever the request says about whose they are.
    let wanted =
        Preferences { id: you.clone(), in_app: true, locale: "kk".into(), version: 7, ..Default::default() };
    for _ in 0..2 {
        let kept = world.prefer(&me, wanted.clone(), &["email", "inApp", "locale"]).await.unwrap();
        assert_eq!(
            (kept.id.as_str(), kept.email, kept.in_app, kept.locale.as_str()),
            (me.as_str(), false, true, "kk")
        );
        assert!(kept.update_time.is_some());
        assert_eq!(world.preferences(&me).await, kept);
    }
    assert_eq!(world.preferences(&you).await.version, 0, "another's are untouched");

    let refused =
        world.prefer(&me, Preferences { locale: "de".into(), ..wanted }, &["locale"]).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.fields()[0].field.as_str()),
        (Code::InvalidArgument, "preferences.locale")
    );
    let request = world.call_of(&me).request(UpdatePreferencesRequest::default());
    let refused = Error::from(world.client.clone().update_preferences(request).await.unwrap_err());
    assert_eq!(refused.fields()[0].field, "preferences");
    assert_eq!(world.preferences(&me).await.locale, "kk", "what is refused changes nothing");
}

#[tokio::test]
async fn what_is_not_named_stays_as_it_is_and_an_empty_change_is_refused() {
    let world = World::start().await;
    let me = new_id();
    let refused = world.prefer(&me, Preferences::default(), &[]).await.unwrap_err();
    assert_eq!((refused.code(), refused.fields()[0].field.as_str()), (Code::InvalidArgument, "updateMask"));
    let kept = world.preferences(&me).await;
    assert!(kept.email && kept.in_app, "what is refused changes nothing");

    let kazakh = Preferences { locale: "kk".into(), ..Preferences::default() };
    let kept = world.prefer(&me, kazakh, &[]).await.unwrap();
    assert_eq!((kept.email, kept.in_app, kept.locale.as_str()), (true, true, "kk"));
    let kept = world.prefer(&me, Preferences::default(), &["email"]).await.unwrap();
    assert_eq!((kept.email, kept.in_app, kept.locale.as_str()), (false, true, "kk"));
    let refused = world.prefer(&me, Preferences::default(), &["email", "version"]).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "updateMask");

    // Two first changes at once: neither is lost.
    let you = new_id();
    let russian = Preferences { locale: "ru".into(), ..Preferences::default() };
    let (one, other) = tokio::join!(
        world.prefer(&you, russian, &[]),
        world.prefer(&you, Preferences::default(), &["in_app"])
    );
    one.unwrap();
    other.unwrap();
    let kept = world.preferences(&you).await;
    assert_eq!((kept.email, kept.in_app, kept.locale.as_str()), (true, false, "ru"));
}
