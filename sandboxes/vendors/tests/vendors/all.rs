use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use artel_vendors::SandboxesArgs;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::support::{Client, until};

/// Addresses on which nobody listens.
fn free() -> [SocketAddr; 5] {
    let listeners = [(); 5].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}

fn begin(args: SandboxesArgs) -> (oneshot::Sender<()>, JoinHandle<Result<(), artel_vendors::Error>>) {
    let (stop, stopped) = oneshot::channel();
    (stop, tokio::spawn(artel_vendors::run(args, async { stopped.await.unwrap_or_default() })))
}

#[tokio::test]
async fn all_run_in_one_process_and_go_on_where_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let [bank, printer, sms, push, robots] = free();
    let args = SandboxesArgs {
        bank,
        printer,
        sms,
        push,
        robots,
        data: folder.path().join("sandboxes"),
        robot_speed: 1000.0,
        robot_stations: 1,
    };
    let (stop, served) = begin(args.clone());
    for address in [bank, printer, sms, push, robots] {
        let url = format!("http://{address}/healthz");
        until("it is healthy", async || healthy(&url).await.then_some(())).await;
    }
    let client = Client::of(format!("http://{sms}"));
    crate::sms::send(&client, "1", "77010000001", "text").await;
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    assert!(!healthy(&format!("http://{sms}/healthz")).await, "it is closed");

    let (stop, served) = begin(args.clone());
    until("it is healthy", async || healthy(&format!("http://{sms}/healthz")).await.then_some(())).await;
    let client = Client::of(format!("http://{sms}"));
    let (_, page) = client.get("/sandbox/ledger").await;
    assert_eq!(page["entries"][0]["phone"], "77010000001");
    // A second one on the same folder would write between the lines of the first.
    let [bank, printer, sms, push, robots] = free();
    let second = SandboxesArgs { bank, printer, sms, push, robots, ..args };
    let refused = artel_vendors::run(second, std::future::pending()).await.unwrap_err();
    assert!(refused.to_string().contains("in use by another sandbox"), "{refused}");
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
}

async fn healthy(url: &str) -> bool {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::get(url).await.is_ok_and(|response| response.status().is_success())
}
