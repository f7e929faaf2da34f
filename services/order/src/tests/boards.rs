//! The board of one process: begun from what is stored, true while it changes, gone on from on another copy.

use std::sync::Arc;
use std::time::Duration;

use artel_handle::{CancellationToken, Live};
use artel_proto::order::{
    Board, BoardClock, BoardMove, GetBoardRequest, OrderStatus, WatchBoardRequest, WatchBoardResponse,
};
use artel_repo::{Commit, Delta, Repo};
use artel_util::new_id;
use bytes::Bytes;
use futures::future::join_all;
use futures::{Stream, StreamExt as _};
use tonic::Code;

use super::world::*;
use crate::board::{Hub, Log, Seat};
use crate::settings::tests::settings;

/// A hub of the test's own, which ends with the token.
fn hub(world: &World, rules: &str) -> (Arc<Hub>, CancellationToken) {
    let (repo, draining) = (world.repo(), CancellationToken::new());
    let settings = Live::fixed(settings(rules));
    let call = world.mesh.host("order").call();
    let hub = Arc::new(Hub::new(repo.clone(), Log::new(repo), call, settings, draining.clone()));
    tokio::spawn(Arc::clone(&hub).run(draining.clone()));
    (hub, draining)
}

async fn events(hub: &Arc<Hub>, position: Option<i64>) -> impl Stream<Item = String> + Unpin {
    let seat: Seat = hub.seat().unwrap();
    let events = hub.screen(position).await.unwrap().events(seat);
    Box::pin(events.map(|event: Result<Bytes, _>| String::from_utf8(event.unwrap().to_vec()).unwrap()))
}

async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
    tokio::time::timeout(DEADLINE, stream.next()).await.expect("nothing comes")
}

