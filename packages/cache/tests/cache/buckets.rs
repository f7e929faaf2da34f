use std::time::Duration;

use artel_cache::{Bucket, Buckets, Rate};
use futures::future::join_all;
use tokio::time::Instant;

use crate::support::{Server, any_redis, fresh, process};

const MINUTE: Duration = Duration::from_secs(60);

fn bucket(key: &str, count: u32, period: Duration) -> Bucket {
    let rate = Rate { count, period };
    Bucket { key: key.to_owned(), rate, alone: Rate { count: 2, period } }
}

#[tokio::test]
async fn one_is_taken_from_every_bucket_or_from_none() {
    let (url, _server) = any_redis().await;
    let name = fresh("all");
    let [ours, theirs] = [(); 2].map(|()| Buckets::new(process(&url), &name));
    let asked = [bucket("address", 5, MINUTE), bucket("user", 2, MINUTE)];
    for (buckets, left) in [(&ours, [4, 1]), (&theirs, [3, 0])] {
        let taken = buckets.take(&asked).await;
        assert!(taken.allowed && taken.shared);
        assert_eq!(taken.levels.iter().map(|level| level.remaining).collect::<Vec<_>>(), left);
    }
    for _ in 0..4 {
        let refused = ours.take(&asked).await;
        assert!(!refused.allowed && refused.shared);
        let [address, user] = refused.levels[..] else { panic!("{refused:?}") };
        assert_eq!((address.allowed, address.remaining, address.retry_after), (true, 3, Duration::ZERO));
        assert_eq!((user.allowed, user.remaining, user.size), (false, 0, 2));
        assert!(user.retry_after > MINUTE / 3 && user.retry_after <= MINUTE / 2, "{user:?}");
        assert!(user.full_after > MINUTE / 2 && user.full_after <= MINUTE, "{user:?}");
    }
    // Taken one after the other, the first would have been emptied by requests that the second refused.
    let alone = ours.take(&[bucket("address", 5, MINUTE)]).await;
    assert_eq!(alone.levels[0].remaining, 2);
    for left in [1, 0] {
        let one_by_one = ours.take(&[bucket("address", 5, MINUTE)]).await;
        assert_eq!(one_by_one.levels[0].remaining, left);
        assert!(!ours.take(&[bucket("user", 2, MINUTE)]).await.allowed);
    }
    assert!(!ours.take(&asked).await.levels[0].allowed, "the negative control emptied it");
    assert!(ours.take(&[]).await.allowed);
}

#[tokio::test]
async fn one_is_there_when_it_was_said_to_be_and_a_lowered_limit_holds_at_once() {
    let (url, _server) = any_redis().await;
    let buckets = Buckets::new(process(&url), &fresh("wait"));
    let second = Duration::from_secs(1);
    assert!(buckets.take(&[bucket("a", 2, second)]).await.allowed);
    assert!(buckets.take(&[bucket("a", 2, second)]).await.allowed);
    let refused = buckets.take(&[bucket("a", 2, second)]).await.levels[0];
    assert!(!refused.allowed && refused.retry_after <= second / 2);
    tokio::time::sleep(refused.retry_after).await;
    assert!(buckets.take(&[bucket("a", 2, second)]).await.allowed);

    assert_eq!(buckets.take(&[bucket("b", 10, MINUTE)]).await.levels[0].remaining, 9);
    assert_eq!(buckets.take(&[bucket("b", 10, MINUTE)]).await.levels[0].remaining, 8);
    let lowered = buckets.take(&[bucket("b", 1, MINUTE * 10)]).await;
    assert!(!lowered.allowed, "{lowered:?}");
    // What was taken by the old limit comes back at the old pace.
    assert!(lowered.levels[0].retry_after <= Duration::from_secs(12), "{lowered:?}");
}

