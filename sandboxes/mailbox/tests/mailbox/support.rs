use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use artel_mailbox::{Limits, Mailbox, Options};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor, address::Envelope,
    transport::smtp::client::AsyncSmtpConnection,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A mailbox in this process, on free ports.
pub struct Running {
    pub smtp: SocketAddr,
    pub http: SocketAddr,
    pub folder: TempDir,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), artel_mailbox::Error>>,
}

impl Running {
    pub async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), limits).await
    }

    pub async fn start_in(folder: TempDir, limits: Limits) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = Options { smtp: any, http: any, data: folder.path().join("mail"), limits };
        let mailbox = Mailbox::bind(options).await.unwrap();
        let (smtp, http) = (mailbox.smtp_address(), mailbox.http_address());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { stopped.await.unwrap_or_default() };
        let served = tokio::spawn(mailbox.serve(shutdown));
        Self { smtp, http, folder, client: client(), stop, served }
    }

    /// Stops as an operator would and gives the folder back.
    pub async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
        self.folder
    }

    pub async fn restart(self) -> Self {
        Self::start_in(self.stop().await, Limits::default()).await
    }

    pub async fn get(&self, path: &str) -> Value {
        get(&self.client, self.http, path).await
    }

    pub async fn response(&self, method: &str, path: &str, body: impl Into<String>) -> reqwest::Response {
        let method = method.parse::<reqwest::Method>().unwrap();
        let url = format!("http://{}{path}", self.http);
        self.client.request(method, url).body(body.into()).send().await.unwrap()
    }

    pub async fn messages(&self, query: &str) -> Vec<Value> {
        messages(&self.get(&format!("/api/messages{query}")).await)
    }
}

pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(PATIENCE).build().unwrap()
}

pub async fn get(client: &reqwest::Client, http: SocketAddr, path: &str) -> Value {
    let response = client.get(format!("http://{http}{path}")).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response.json().await.unwrap()
}

pub fn messages(page: &Value) -> Vec<Value> {
    page["messages"].as_array().unwrap().clone()
}

/// Sends with lettre over a connection of its own.
pub async fn send(smtp: SocketAddr, to: &[&str], raw: &str) -> Result<(), lettre::transport::smtp::Error> {
    let envelope = Envelope::new(
        Some("shop@artel.test".parse().unwrap()),
        to.iter().map(|address| address.parse().unwrap()).collect(),
    )
    .unwrap();
    transport(smtp).send_raw(&envelope, raw.as_bytes()).await.map(|_| ())
}

pub fn transport(smtp: SocketAddr) -> AsyncSmtpTransport<Tokio1Executor> {
    AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(smtp.ip().to_string())
        .port(smtp.port())
        .timeout(Some(PATIENCE))
        .build()
}

pub fn letter(message_id: &str, subject: &str) -> String {
    format!(
        "From: Artel <shop@artel.test>\r\nMessage-ID: <{message_id}>\r\nSubject: {subject}\r\n\r\nHello\r\n"
    )
}

/// A conversation by hand, for what no polite client says.
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    pub async fn open(smtp: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(smtp).await.unwrap()))
    }

    /// Connects, reads the greeting and says EHLO.
    pub async fn greeted(smtp: SocketAddr) -> Self {
        let mut wire = Self::open(smtp).await;
        assert_eq!(wire.code().await, 220);
        assert_eq!(wire.say("EHLO test\r\n").await, 250);
        wire
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).await.unwrap();
    }

    pub async fn say(&mut self, line: &str) -> u16 {
        self.write(line).await;
        self.code().await
    }

    pub async fn code(&mut self) -> u16 {
        self.answer().await[..3].parse().unwrap()
    }

    /// The next answer, with all its lines; empty at the end of the connection.
    pub async fn answer(&mut self) -> String {
        let mut answer = String::new();
        loop {
            let from = answer.len();
            let read =
                tokio::time::timeout(PATIENCE, self.0.read_line(&mut answer)).await.expect("no answer");
            if read.unwrap_or(0) == 0 || answer.as_bytes().get(from + 3) != Some(&b'-') {
                return answer;
            }
        }
    }
}

/// Lettre's connection without its pool, to see what happens to it.
pub async fn connection(smtp: SocketAddr) -> AsyncSmtpConnection {
    AsyncSmtpConnection::connect_tokio1(smtp, Some(PATIENCE), &Default::default(), None, None).await.unwrap()
}

/// The mailbox as a process, from the crate's example.
pub fn example() -> std::path::PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join("examples/mailbox");
    assert!(path.exists(), "{} is missing: cargo build -p artel-mailbox --examples", path.display());
    path
}