/// Waits until the hub is there.
async fn at(hub: &Hub, position: &str) -> Board {
    let there = async {
        loop {
            let board = hub.board().await.unwrap();
            if board.position == position {
                return board;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, there).await.expect("the hub does not get there")
}

#[tokio::test]
async fn over_grpc_the_board_comes_first_and_then_each_change() {
    let world = World::start().await;
    let orders = world.orders(2).await;
    world.deliver(preparing(&orders[0])).await.unwrap();
    let anybody = world.person("nobody");
    let watch = |position: &str| WatchBoardRequest { position: position.to_owned() };
    let mut dining = world.billing().dining;
    let mut stream = read(dining.watch_board(anybody.call.request(watch(""))).await).unwrap();
    let mut first = next(&mut stream).await.unwrap().unwrap();
    assert!(first.board.is_some());
    // The board hears of a move a moment after it was committed.
    if first.position == "0" {
        first = next(&mut stream).await.unwrap().unwrap();
    }
    assert_eq!(first.position, "1");
    world.deliver(ready(&orders[0])).await.unwrap();
    world.deliver(preparing(&orders[1])).await.unwrap();
    anybody.hand_over(&orders[0].id).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let WatchBoardResponse { board, change, position } = next(&mut stream).await.unwrap().unwrap();
        assert!(board.is_none());
        let change = change.unwrap();
        seen.push((position, change.number, change.status()));
    }
    let expected = [(1, OrderStatus::Ready), (2, OrderStatus::Preparing), (1, OrderStatus::HandedOver)];
    let expected =
        expected.into_iter().zip(2..).map(|((number, status), at)| (format!("{at}"), number, status));
    assert_eq!(seen, expected.collect::<Vec<_>>());

    let mut again = read(dining.watch_board(anybody.call.request(watch("3"))).await).unwrap();
    assert_eq!(next(&mut again).await.unwrap().unwrap().position, "4");
    let now = read(dining.get_board(anybody.call.request(GetBoardRequest {})).await).unwrap().board.unwrap();
    assert_eq!((now.preparing, now.ready, now.position.as_str()), (vec![2], vec![], "4"));
    for wrong in ["x", "-1", "99999999999999999999"] {
        let refused = read(dining.watch_board(anybody.call.request(watch(wrong))).await).err().unwrap();
        assert_eq!((refused.code(), refused.fields()[0].field.as_str()), (Code::InvalidArgument, "position"));
    }
}

#[tokio::test]
async fn a_copy_that_starts_later_has_the_same_board_and_the_same_past() {
    let world = World::start().await;
    let orders = world.orders(6).await;
    for order in &orders {
        world.deliver(preparing(order)).await.unwrap();
    }
    for order in &orders[2..5] {
        world.deliver(ready(order)).await.unwrap();
    }
    world.person("staff").hand_over(&orders[3].id).await.unwrap();
    let (one, _) = hub(&world, "");
    let board = at(&one, "10").await;
    assert_eq!(
        (board.preparing.as_slice(), board.ready.as_slice()),
        ([1, 2, 6].as_slice(), [3, 5].as_slice())
    );
    // What another copy told is gone on from here.
    let mut screen = events(&one, Some(8)).await;
    let told = next(&mut screen).await.unwrap();
    assert_eq!(
        told,
        "id: 9\nevent: change\ndata: {\"number\":5,\"status\":\"ORDER_STATUS_READY\"}\n\n\
         id: 10\nevent: change\ndata: {\"number\":4,\"status\":\"ORDER_STATUS_HANDED_OVER\"}\n\n"
    );
    // A screen may come from a copy that is ahead.
    let (waiting, moving) = tokio::join!(events(&one, Some(11)), world.deliver(ready(&orders[0])));
    moving.unwrap();
    let mut waiting = waiting;
    world.deliver(ready(&orders[1])).await.unwrap();
    assert!(next(&mut waiting).await.unwrap().starts_with("id: 12\nevent: change\n"));
}

#[tokio::test]
async fn a_position_that_is_too_old_or_of_nowhere_gets_the_whole_board() {
    let world = World::start().await;
    let orders = world.orders(5).await;
    for order in &orders {
        world.deliver(preparing(order)).await.unwrap();
    }
    let (hub, _) = hub(&world, "[order.board]\nremembered = 2");
    at(&hub, "5").await;
    for position in [None, Some(0), Some(2), Some(77)] {
        let mut screen = events(&hub, position).await;
        let first = next(&mut screen).await.unwrap();
        assert!(first.starts_with("id: 5\nevent: board\n"), "after {position:?}: {first}");
    }
    let mut screen = events(&hub, Some(3)).await;
    let first = next(&mut screen).await.unwrap();
    assert!(first.starts_with("id: 4\nevent: change\n") && first.contains("id: 5\n"), "{first}");
}

/// One that does not read holds nothing up and holds nothing: when it reads again, it gets what is still remembered, or
/// the board.
#[tokio::test]
async fn a_slow_screen_is_brought_up_to_date_by_the_whole_board() {
    let world = World::start().await;
    let orders = world.orders(8).await;
    let (hub, _) = hub(&world, "[order.board]\nremembered = 3");
    let (mut slow, mut quick) = (events(&hub, None).await, events(&hub, None).await);
    for screen in [&mut slow, &mut quick] {
        assert!(next(screen).await.unwrap().starts_with("id: 0\nevent: board\n"));
    }
    for (order, at) in orders.iter().zip(1..) {
        world.deliver(preparing(order)).await.unwrap();
        assert!(next(&mut quick).await.unwrap().starts_with(&format!("id: {at}\nevent: change\n")));
    }
    let whole = next(&mut slow).await.unwrap();
    assert!(whole.starts_with("id: 8\nevent: board\n") && whole.contains("[1,2,3,4,5,6,7,8]"), "{whole}");
    world.deliver(ready(&orders[0])).await.unwrap();
    assert!(next(&mut slow).await.unwrap().starts_with("id: 9\nevent: change\n"));
}

#[tokio::test]
async fn a_silent_board_says_that_it_is_there_and_one_that_drains_sends_its_screens_away() {
    let world = World::start().await;
    let (hub, draining) = hub(&world, "[order.board]\nheartbeat_seconds = 1\nmax_screens = 1");
    let mut screen = events(&hub, None).await;
    assert!(next(&mut screen).await.unwrap().starts_with("id: 0\nevent: board\n"));
    assert!(hub.seat().is_none(), "there is one place");
    assert_eq!(next(&mut screen).await.unwrap(), ":\n\n");
    draining.cancel();
    let last = next(&mut screen).await.unwrap();
    assert!(last.starts_with("retry: "), "{last}");
    assert!(next(&mut screen).await.is_none());
    assert!(hub.seat().is_some(), "the place is free again");
}

/// An operator goes back to a dump of yesterday while the board hangs there.
#[tokio::test]
async fn over_a_database_that_was_restored_the_board_begins_anew() {
    let world = World::start().await;
    let orders = world.orders(4).await;
    for order in &orders[..3] {
        world.deliver(preparing(order)).await.unwrap();
    }
    let (hub, _) = hub(&world, "");
    let mut screen = events(&hub, None).await;
    assert!(next(&mut screen).await.unwrap().starts_with("id: 3\nevent: board\n"));
    world
        .sql("DELETE FROM board_moves; DELETE FROM board_clocks; UPDATE history SET epoch = epoch + 1")
        .await;
    assert!(next(&mut screen).await.unwrap().starts_with("id: 0\nevent: board\n"));
    world.deliver(preparing(&orders[3])).await.unwrap();
    assert!(next(&mut screen).await.unwrap().starts_with("id: 1\nevent: change\n"));
    assert_eq!(hub.board().await.unwrap().preparing, [4]);
}

/// Moves of two copies at once: each is committed under the next number, none is left out, none comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn copies_number_their_moves_as_one() {
    let world = World::start().await;
    let orders = world.orders(60).await;
    let copies = [world.course(), world.course(), world.course()];
    let moves = orders.iter().enumerate().map(|(index, order)| {
        let news = crate::dining::News::new(copies[index % 3].clone());
        let delivery = world.delivery();
        async move { artel_handle::Listener::hear(&news, &delivery, preparing(order)).await }
    });
    join_all(moves).await.into_iter().for_each(|heard| heard.unwrap());
    assert_eq!(positions(&world).await, (1..=60).collect::<Vec<_>>());
}

