//! A wire that can be cut.

use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

pub struct Proxy {
    pub url: String,
    wires: Arc<Mutex<Vec<AbortHandle>>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// In front of the broker that `url` names.
    pub async fn before(url: &str) -> Self {
        let (login, rest) = url.split_once('@').unwrap();
        let (target, path) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{login}@{}/{path}", listener.local_addr().unwrap());
        let wires = Arc::new(Mutex::new(Vec::new()));
        let (target, kept) = (target.to_owned(), wires.clone());
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let target = target.clone();
                let wire = tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
                kept.lock().unwrap().push(wire.abort_handle());
            }
        });
        Self { url, wires, _accepting: accepting }
    }

    /// Cuts every connection there is. New ones are let through.
    pub fn cut(&self) {
        self.wires.lock().unwrap().drain(..).for_each(|wire| wire.abort());
    }
}
