use std::io::Write;
use std::sync::{Arc, Mutex};

use artel_proto::identity::RotateKeysRequest;
use tracing_subscriber::fmt::MakeWriter;

use crate::guests::fresh_phone;
use crate::support::{PASSWORD, World, fresh_email, login, refresh, register};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_logged_or_told() {
    let log = Log::default();
    let filter = "info,artel_identity=trace,artel_handle=trace,artel_client=trace,artel_repo=trace,artel_persist=trace";
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(log.clone()).with_ansi(false).init();
    let world = World::start("").await;
    let edge = world.edge().await;
    let email = fresh_email();
    let wrong = "a wrong passphrase";
    let mut told = Vec::new();
    let first = register(&edge, &email).await;
    told.push(format!("{:?}", login(&edge, &email, wrong).await.unwrap_err()));
    let second = login(&edge, &email, PASSWORD).await.unwrap();
    let third = refresh(&edge, &second.refresh_token).await.unwrap();
    told.push(format!("{:?}", refresh(&edge, &second.refresh_token).await.unwrap_err()));
    told.push(format!("{:?}", refresh(&edge, &third.refresh_token).await.unwrap_err()));
    let (mut operator, call) = world.inside("operator");
    operator.rotate_keys(call.request(RotateKeysRequest {})).await.unwrap();
    let guest = world.guest(&fresh_phone(), "a phone").await;

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for line in [
        "registered",
        "signed in",
        "a refresh token was reused",
        "made a signing key",
        "a guest confirmed a code",
    ] {
        assert!(log.contains(line), "the log lacks `{line}`:\n{log}");
    }
    let superuser = world.database.superuser().await.unwrap();
    let changes = superuser.query("SELECT coalesce(before::text, '') || after::text FROM change_log", &[]);
    let mut kept: Vec<String> = changes.await.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(!kept.is_empty());
    kept.append(&mut told);
    kept.push(log);
    let hash: String =
        superuser.query_one("SELECT password_hash FROM credentials", &[]).await.unwrap().get(0);
    let tokens = [
        first.access_token.as_str(),
        &first.refresh_token,
        &second.access_token,
        &second.refresh_token,
        &third.access_token,
        &third.refresh_token,
        &guest.access_token,
        &guest.refresh_token,
        &guest.device_token,
    ];
    let key = "5e".repeat(32);
    for secret in [PASSWORD, wrong, &hash, &key].into_iter().chain(tokens) {
        for text in &kept {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
}
