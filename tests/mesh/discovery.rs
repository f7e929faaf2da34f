//! A service that comes becomes reachable and one that leaves stops being called, with no call failed.

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Mesh, PATIENCE, eventually};

/// Another copy of a service, ended with the test whatever happens.
struct Copy(Child);

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_come_and_go_without_a_failed_call() {
    let mesh = Mesh::get();
    let before = mesh.healthy("catalog").await;
    let stop = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (mesh, stop, calls) = (mesh.clone(), Arc::clone(&stop), Arc::clone(&calls));
            tokio::spawn(async move {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = mesh.read("/api/v1/products?pageSize=1", None).await;
                    calls.fetch_add(1, Ordering::Relaxed);
                    if answer.status != 200 {
                        failures.push(format!("{} {}", answer.status, answer.body));
                    }
                }
                failures
            })
        })
        .collect();
    for _ in 0..2 {
        let copy = Command::new(env!("CARGO_BIN_EXE_artel"))
            .args(["serve", "catalog"])
            .env("ARTEL_CONFIG", mesh.place("config"))
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut copy = Copy(copy);
        eventually("the new copy in Consul", PATIENCE, async || {
            (mesh.healthy("catalog").await == before + 1).then_some(())
        })
        .await;
        // It gets its share of the calls before it leaves.
        let seen = calls.load(Ordering::Relaxed);
        eventually("calls with the new copy", PATIENCE, async || {
            (calls.load(Ordering::Relaxed) > seen + 100).then_some(())
        })
        .await;
        let pid = rustix::process::Pid::from_raw(i32::try_from(copy.0.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("the copy to drain", Duration::from_secs(40), async || copy.0.try_wait().unwrap()).await;
        eventually("the copy out of Consul", PATIENCE, async || {
            (mesh.healthy("catalog").await == before).then_some(())
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut failures = Vec::new();
    for task in load {
        failures.extend(task.await.unwrap());
    }
    assert!(
        failures.is_empty(),
        "{} of {} calls failed: {:#?}",
        failures.len(),
        calls.load(Ordering::Relaxed),
        &failures[..failures.len().min(5)]
    );
}
