//! A connection that a test can lose.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A wire between two that can be cut.
#[derive(Clone, Default)]
pub struct Wire {
    /// Nothing gets through, new connections neither.
    pub cut: Arc<AtomicBool>,
    /// Cuts the next connection whose answer to COMMIT comes by, and lets that answer go.
    pub cut_at_commit: Arc<AtomicBool>,
    /// The same for the answer that says that seven keys were taken, which comes before anything is written.
    pub cut_at_keys: Arc<AtomicBool>,
    /// Each answer takes so many milliseconds more to come.
    pub delay: Arc<AtomicUsize>,
    /// How often something was sent that followed on an answer: the round trips.
    pub trips: Arc<AtomicUsize>,
}

impl Wire {
    /// A wire to an address, and its own.
    pub async fn to(address: String) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().to_string();
        let wire = Self::default();
        let accepting = wire.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if accepting.cut.load(Ordering::SeqCst) {
                    continue;
                }
                let far = TcpStream::connect(&address).await.unwrap();
                tokio::spawn(accepting.clone().carry(near, far));
            }
        });
        (wire, own)
    }

    async fn carry(self, near: TcpStream, far: TcpStream) {
        let (mut from_near, mut to_near) = near.into_split();
        let (mut from_far, mut to_far) = far.into_split();
        let answered = AtomicBool::new(true);
        let up = async {
            let mut buffer = vec![0; 65_536];
            while let Ok(count @ 1..) = from_near.read(&mut buffer).await {
                if answered.swap(false, Ordering::SeqCst) {
                    self.trips.fetch_add(1, Ordering::SeqCst);
                }
                if self.cut.load(Ordering::SeqCst) || to_far.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        };
        let down = async {
            let mut buffer = vec![0; 65_536];
            while let Ok(count @ 1..) = from_far.read(&mut buffer).await {
                // The tag of a COMMIT that was done: by now it is on the disk.
                let committed = buffer[..count].windows(7).any(|window| window == b"COMMIT\0");
                if committed && self.cut_at_commit.swap(false, Ordering::SeqCst) {
                    break;
                }
                let taken = buffer[..count].windows(11).any(|window| window == b"INSERT 0 7\0");
                if taken && self.cut_at_keys.swap(false, Ordering::SeqCst) {
                    break;
                }
                let delay = u64::try_from(self.delay.load(Ordering::SeqCst)).unwrap();
                tokio::time::sleep(Duration::from_millis(delay)).await;
                answered.store(true, Ordering::SeqCst);
                if self.cut.load(Ordering::SeqCst) || to_near.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = up => {}
            () = down => {}
        }
    }
}
