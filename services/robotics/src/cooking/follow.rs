//! Asking the robot line what changed, all the time.

use std::sync::Arc;
use std::time::Duration;

use artel_client::{Call, Trace};

use super::attend::Cook;
use crate::line::RobotLine;

/// The pauses while the line, or storage, does not answer: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Follows what the line does until it is dropped, from the beginning of what the line remembers. Each copy follows all of
/// it; what is missed, for instance because a line was set back and counts anew, is found when the job's time comes.
pub(crate) async fn follow(line: Arc<dyn RobotLine>, cook: Cook, call: Call, wait: Duration) {
    let (mut cursor, mut pause) = (0, PAUSE.0);
    loop {
        let call = Call { trace: Trace::start(), ..call.clone() };
        let followed = match line.changes(cursor, wait).await {
            Ok(changes) => {
                let noted = cook.note(&call, &changes).await.map_err(|error| error.to_string());
                noted.map(|()| cursor = changes.cursor)
            }
            Err(trouble) => Err(trouble.to_string()),
        };
        match followed {
            Ok(()) => pause = PAUSE.0,
            Err(error) => {
                tracing::debug!(error, cursor, "what the robot line does is followed again in a moment");
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}
