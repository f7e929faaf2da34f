//! HTTP, with the one distinction that matters: was the request certainly not worked on, or may it have been?

use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, Response, StatusCode, redirect};
use serde::de::DeserializeOwned;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 1024 * 1024;

/// A client whose calls end in time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    within: Duration,
}

/// Why there is no answer to go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// They have not worked on it, surely.
    #[error("{0}")]
    NotDone(String),
    /// They may have.
    #[error("{0}")]
    Unknown(String),
}

impl Failed {
    /// Why, for where the distinction does not matter.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::NotDone(text) | Self::Unknown(text) => text,
        }
    }
}

/// An answer, whatever it says.
#[derive(Debug)]
pub struct Reply {
    /// Neither a server's error nor a redirect.
    pub status: StatusCode,
    body: Vec<u8>,
}

impl Http {
    /// Calls take so long at most. It follows no redirects: what is asked for moves money.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(within: Duration) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(within)
            .redirect(redirect::Policy::none())
            .user_agent("artel")
            .build()?;
        Ok(Self { client, within })
    }

    /// What requests are made with.
    #[must_use]
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// When a call that begins now has to have ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.within
    }

    /// Sends once.
    ///
    /// # Errors
    /// There is no answer, or one that says nothing of the request.
    pub async fn send(&self, request: RequestBuilder) -> Result<Reply, Failed> {
        self.send_by(request, self.deadline()).await
    }

    /// The same for one of the requests of a call, all of which have to end by then.
    ///
    /// # Errors
    /// There is no answer, or one that says nothing of the request.
    pub async fn send_by(&self, request: RequestBuilder, deadline: Instant) -> Result<Reply, Failed> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failed::NotDone("there was no time left to ask".to_owned()));
        }
        let response = request.timeout(left).send().await.map_err(|error| {
            // An address is no secret, but what stands in its query may be.
            let error = error.without_url();
            let unsent = error.is_connect() || error.is_builder();
            let text = chain(&error);
            if unsent { Failed::NotDone(text) } else { Failed::Unknown(text) }
        })?;
        let status = response.status();
        let body = read(response).await?;
        match status {
            // By their definition, nobody has worked on it.
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                Err(Failed::NotDone(format!("answered {status}")))
            }
            // Whoever gave up waiting for it does not know what it does.
            StatusCode::REQUEST_TIMEOUT => Err(Failed::Unknown(format!("answered {status}"))),
            _ if status.is_server_error() => Err(Failed::Unknown(format!("answered {status}"))),
            _ if status.is_redirection() || status.is_informational() => {
                Err(Failed::NotDone(format!("answered {status}: is the address right?")))
            }
            _ => Ok(Reply { status, body }),
        }
    }
}

impl Reply {
    /// What it says.
    ///
    /// # Errors
    /// It is something else than was expected; what was asked for may have been done.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failed::Unknown(format!("answered {} with what is not understood: {error}", self.status))
        })
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= LONGEST => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failed::Unknown("the answer is too long".to_owned())),
            Ok(None) => return Ok(body),
            Err(error) => return Err(Failed::Unknown(chain(&error.without_url()))),
        }
    }
}

/// The error with its causes: reqwest's own text names none.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Reads one request, says this and hangs up.
    async fn saying(said: String) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(said.as_bytes()).await.unwrap();
        });
        address
    }

    async fn ask(address: SocketAddr, within: Duration) -> Result<Reply, Failed> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Http::new(within).unwrap();
        http.send(http.client().post(format!("http://{address}/charge?token=hunter2"))).await
    }

    #[tokio::test]
    async fn what_is_known_of_a_request_is_said_and_no_more() {
        let answer = |head: &str| format!("HTTP/1.1 {head}\r\ncontent-length: 2\r\n\r\n{{}}");
        for (said, not_done) in [
            (answer("429 Too Many Requests"), true),
            (answer("503 Service Unavailable"), true),
            (answer("302 Found"), true),
            (answer("500 Internal Server Error"), false),
            (answer("502 Bad Gateway"), false),
            (answer("504 Gateway Timeout"), false),
            (answer("408 Request Timeout"), false),
            (String::new(), false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned(), false),
            (
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}",
                    LONGEST + 1,
                    "x".repeat(LONGEST + 1)
                ),
                false,
            ),
        ] {
            let failed = ask(saying(said.clone()).await, Duration::from_secs(20)).await.unwrap_err();
            let head = said.lines().next().unwrap_or("nothing");
            assert_eq!(matches!(failed, Failed::NotDone(_)), not_done, "{head}: {failed:?}");
            assert!(!failed.to_string().contains("hunter2"), "{failed}");
        }
        for head in ["200 OK", "201 Created", "400 Bad Request", "401 Unauthorized", "404 Not Found"] {
            let reply = ask(saying(answer(head)).await, Duration::from_secs(20)).await.unwrap();
            assert_eq!(reply.status.as_str(), &head[..3]);
            assert_eq!(reply.read::<serde_json::Value>().unwrap(), serde_json::json!({}));
            assert!(matches!(reply.read::<u32>(), Err(Failed::Unknown(_))));
        }
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_was_done() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let failed = ask(address, Duration::from_secs(20)).await.unwrap_err();
        assert!(matches!(&failed, Failed::NotDone(why) if !why.contains("hunter2")), "{failed:?}");
    }

    #[tokio::test]
    async fn silence_ends_in_time_and_nobody_knows() {
        // It accepts by itself, and nobody reads.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let failed = ask(listener.local_addr().unwrap(), Duration::from_millis(200)).await.unwrap_err();
        assert!(matches!(failed, Failed::Unknown(_)), "{failed:?}");
        let failed = ask(listener.local_addr().unwrap(), Duration::ZERO).await.unwrap_err();
        assert!(matches!(failed, Failed::NotDone(_)), "it was never sent: {failed:?}");
    }
}
