//! B5: an order from end to end. It comes as JSON through Envoy, is placed, its event is delivered, and what its listener
//! does about it is committed; the clock stops when the last of that is. Beside ours, in turn, the same by teams without
//! Artel (bench/compare), behind the same Envoy.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::compare::Rival;
use crate::cpu::Watched;
use crate::figures::Setting;
use crate::load;
use crate::mesh::{Mesh, services};
use crate::process::Process;
use crate::report::{Outcome, Verdict};
use crate::rounds::{Contender, Work, in_turn};
use crate::store::{connect, fill, product_id};

/// Clients of the closed loop, each a connection.
const CLIENTS: usize = 32;
/// People who order.
const PEOPLE: usize = 8;
/// How long what was ordered may take to arrive.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);
/// What an order fills, and its listeners.
const EMPTY: &str =
    "TRUNCATE orders, change_log, outbox, idempotency, notifications, emails; VACUUM products; CHECKPOINT";

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let mut ours = Ours::start(setting).await?;
    let (mut rivals, mut notes) = (Vec::new(), Vec::new());
    for stack in Rival::STACKS {
        match Rival::start(setting, stack).await {
            Ok(rival) => rivals.push(rival),
            Err(error) => notes.push(format!("{stack} is not compared: {error:#}")),
        }
    }
    notes.iter().for_each(|note| println!("  B5  {note}"));
    let mut all: Vec<&mut dyn Contender> = vec![&mut ours];
    all.extend(rivals.iter_mut().map(|rival| rival as &mut dyn Contender));
    let series = in_turn("B5", setting.plan, &mut all).await?;
    ours.mesh.end().await?;

    let mut verdicts = vec![Verdict::at_most(
        "an order end to end, CPU of all processes",
        " ms",
        series[0].median(|sample| sample.cpu_of_all()),
        0.4,
    )];
    for (rival, series_of) in rivals.iter().zip(&series[1..]) {
        let what = format!("an order end to end, rate against {}", rival.stack);
        verdicts.push(Verdict::at_least(&what, "x", series[0].rate() / series_of.rate(), rival.target()));
    }
    Ok(Outcome { verdicts, notes, sets: vec![("32 clients", series)] })
}

/// Our mesh, a process a service.
struct Ours {
    mesh: Mesh,
    _envoy: Process,
    watched: Vec<Watched>,
    admin: Client,
    api: String,
    tokens: Vec<String>,
}

impl Ours {
    async fn start(setting: &Setting) -> Result<Self> {
        let places = setting.places()?;
        let admin = connect(&places.superuser()).await?;
        let mut mesh = Mesh::new(places).await?;
        fill(&admin).await?;
        let api = mesh.places.api.clone();
        mesh.serve_each(&services()?, &[]).await?;
        let bootstrap = mesh.places.envoy_bootstrap.display().to_string();
        let envoy = crate::compare::envoy("envoy", &bootstrap, &mesh.logs())?;
        let mut watched = mesh.watched();
        watched.push(Watched::tree("Envoy", envoy.pid()));
        for (name, process) in
            [("PostgreSQL", "postgres"), ("RabbitMQ", "rabbitmq"), ("Redis", "redis"), ("Consul", "consul")]
        {
            watched.push(mesh.component(name, process)?);
        }
        watched.push(Watched::generator());
        let mut tokens = Vec::new();
        let http = reqwest::Client::new();
        answers(&http, &format!("{api}/api/v1/categories")).await?;
        for _ in 0..PEOPLE {
            tokens.push(person(&http, &api).await?);
        }
        Ok(Self { mesh, _envoy: envoy, watched, admin, api, tokens })
    }
}

/// Waits until an address answers well.
pub async fn answers(http: &reqwest::Client, url: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match http.get(url).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            other => anyhow::ensure!(Instant::now() < end, "{url} does not answer: {other:?}"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Somebody signed in, who wants to be told in the application alone: mail servers are no part of this.
async fn person(http: &reqwest::Client, api: &str) -> Result<String> {
    let email = format!("{}@example.com", uuid::Uuid::now_v7().simple());
    let body =
        json!({ "email": email, "password": "correct horse battery", "displayName": "Anna", "locale": "ru" });
    let answer = http.post(format!("{api}/api/v1/auth/register")).json(&body).send().await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    let token = answer["accessToken"].as_str().context("no access token")?.to_owned();
    let wishes = json!({ "email": false });
    let url = format!("{api}/api/v1/notifications/preferences?updateMask=email");
    http.patch(url).bearer_auth(&token).json(&wishes).send().await?.error_for_status()?;
    Ok(token)
}

#[async_trait(?Send)]
impl Contender for Ours {
    fn name(&self) -> &str {
        "Artel"
    }

    fn watched(&self) -> Vec<Watched> {
        self.watched.clone()
    }

    async fn reset(&mut self) -> Result<()> {
        for statement in EMPTY.split("; ") {
            self.admin.batch_execute(statement).await?;
        }
        Ok(())
    }

    async fn run(&mut self, time: Duration) -> Result<Work> {
        let tokens = &self.tokens;
        end_to_end(&self.api, &self.admin, time, |client, request| {
            request.bearer_auth(&tokens[client % tokens.len()])
        })
        .await
    }
}

/// Orders of three products each, until the time is over; then waits for the last effect.
pub async fn end_to_end(
    api: &str,
    admin: &Client,
    time: Duration,
    sign: impl Fn(usize, reqwest::RequestBuilder) -> reqwest::RequestBuilder,
) -> Result<Work> {
    let (http, url, begin) = (reqwest::Client::new(), format!("{api}/api/v1/orders"), Instant::now());
    let (http, url, sign) = (&http, url.as_str(), &sign);
    let mut work = load::closed(CLIENTS, time, |client| {
        move || async move {
            let ids = [1, 334, 667].map(|from| product_id(from + rand::random_range(0..333)));
            let items = ids.map(|id| json!({ "productId": id, "quantity": 1 }));
            let body = json!({ "items": items, "idempotencyKey": uuid::Uuid::now_v7().to_string() });
            let answer = sign(client, http.post(url).json(&body)).send().await?;
            let status = answer.status();
            let text = answer.text().await?;
            anyhow::ensure!(status.is_success(), "{status}: {text}");
            Ok(())
        }
    })
    .await?;
    let end = Instant::now() + PATIENCE;
    loop {
        let effects = "SELECT count(*) FROM notifications";
        let effects = u64::try_from(admin.query_one(effects, &[]).await?.get::<_, i64>(0))?;
        if effects >= work.done {
            break;
        }
        anyhow::ensure!(Instant::now() < end, "{effects} of {} orders had their effect", work.done);
        tokio::time::sleep(LOOK).await;
    }
    work.seconds = Some(begin.elapsed().as_secs_f64());
    Ok(work)
}
