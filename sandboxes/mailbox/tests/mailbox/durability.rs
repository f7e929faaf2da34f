use std::{
    collections::HashSet,
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    task::JoinSet,
};

use crate::support::{PATIENCE, client, example, get, letter, messages, send};

async fn spawn(folder: &Path) -> (Child, SocketAddr, SocketAddr) {
    let mut child = Command::new(example())
        .args(["--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it did not start");
    let line = line.unwrap().expect("it ended at once");
    let (smtp, http) = line.split_once(' ').unwrap();
    (child, smtp.parse().unwrap(), http.parse().unwrap())
}

/// Sends from many sides until the process is killed, and says what was answered 250 by then.
async fn send_until_killed(
    smtp: SocketAddr,
    mut child: Child,
    round: usize,
    enough: usize,
) -> HashSet<String> {
    let accepted = Arc::new(Mutex::new(HashSet::new()));
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let accepted = accepted.clone();
        senders.spawn(async move {
            for n in 0.. {
                let id = format!("{round}-{sender}-{n}@artel.test");
                let raw = letter(&id, "durable") + &"body of some length\r\n".repeat(200);
                if send(smtp, &["a@b.c"], &raw).await.is_err() {
                    break;
                }
                accepted.lock().unwrap().insert(id);
            }
        });
    }
    let began = tokio::time::Instant::now();
    while accepted.lock().unwrap().len() < enough {
        assert!(began.elapsed() < PATIENCE, "too few messages were accepted");
        tokio::task::yield_now().await;
    }
    child.kill().await.unwrap();
    senders.join_all().await;
    std::mem::take(&mut *accepted.lock().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_that_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let client = client();
    let mut accepted = HashSet::new();
    for round in 0..4 {
        let (child, smtp, _) = spawn(folder.path()).await;
        accepted.extend(send_until_killed(smtp, child, round, 20 + 17 * round).await);
    }
    let (_child, _, http) = spawn(folder.path()).await;
    let kept: Vec<_> = messages(&get(&client, http, "/api/messages?to=a@b.c&pageSize=1000").await);
    let ids: HashSet<_> = kept.iter().map(|kept| kept["messageId"].as_str().unwrap().to_owned()).collect();
    let lost: Vec<_> = accepted.difference(&ids).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), accepted.len());
    // Eight at most were on their way at each kill: kept or not, nobody was told.
    assert!(ids.len() - accepted.len() <= 4 * 8, "{} kept, {} accepted", ids.len(), accepted.len());
    for message in &kept {
        assert!(message["text"].as_str().unwrap().trim().ends_with("body of some length"));
        assert_eq!(message["deliveries"], 1);
    }
}

#[tokio::test]
async fn a_second_mailbox_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_first, ..) = spawn(folder.path()).await;
    let output = Command::new(example())
        .args(["--smtp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("in use by another mailbox"), "{said}");
}
