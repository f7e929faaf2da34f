//! Asking the robot line what changed, all the time.

use std::sync::Arc;
use std::time::Duration;

use artel_client::{Call, Trace};

use super::attend::Cook;
use crate::line::{RobotLine, Trouble};

/// The pauses while the line, or storage, does not answer: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Follows what the line does until it is dropped, from the beginning of what the line remembers. Each copy follows all of
/// it; what is missed, for instance because a line was set back and counts anew, is found when the job's time comes.
pub(crate) async fn follow(line: Arc<dyn RobotLine>, cook: Cook, call: Call, wait: Duration) {
    let (mut cursor, mut pause, mut is_there) = (0, PAUSE.0, false);
    loop {
        let call = Call { trace: Trace::start(), ..call.clone() };
        // The first question only asks whether it is there.
        let changes = line.changes(cursor, if is_there { wait } else { Duration::ZERO }).await;
        is_there = seen(is_there, changes.as_ref().err());
        let followed = match changes {
            Ok(changes) => match cook.note(&call, &changes).await {
                Ok(()) => Some(changes.cursor),
                Err(error) => {
                    tracing::warn!(%error, "what the robot line did is written down in a moment");
                    None
                }
            },
            Err(_) => None,
        };
        match followed {
            Some(now) => (cursor, pause) = (now, PAUSE.0),
            None => {
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

/// Says when the line comes and goes.
fn seen(was_there: bool, trouble: Option<&Trouble>) -> bool {
    let is_there = trouble.is_none();
    metrics::gauge!("artel_robotics_line_connected").set(if is_there { 1.0 } else { 0.0 });
    match trouble {
        Some(trouble) if was_there => tracing::warn!(%trouble, "the robot line is lost; orders wait for it"),
        None if !was_there => tracing::info!("the robot line is there"),
        _ => {}
    }
    is_there
}