/// The negative control: moves that do not expect the clock get one number twice, or are refused by the index alone.
#[tokio::test]
async fn without_the_clock_two_moves_get_one_number() {
    let world = World::start().await;
    let (repo, call): (Repo, _) = (world.repo(), world.mesh.host("order").call());
    let step = |position| BoardMove { id: new_id(), position, number: 1, ..BoardMove::default() };
    let clock = BoardClock { id: call.workspace.clone(), position: 1, ..BoardClock::default() };
    repo.commit(&call, Commit::new().insert(&clock).insert(&step(1))).await.unwrap();
    // Both have read 1.
    let tick = || Commit::new().adjust::<BoardClock>(&call.workspace, [Delta::add("position", 1)]);
    repo.commit(&call, tick().expect("position", 1).insert(&step(2))).await.unwrap();
    let second = repo.commit(&call, tick().expect("position", 1).insert(&step(2))).await.unwrap_err();
    assert_eq!(second.reason(), "PRECONDITION_FAILED");
    world.sql("DROP INDEX board_moves_position_key").await;
    repo.commit(&call, tick().insert(&step(2))).await.unwrap();
    assert_eq!(positions(&world).await, [1, 2, 2]);
}

#[tokio::test]
async fn what_is_swept_is_old_and_not_of_an_order_on_the_board() {
    let world = World::start().await;
    let orders = world.orders(5).await;
    for order in &orders {
        world.deliver(preparing(order)).await.unwrap();
    }
    for order in &orders[1..] {
        world.deliver(ready(order)).await.unwrap();
        world.person("staff").hand_over(&order.id).await.unwrap();
    }
    let rules = || Live::fixed(settings("[order.board]\nremembered = 4"));
    let sweeper = crate::dining::Sweeper::new(world.repo(), Log::new(world.repo()), rules());
    let call = world.mesh.host("order").call();
    for _ in 0..2 {
        sweeper.sweep(&call).await.unwrap();
        // The first order has been cooked since the beginning; the others' moves 6 to 9 are old.
        assert_eq!(positions(&world).await, [1, 10, 11, 12, 13]);
    }
    let (hub, _) = hub(&world, "");
    assert_eq!(at(&hub, "13").await.preparing, [1]);
    let mut screen = events(&hub, Some(8)).await;
    assert!(next(&mut screen).await.unwrap().starts_with("id: 13\nevent: board\n"));
    let mut screen = events(&hub, Some(9)).await;
    assert!(next(&mut screen).await.unwrap().starts_with("id: 10\nevent: change\n"));
}

async fn positions(world: &World) -> Vec<i64> {
    let asked = "SELECT position FROM board_moves ORDER BY position";
    let rows = world.database.superuser().await.unwrap().query(asked, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}
