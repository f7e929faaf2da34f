use std::time::Duration;

use artel_client::{Call, Channel};
use artel_proto::Entity;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{
    AggregateRequest, AggregateRow, Consistency, GetRequest, QueryRequest, RecallRequest, TimeBuckets,
};
use artel_util::Error;
use bytes::Bytes;
use tonic::Code;

use crate::commit::{Commit, Committed};
use crate::query::{Buckets, Group, Measure, Page, Query};
use crate::watch::{Changes, Watch};

/// How often a commit that happens once is sent while `persist` does not answer.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Entities, through `persist`. Cheap to clone.
#[derive(Clone)]
pub struct Repo {
    persist: PersistServiceClient<Channel>,
    consistency: Option<Consistency>,
}

impl Repo {
    /// Over a channel to `persist`.
    #[must_use]
    pub fn new(persist: Channel) -> Self {
        let most = persist.message_bytes();
        let persist = PersistServiceClient::new(persist)
            .max_decoding_message_size(most)
            .max_encoding_message_size(most);
        Self { persist, consistency: None }
    }

    /// The same for reads that bear what was true a moment ago, so that a replica may answer them; but they see the
    /// commit at this position ([`Committed::position`]), if it is not 0.
    #[must_use]
    pub fn stale(&self, position: i64) -> Self {
        let consistency = Consistency { allow_stale: true, position };
        Self { persist: self.persist.clone(), consistency: Some(consistency) }
    }

    /// The changes of an entity from now on, or from where the request says. Goes on by itself where the connection is
    /// lost.
    #[must_use]
    pub fn watch<T: Entity>(&self, call: &Call, watch: Watch) -> Changes<T> {
        Changes::new(self.persist.clone(), call.clone(), watch)
    }

    /// The entity with this key, if there is one.
    ///
    /// # Errors
    /// What `persist` says.
    pub async fn get<T: Entity>(&self, call: &Call, id: &str) -> Result<Option<T>, Error> {
        Ok(self.get_many(call, [id]).await?.pop())
    }

    /// The entities with these keys, in their order; those that do not exist are left out.
    ///
    /// # Errors
    /// What `persist` says.
    pub async fn get_many<T: Entity>(
        &self,
        call: &Call,
        ids: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<T>, Error> {
        let ids = ids.into_iter().map(Into::into).collect();
        let request =
            call.request(GetRequest { entity: T::NAME.to_owned(), ids, consistency: self.consistency });
        let answer = self.persist.clone().get(request).await?.into_inner();
        decode_all(&answer.items)
    }

    /// A page of the entities that match.
    ///
    /// # Errors
    /// What `persist` says: a field that cannot be asked for, a token of another query.
    pub async fn query<T: Entity>(&self, call: &Call, query: Query) -> Result<Page<T>, Error> {
        let request = call.request(QueryRequest {
            entity: T::NAME.to_owned(),
            r#where: Query::condition(query.filters),
            search: query.search,
            order_by: query.order_by,
            page_size: query.page_size,
            page_token: query.page_token,
            with_total: query.with_total,
            consistency: self.consistency,
        });
        let answer = self.persist.clone().query(request).await?.into_inner();
        Ok(Page {
            items: decode_all(&answer.items)?,
            next_page_token: answer.next_page_token,
            total: answer.total,
        })
    }

    /// Measures over groups of the entities that match, the greatest first measure first; 100 groups at most when
    /// `limit` is 0.
    ///
    /// # Errors
    /// What `persist` says.
    pub async fn aggregate<T: Entity>(
        &self,
        call: &Call,
        query: Query,
        group_by: &[&str],
        measures: impl IntoIterator<Item = Measure>,
        limit: i32,
    ) -> Result<Vec<Group>, Error> {
        self.measure::<T>(call, query, group_by, measures, limit, None).await
    }

    /// The same in buckets of time: a row a group and bucket, those of a group together and the earliest first. The
    /// groups are the ones with the greatest first measure over all of the time.
    ///
    /// # Errors
    /// What `persist` says: a time zone that there is not, too many buckets.
    pub async fn series<T: Entity>(
        &self,
        call: &Call,
        query: Query,
        buckets: Buckets,
        group_by: &[&str],
        measures: impl IntoIterator<Item = Measure>,
        limit: i32,
    ) -> Result<Vec<Group>, Error> {
        self.measure::<T>(call, query, group_by, measures, limit, Some(buckets.0)).await
    }

    async fn measure<T: Entity>(
        &self,
        call: &Call,
        query: Query,
        group_by: &[&str],
        measures: impl IntoIterator<Item = Measure>,
        limit: i32,
        buckets: Option<TimeBuckets>,
    ) -> Result<Vec<Group>, Error> {
        let request = call.request(AggregateRequest {
            entity: T::NAME.to_owned(),
            r#where: Query::condition(query.filters),
            search: query.search,
            group_by: group_by.iter().map(|field| (*field).to_owned()).collect(),
            measures: measures.into_iter().map(|measure| measure.0).collect(),
            limit,
            buckets,
            consistency: self.consistency,
        });
        let answer = self.persist.clone().aggregate(request).await?.into_inner();
        let group =
            |row: AggregateRow| Group { keys: row.keys, measures: row.measures, bucket: row.bucket_time };
        Ok(answer.rows.into_iter().map(group).collect())
    }

    /// Writes the batch. One that happens once is sent again while `persist` does not answer, within the call's time.
    ///
    /// # Errors
    /// What `persist` says: a precondition that failed, a unique value that is taken, …
    pub async fn commit(&self, call: &Call, commit: Commit) -> Result<Committed, Error> {
        let request = commit.within(call);
        let once = request.idempotency.is_some();
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            match self.persist.clone().commit(call.request(request.clone())).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    return Ok(Committed {
                        replayed: answer.replayed,
                        answer: answer.answer,
                        results: answer.results,
                        event_ids: answer.event_ids,
                        position: answer.position,
                    });
                }
                Err(status) if once && status.code() == Code::Unavailable && attempt < ATTEMPTS => {
                    let pause_now = pause.mul_f64(rand::random_range(0.5..1.0));
                    if call.time_left(Duration::MAX) <= pause_now {
                        return Err(status.into());
                    }
                    tokio::time::sleep(pause_now).await;
                    pause *= 2;
                }
                Err(status) => return Err(status.into()),
            }
        }
        Err(Error::internal("the loop above always answers"))
    }

    /// The answer of the commit with this key, if there was one.
    ///
    /// # Errors
    /// `IDEMPOTENCY_KEY_REUSED` where the key belongs to another request.
    pub async fn recall(&self, call: &Call, key: &str, digest: Bytes) -> Result<Option<Bytes>, Error> {
        let request = call.request(RecallRequest { key: key.to_owned(), digest });
        let answer = self.persist.clone().recall(request).await?.into_inner();
        Ok(answer.found.then_some(answer.answer))
    }
}

fn decode_all<T: Entity>(items: &[Bytes]) -> Result<Vec<T>, Error> {
    items.iter().map(|item| T::decode(item.clone()).map_err(Error::internal)).collect()
}
