//! What is too old goes, a page at a time.

use std::sync::Arc;

use artel_client::Call;
use artel_proto::Timestamp;
use artel_proto::persist::Operator;
use artel_proto::webhook::{Webhook, WebhookContent, WebhookStatus};
use artel_repo::{Commit, Direction, Filter, Query, Repo};
use artel_util::Error;
use artel_util::time::from_chrono;
use chrono::{TimeDelta, Utc};

use crate::settings::Settings;

/// Deleted in one commit.
const AT_ONCE: i32 = 200;

/// Deletes what was judged so long ago, and what nobody judged for longer.
pub(crate) async fn sweep(repo: Repo, settings: Arc<Settings>, call: Call) -> Result<(), Error> {
    let old = [
        (WebhookStatus::Accepted, settings.keep_days()),
        (WebhookStatus::Rejected, settings.keep_days()),
        (WebhookStatus::Received, settings.keep_unsettled_days()),
    ];
    for (status, days) in old {
        let before = from_chrono(Utc::now() - TimeDelta::days(days.into()));
        let swept = all_before(&repo, &call, status, before).await?;
        if swept > 0 && status == WebhookStatus::Received {
            tracing::warn!(swept, days, "webhooks swept that nobody judged");
        } else if swept > 0 {
            tracing::info!(swept, status = status.as_str_name(), "webhooks swept");
        }
    }
    Ok(())
}

async fn all_before(
    repo: &Repo,
    call: &Call,
    status: WebhookStatus,
    before: Timestamp,
) -> Result<usize, Error> {
    let mut swept = 0;
    loop {
        let query = Query::new()
            .equal("status", status.as_str_name())
            .filter(Filter::compare("create_time", Operator::Less, [before.into()]))
            .order("create_time", Direction::Ascending)
            .page(AT_ONCE, "");
        let page = repo.query::<Webhook>(call, query).await?;
        if page.items.is_empty() {
            return Ok(swept);
        }
        let commit = page.items.iter().fold(Commit::new(), |commit, webhook| {
            commit.delete::<WebhookContent>(&webhook.id).delete::<Webhook>(&webhook.id)
        });
        match repo.commit(call, commit).await {
            Ok(_) => swept += page.items.len(),
            // Another copy sweeps, too: what it took is gone.
            Err(error) if error.code() == tonic::Code::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use artel_handle::testing::LocalMesh;
    use artel_persist::testing::TestDatabase;
    use artel_util::new_id;
    use bytes::Bytes;

    use super::*;
    use crate::settings::tests::settings;

    #[tokio::test]
    async fn what_was_judged_goes_first_and_what_is_young_stays() {
        let (database, mesh) = (TestDatabase::create().await.unwrap(), LocalMesh::start("").await.unwrap());
        mesh.serve(database.persist().await.unwrap()).await.unwrap();
        let host = mesh.host("webhook");
        let (repo, call) = (host.repo(), host.call());
        let superuser = database.superuser().await.unwrap();
        let mut ids = Vec::new();
        for (status, days) in [
            (WebhookStatus::Accepted, 29),
            (WebhookStatus::Accepted, 31),
            (WebhookStatus::Rejected, 31),
            (WebhookStatus::Received, 31),
            (WebhookStatus::Received, 91),
        ] {
            let webhook = Webhook { id: new_id(), status: status.into(), ..Webhook::default() };
            let content = WebhookContent {
                id: webhook.id.clone(),
                body: Bytes::from_static(b"body"),
                ..WebhookContent::default()
            };
            repo.commit(&call, Commit::new().insert(&webhook).insert(&content)).await.unwrap();
            let aged = format!(
                "UPDATE webhooks SET create_time = now() - interval '{days} days' WHERE id = '{}'",
                webhook.id
            );
            superuser.batch_execute(&aged).await.unwrap();
            ids.push(webhook.id);
        }
        sweep(repo.clone(), Arc::new(settings("").unwrap()), call.clone()).await.unwrap();
        let left: Vec<Webhook> = repo.get_many(&call, &ids).await.unwrap();
        let left: Vec<_> = left.into_iter().map(|webhook| webhook.id).collect();
        assert_eq!(left, [ids[0].clone(), ids[3].clone()]);
        let contents: Vec<WebhookContent> = repo.get_many(&call, &ids).await.unwrap();
        assert_eq!(contents.len(), 2, "what it was goes with it");
    }
}
