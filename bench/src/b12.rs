//! B12: 10,000 boards that watch one `order` process and are told nothing: what each costs it, over HTTP/2 as Envoy brings
//! them and each on a connection of its own, and how long it takes until all of them have one change.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use artel_proto::order::{BoardClock, BoardMove, OrderStatus};
use artel_repo::{Commit, Delta, Repo};
use artel_util::new_id;
use bytes::Bytes;
use futures::future::try_join_all;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::b8::Heard;
use crate::figures::Setting;
use crate::memory::Memory;
use crate::mesh::Mesh;
use crate::report::{Outcome, Verdict};
use crate::rounds::median;
use crate::store::WORKSPACE;

const BOARDS: u32 = 10_000;
/// Fewer than a server allows on a connection.
const PER_CONNECTION: u32 = 200;

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let mut mesh = Mesh::new(setting.places()?).await?;
    mesh.serve("persist", &["persist"], &[])?;
    mesh.passing(&["persist"], 1).await?;
    let shared = Measured::over(&mut mesh, PER_CONNECTION, setting.plan.rounds).await?;
    let alone = Measured::over(&mut mesh, 1, setting.plan.rounds).await?;
    mesh.end().await?;
    Ok(Outcome {
        verdicts: vec![
            Verdict::at_most("10,000 idle boards over HTTP/2, each", " KB", shared.each, 8.0),
            Verdict::at_most("10,000 idle boards on connections of their own, each", " KB", alone.each, 24.0),
            Verdict::at_most("one change to all, from its commit on", " ms", median(shared.told), 250.0),
        ],
        notes: vec![format!("one change to all on connections of their own: {:.0} ms", median(alone.told))],
        ..Outcome::default()
    })
}

struct Measured {
    /// Kilobytes of a board.
    each: f64,
    /// Milliseconds until the last board had a change.
    told: Vec<f64>,
}

impl Measured {
    /// With so many boards on each connection.
    async fn over(mesh: &mut Mesh, together: u32, rounds: usize) -> Result<Self> {
        mesh.serve("order", &["order"], &[])?;
        mesh.passing(&["order"], 1).await?;
        let address = mesh.address("order").await?;
        let heard = Arc::new(Heard::default());
        // What the first one brings along is not counted for it.
        let mut open = connection(address, 1, &heard).await?;
        let before = Memory::of(mesh.pid("order")?)?.resident;
        let boards = BOARDS / together * together;
        for _ in 0..boards / together {
            let more = connection(address, together, &heard).await?;
            open.extend(more);
        }
        heard.all(boards + 1).await?;
        let each = (Memory::of(mesh.pid("order")?)?.resident - before) * 1024.0 / f64::from(boards);
        println!("  B12 {boards} boards, {together} on a connection: {each:.2} KB each");

        let mut told = Vec::new();
        let mut moves = Moves::begin(mesh).await?;
        for round in 1..=rounds + 1 {
            let begin = Instant::now();
            moves.one().await?;
            heard.all((boards + 1) * (u32::try_from(round)? + 1)).await?;
            let took = begin.elapsed().as_secs_f64() * 1e3;
            println!("  B12 change {round}: {took:.0} ms until the last board has it");
            if round > 1 {
                told.push(took);
            }
        }
        drop(open);
        mesh.stop("order").await?;
        Ok(Self { each, told })
    }
}

/// A connection with so many boards on it; they end with what is given back.
async fn connection(address: SocketAddr, boards: u32, heard: &Arc<Heard>) -> Result<Vec<JoinSet<()>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut tasks = JoinSet::new();
    let request = || Request::get("http://order/api/display/events").body(Empty::<Bytes>::new());
    let mut answers = Vec::new();
    if boards == 1 {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tasks.spawn(async { drop(connection.await) });
        answers.push(sender.send_request(request()?).await?);
    } else {
        let io = TokioIo::new(stream);
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        tasks.spawn(async { drop(connection.await) });
        let asked = (0..boards).map(|_| {
            let mut sender = sender.clone();
            async move { anyhow::Ok(sender.send_request(request()?).await?) }
        });
        answers = try_join_all(asked).await?;
    }
    for answer in answers {
        ensure!(answer.status() == 200, "a board is refused: {}", answer.status());
        tasks.spawn(read(answer.into_body(), Arc::clone(heard)));
    }
    Ok(vec![tasks])
}

/// Counts the events that come; heartbeats are none.
async fn read(mut body: Incoming, heard: Arc<Heard>) {
    while let Some(Ok(frame)) = body.frame().await {
        if frame.data_ref().is_some_and(|data| data.starts_with(b"id: ")) {
            heard.one();
        }
    }
}

/// Writes moves of the board as `order` does.
struct Moves {
    repo: Repo,
    position: i64,
}

impl Moves {
    async fn begin(mesh: &Mesh) -> Result<Self> {
        let repo = Repo::new(mesh.channels("order").to("persist"));
        let clock: Option<BoardClock> = repo.get(&Mesh::call("order"), WORKSPACE).await?;
        Ok(Self { repo, position: clock.map_or(0, |clock| clock.position) })
    }

    async fn one(&mut self) -> Result<()> {
        let step = BoardMove {
            id: new_id(),
            position: self.position + 1,
            order_id: new_id(),
            number: 1,
            status: OrderStatus::HandedOver.into(),
            ..BoardMove::default()
        };
        let commit = if self.position == 0 {
            Commit::new().insert(&BoardClock {
                id: WORKSPACE.to_owned(),
                position: 1,
                ..BoardClock::default()
            })
        } else {
            Commit::new()
                .adjust::<BoardClock>(WORKSPACE, [Delta::add("position", 1)])
                .expect("position", self.position)
        };
        self.repo.commit(&Mesh::call("order"), commit.insert(&step)).await?;
        self.position += 1;
        Ok(())
    }
}
