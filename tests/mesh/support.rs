//! Where the mesh is, and how a test talks to it and waits for it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Once, OnceLock};
use std::time::{Duration, Instant};

use artel_client::{Call, CallKey, Channels};
use artel_discovery::Consul;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// Longest wait for anything that happens by itself in a healthy mesh.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The mesh under test.
#[derive(Clone)]
pub struct Mesh {
    pub http: Client,
    pub api: String,
    endpoints: PathBuf,
    places: Value,
}

/// An answer of the API: status and JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

impl Mesh {
    /// The one that `ARTEL_ENDPOINTS` names, or the one that runs in `.artel/`.
    pub fn get() -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join(".artel/endpoints.json");
        let endpoints = std::env::var_os("ARTEL_ENDPOINTS").map_or(default, PathBuf::from);
        let text = std::fs::read_to_string(&endpoints).unwrap_or_else(|error| {
            panic!(
                "no mesh at {}: {error}. Start one with `cargo xtask up`, or run `cargo xtask test`.",
                endpoints.display()
            )
        });
        let places: Value = serde_json::from_str(&text).unwrap();
        let http = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { http, api: places["api"].as_str().unwrap().to_owned(), endpoints, places }
    }

    pub fn place(&self, name: &str) -> &str {
        self.places[name].as_str().unwrap_or_else(|| panic!("endpoints.json has no `{name}`"))
    }

    /// Sends a request and reads the JSON that comes back, whatever the status.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        self.try_send(method, path, token, body).await.unwrap()
    }

    /// The same, where the mesh may be broken right now.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.api));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        Ok(Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    pub async fn read(&self, path: &str, token: Option<&str>) -> Answer {
        self.send(Method::GET, path, token, None).await
    }

    pub async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Answer {
        self.send(Method::POST, path, token, Some(body)).await
    }

    /// Runs the operator's command line against this mesh.
    pub fn artel(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "artel {args:?} failed: {said}");
        said
    }

    /// The same, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_artel"));
        command.args(args).env("ARTEL_ENDPOINTS", &self.endpoints);
        command
    }

    /// What the mail server keeps for an address, all pages of it.
    pub async fn mails(&self, address: &str) -> Vec<Value> {
        let url = format!("{}/api/messages", self.place("mailbox"));
        let (mut mails, mut token) = (Vec::new(), String::new());
        loop {
            let request =
                self.http.get(&url).query(&[("to", address), ("pageSize", "500"), ("pageToken", &token)]);
            let page: Value = request.send().await.unwrap().json().await.unwrap();
            mails.extend(page["messages"].as_array().unwrap().iter().cloned());
            token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                return mails;
            }
        }
    }

    /// Channels into the mesh past Envoy, as a service of that name: for what has no door from outside.
    pub fn inside(&self) -> Channels {
        let key = std::fs::read_to_string(self.place("meshKeyFile")).unwrap();
        Channels::new("test", Consul::new(self.place("consul")).unwrap(), CallKey::new(key.trim()).unwrap())
    }

    /// A call of a service in the default workspace.
    pub fn call(&self) -> Call {
        Call::by_service("test", "00000000-0000-7000-8000-000000000001")
    }

    /// How many copies of a service pass their checks.
    pub async fn healthy(&self, service: &str) -> usize {
        Consul::new(self.place("consul"))
            .unwrap()
            .instances(service)
            .await
            .map(|all| all.len())
            .unwrap_or_default()
    }

    /// Kills a process of the mesh, and what it started, without a word. The supervisor starts it again.
    pub fn kill(&self, process: &str) -> u32 {
        let pid = self.pid(process).unwrap_or_else(|| panic!("no process `{process}`"));
        let group = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        pid
    }

    /// What a process of the mesh has logged.
    pub fn log(&self, process: &str) -> String {
        let folder = self.endpoints.parent().unwrap_or(Path::new("."));
        std::fs::read_to_string(folder.join("logs").join(format!("{process}.log"))).unwrap_or_default()
    }

    pub fn pid(&self, process: &str) -> Option<u32> {
        let file = self.endpoints.parent()?.join("run").join(format!("{process}.pid"));
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    }
}

impl Answer {
    /// The body of an answer that must be a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// The stable reason of an error.
    pub fn reason(&self) -> &str {
        self.detail("ErrorInfo")["reason"].as_str().unwrap_or_default()
    }

    /// The fields that an error names.
    pub fn fields(&self) -> Vec<&str> {
        let violations = self.detail("BadRequest")["fieldViolations"].as_array();
        violations.into_iter().flatten().filter_map(|violation| violation["field"].as_str()).collect()
    }

    fn detail(&self, kind: &str) -> &Value {
        let kind = format!("type.googleapis.com/google.rpc.{kind}");
        let details = self.body["details"].as_array();
        details.into_iter().flatten().find(|detail| detail["@type"] == kind.as_str()).unwrap_or(&Value::Null)
    }
}

/// Asks again until there is an answer.
pub async fn eventually<T>(what: &str, patience: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < patience, "waited {patience:?} for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A text that no other test run has used.
pub fn unique(prefix: &str) -> String {
    static RUN: OnceLock<u128> = OnceLock::new();
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let run = RUN.get_or_init(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos()
    });
    format!("{prefix}{run:x}x{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}