#[tokio::test]
async fn a_raised_limit_holds_at_once() {
    let (url, _server) = any_redis().await;
    let buckets = Buckets::new(process(&url), &fresh("raised"));
    let hour = MINUTE * 60;
    assert!(buckets.take(&[bucket("a", 1, hour)]).await.allowed);
    assert!(!buckets.take(&[bucket("a", 1, hour)]).await.allowed);
    // An hour is missing by the old limit, which is nothing to the new one.
    for left in [1, 0] {
        let raised = buckets.take(&[bucket("a", 2, MINUTE)]).await;
        assert!(raised.allowed && raised.levels[0].remaining == left, "{raised:?}");
    }
    assert!(!buckets.take(&[bucket("a", 2, MINUTE)]).await.allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rivals_take_exactly_what_is_there() {
    const RIVALS: usize = 64;
    const SIZE: u32 = 10;
    let (url, _server) = any_redis().await;
    let name = fresh("race");
    let processes: Vec<_> = (0..8).map(|_| Buckets::new(process(&url), &name)).collect();
    for round in 0..30 {
        let rivals = (0..RIVALS).map(|n| {
            let buckets = processes[n % processes.len()].clone();
            // Every second one asks for another bucket, too, which is large enough for all.
            let mut asked = vec![bucket(&round.to_string(), SIZE, MINUTE * 60)];
            asked.extend((n % 2 == 0).then(|| bucket(&format!("{round}.large"), 1000, MINUTE * 60)));
            tokio::spawn(async move { (n % 2 == 0, buckets.take(&asked).await) })
        });
        let taken: Vec<_> = join_all(rivals).await.into_iter().map(Result::unwrap).collect();
        let mut left: Vec<_> =
            taken.iter().filter(|(_, it)| it.allowed).map(|(_, it)| it.levels[0].remaining).collect();
        left.sort_unstable();
        assert_eq!(left, (0..SIZE).collect::<Vec<_>>(), "round {round}");
        let both = taken.iter().filter(|(both, it)| *both && it.allowed).count() as u32;
        let large = processes[0].take(&[bucket(&format!("{round}.large"), 1000, MINUTE * 60)]).await;
        assert_eq!(large.levels[0].remaining, 999 - both, "round {round}: the refused took from the other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_span_of_time_gives_more_than_the_size_and_what_came_back() {
    const SIZE: u32 = 20;
    let period = Duration::from_millis(400);
    let (url, _server) = any_redis().await;
    let buckets = Buckets::new(process(&url), &fresh("span"));
    let end = Instant::now() + period * 4;
    let hammer = async || {
        let mut times = Vec::new();
        while Instant::now() < end {
            let before = Instant::now();
            if buckets.take(&[bucket("a", SIZE, period)]).await.allowed {
                times.push((before, Instant::now()));
            }
        }
        times
    };
    let mut times: Vec<_> = join_all((0..4).map(|_| hammer())).await.into_iter().flatten().collect();
    times.sort_by_key(|(_, after)| *after);
    assert!(times.len() > SIZE as usize * 3, "only {} taken", times.len());
    for (first, (begin, _)) in times.iter().enumerate() {
        for (last, (_, after)) in times.iter().enumerate().skip(first + SIZE as usize) {
            // Between the earliest moment of the first and the latest of the last.
            let begin = times[first..=last].iter().map(|(before, _)| *before).min().unwrap_or(*begin);
            let most =
                f64::from(SIZE) * (1.0 + after.duration_since(begin).as_secs_f64() / period.as_secs_f64());
            let taken = (last - first + 1) as f64;
            assert!(taken <= most + 1.0, "{taken} in {:?}, at most {most}", after.duration_since(begin));
        }
    }
}

#[tokio::test]
async fn without_redis_each_process_counts_for_itself_by_its_own_rate() {
    let mut server = Server::start().await;
    let buckets = Buckets::new(process(&server.url), &fresh("away"));
    let asked = [bucket("a", 100, MINUTE), bucket("b", 100, MINUTE)];
    assert!(buckets.take(&asked).await.shared);
    server.kill();
    for left in [1, 0] {
        let taken = buckets.take(&asked).await;
        assert!(taken.allowed && !taken.shared, "{taken:?}");
        assert_eq!((taken.levels[0].size, taken.levels[0].remaining), (2, left));
    }
    let refused = buckets.take(&asked).await;
    assert!(!refused.allowed && !refused.shared && refused.levels[1].retry_after > Duration::ZERO);
    server.resume().await;
    crate::support::until("all count together again", async || buckets.take(&asked).await.shared).await;
    assert!(buckets.take(&asked).await.allowed);
}
