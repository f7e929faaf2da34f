//! What becomes of a job, pure.

use artel_proto::order::OrderPaid;
use artel_proto::robotics::{CookingJob, CookingLine, CookingStatus, OrderPreparing, OrderReady};
use artel_util::new_id;
use artel_util::time::{from_chrono, to_chrono};
use chrono::{DateTime, TimeDelta, Utc};

use crate::line::{Progress, State, Trouble};

/// How long a new job is left to whoever heard of it first.
const HEARD_FIRST: TimeDelta = TimeDelta::seconds(2);
/// The longest text kept beside a job, in characters.
const LONGEST: usize = 300;
/// Fields of a job that change.
pub(crate) const MOVING: [&str; 6] = ["status", "attempts", "next_time", "error", "start_time", "ready_time"];

/// How long is waited for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pauses {
    pub(crate) look_again: TimeDelta,
    pub(crate) away: TimeDelta,
    pub(crate) first: TimeDelta,
    pub(crate) longest: TimeDelta,
}

/// A job as it is now, and what is told of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moved {
    pub(crate) job: CookingJob,
    pub(crate) preparing: Option<OrderPreparing>,
    pub(crate) ready: Option<OrderReady>,
}

/// The job that a paid order makes; `None` where it has nothing to cook.
pub(crate) fn job(event: &OrderPaid, now: DateTime<Utc>) -> Option<CookingJob> {
    let order = event.order.as_ref()?;
    let dishes = order.items.iter().filter(|item| !item.dish_id.is_empty());
    let lines: Vec<CookingLine> = dishes
        .map(|item| CookingLine {
            dish_id: item.dish_id.clone(),
            name: item.name.clone(),
            quantity: item.quantity,
            modifier_ids: item.modifier_ids.clone(),
        })
        .collect();
    let mut job = CookingJob {
        id: new_id(),
        order_id: event.order_id.clone(),
        payment_id: event.payment_id.clone(),
        user_id: event.user_id.clone(),
        board_number: order.board_number,
        lines,
        next_time: Some(from_chrono(now + HEARD_FIRST)),
        version: 1,
        ..CookingJob::default()
    };
    job.set_status(CookingStatus::Queued);
    (!job.lines.is_empty()).then_some(job)
}

/// True where it is ready, which nothing changes any more.
pub(crate) fn is_over(job: &CookingJob) -> bool {
    job.status() == CookingStatus::Ready
}

/// True where somebody has to look after it now.
pub(crate) fn is_due(job: &CookingJob, now: DateTime<Utc>) -> bool {
    !is_over(job) && job.next_time.as_ref().and_then(to_chrono).is_none_or(|time| time <= now)
}

/// True where the line is to begin again: it broke down, that is written down, and the pause after it is over.
pub(crate) fn is_to_restart(job: &CookingJob, said: &Progress, now: DateTime<Utc>) -> bool {
    said.state == State::Broken && job.error == broken(said) && is_due(job, now)
}

/// The job as it is while one copy asks the line to begin it again: the others leave it alone meanwhile.
pub(crate) fn claimed(job: &CookingJob, pauses: &Pauses, now: DateTime<Utc>) -> Moved {
    let (attempts, next_time) = (job.attempts + 1, Some(from_chrono(now + pauses.away)));
    Moved { job: CookingJob { attempts, next_time, ..job.clone() }, preparing: None, ready: None }
}

/// What the line's word makes of a job; `None` where nothing changes.
pub(crate) fn heard(job: &CookingJob, said: &Progress, pauses: &Pauses, now: DateTime<Utc>) -> Option<Moved> {
    if is_over(job) {
        return None;
    }
    let was_told = job.start_time.is_some();
    let mut next = CookingJob { attempts: job.attempts.max(1), error: String::new(), ..job.clone() };
    let mut pause = pauses.look_again;
    let begin = |next: &mut CookingJob| {
        next.set_status(CookingStatus::Cooking);
        next.start_time.get_or_insert(from_chrono(said.start.unwrap_or(now)));
    };
    match said.state {
        State::Queued => {}
        State::Cooking => begin(&mut next),
        State::Done => {
            begin(&mut next);
            next.set_status(CookingStatus::Ready);
            let start = next.start_time.as_ref().and_then(to_chrono).unwrap_or(now);
            // By the line's clock; an order is not ready before it was begun, whatever its clock says.
            next.ready_time = Some(from_chrono(said.finish.unwrap_or(now).max(start)));
        }
        State::Broken => {
            next.error = broken(said);
            pause = after_breakdown(next.attempts, pauses);
        }
    }
    let is_same = CookingJob { next_time: job.next_time, ..next.clone() } == *job;
    if is_same && !is_due(job, now) {
        return None;
    }
    next.next_time = (!is_over(&next)).then(|| from_chrono(now + pause));
    let (order_id, user_id) = (next.order_id.clone(), next.user_id.clone());
    let preparing = (!was_told && next.start_time.is_some()).then(|| OrderPreparing {
        order_id: order_id.clone(),
        user_id: user_id.clone(),
        start_time: next.start_time,
    });
    let ready = is_over(&next).then_some(OrderReady {
        order_id,
        user_id,
        board_number: next.board_number,
        start_time: next.start_time,
        ready_time: next.ready_time,
    });
    Some(Moved { job: next, preparing, ready })
}

/// A job that could not be handed over.
pub(crate) fn stuck(job: &CookingJob, trouble: &Trouble, pauses: &Pauses, now: DateTime<Utc>) -> Moved {
    let pause = match trouble {
        Trouble::Away(_) => pauses.away,
        Trouble::Refused(_) => pauses.longest,
    };
    let (error, next_time) = (cut(&trouble.to_string()), Some(from_chrono(now + pause)));
    Moved { job: CookingJob { error, next_time, ..job.clone() }, preparing: None, ready: None }
}

/// Twice as long after each attempt.
fn after_breakdown(attempts: i32, pauses: &Pauses) -> TimeDelta {
    let doublings = u32::try_from(attempts.clamp(1, 30) - 1).unwrap_or_default();
    pauses.first.checked_mul(1 << doublings).unwrap_or(pauses.longest).min(pauses.longest)
}

fn broken(said: &Progress) -> String {
    cut(&format!("the robot line broke down: {}", said.error))
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use artel_proto::order::{Order, OrderItem};

    use super::*;

    const PAUSES: Pauses = Pauses {
        look_again: TimeDelta::seconds(30),
        away: TimeDelta::seconds(2),
        first: TimeDelta::seconds(1),
        longest: TimeDelta::seconds(10),
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_434_800 + seconds, 0).unwrap()
    }

    fn paid() -> CookingJob {
        let dish =
            OrderItem { dish_id: "d".into(), name: "Борщ".into(), quantity: 2, ..OrderItem::default() };
        let product = OrderItem { product_id: "p".into(), quantity: 1, ..OrderItem::default() };
        let order = Order { items: vec![dish, product], board_number: 7, ..Order::default() };
        let event = OrderPaid {
            order_id: "o".into(),
            user_id: "u".into(),
            order: Some(order),
            ..OrderPaid::default()
        };
        job(&event, at(0)).unwrap()
    }

    fn said(state: State) -> Progress {
        let (start, finish) = match state {
            State::Queued => (None, None),
            State::Done => (Some(at(5)), Some(at(65))),
            _ => (Some(at(5)), None),
        };
        let error = if state == State::Broken { "arm stuck".to_owned() } else { String::new() };
        Progress { id: "j".into(), state, start, finish, error }
    }

    fn next(job: &CookingJob) -> i64 {
        job.next_time.unwrap().seconds - at(0).timestamp()
    }

    #[test]
    fn a_paid_order_is_cooked_dish_by_dish_and_goods_of_the_shop_are_not() {
        let job = paid();
        assert_eq!((job.lines.len(), job.lines[0].quantity, job.board_number), (1, 2, 7));
        assert!(!is_due(&job, at(1)) && is_due(&job, at(2)), "left for a moment to who heard of it");
        let event = OrderPaid { order: Some(Order::default()), ..OrderPaid::default() };
        assert_eq!(super::job(&event, at(0)), None);
    }

    #[test]
    fn an_order_is_told_to_be_preparing_once_and_ready_once_with_the_lines_times() {
        let queued = heard(&paid(), &said(State::Queued), &PAUSES, at(1)).unwrap();
        assert_eq!(
            (queued.job.attempts, queued.job.status(), next(&queued.job)),
            (1, CookingStatus::Queued, 31)
        );
        assert!(queued.preparing.is_none() && queued.ready.is_none());
        assert_eq!(heard(&queued.job, &said(State::Queued), &PAUSES, at(2)), None, "nothing changed");
        assert!(heard(&queued.job, &said(State::Queued), &PAUSES, at(31)).is_some(), "looked after again");

        let cooking = heard(&queued.job, &said(State::Cooking), &PAUSES, at(6)).unwrap();
        assert_eq!(cooking.job.start_time.unwrap().seconds, at(5).timestamp());
        assert_eq!(cooking.preparing.unwrap().start_time, cooking.job.start_time);
        let done = heard(&cooking.job, &said(State::Done), &PAUSES, at(66)).unwrap();
        assert!(done.preparing.is_none(), "told already");
        let ready = done.ready.unwrap();
        assert_eq!((ready.ready_time.unwrap().seconds, ready.board_number), (at(65).timestamp(), 7));
        assert_eq!((done.job.status(), done.job.next_time), (CookingStatus::Ready, None));
        for state in [State::Queued, State::Cooking, State::Broken, State::Done] {
            assert_eq!(heard(&done.job, &said(state), &PAUSES, at(200)), None, "ready is the end");
        }
        // Where the beginning was missed, both are told.
        let missed = heard(&paid(), &said(State::Done), &PAUSES, at(66)).unwrap();
        assert!(missed.preparing.is_some() && missed.ready.is_some());
        // A clock that goes backwards makes no order ready before it was begun.
        let odd = Progress { finish: Some(at(1)), ..said(State::Done) };
        let odd = heard(&cooking.job, &odd, &PAUSES, at(66)).unwrap().job;
        assert_eq!(odd.ready_time, odd.start_time);
    }

    #[test]
    fn after_a_breakdown_it_is_begun_again_with_growing_pauses() {
        let mut job = heard(&paid(), &said(State::Cooking), &PAUSES, at(6)).unwrap().job;
        let mut now = 10;
        for (attempts, pause) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (6, 10)] {
            let broken = said(State::Broken);
            assert!(!is_to_restart(&job, &broken, at(now)), "not written down yet");
            job = heard(&job, &broken, &PAUSES, at(now)).unwrap().job;
            assert_eq!((job.attempts, next(&job)), (attempts, now + pause));
            assert_eq!(job.error, "the robot line broke down: arm stuck");
            assert_eq!(heard(&job, &broken, &PAUSES, at(now)), None, "heard again");
            assert!(!is_to_restart(&job, &broken, at(now + pause - 1)));
            now += pause;
            assert!(is_to_restart(&job, &broken, at(now)));
            let claimed = claimed(&job, &PAUSES, at(now)).job;
            assert!(!is_to_restart(&claimed, &broken, at(now)), "another copy is at it");
            let again = heard(&claimed, &said(State::Cooking), &PAUSES, at(now)).unwrap();
            assert!(again.preparing.is_none() && again.job.error.is_empty());
            job = again.job;
        }
        assert_eq!(after_breakdown(i32::MAX, &PAUSES), PAUSES.longest);
    }

    #[test]
    fn a_line_that_is_away_is_asked_again_and_one_that_refuses_less_often() {
        let away = stuck(&paid(), &Trouble::Away("timeout".into()), &PAUSES, at(0)).job;
        assert_eq!((next(&away), away.error.as_str()), (2, "the robot line does not answer: timeout"));
        assert_eq!(away.attempts, 0, "it was never handed over");
        let refused = stuck(&away, &Trouble::Refused("no such dish".into()), &PAUSES, at(0)).job;
        assert_eq!((next(&refused), refused.error.as_str()), (10, "the robot line refuses: no such dish"));
        let taken = heard(&refused, &said(State::Queued), &PAUSES, at(11)).unwrap().job;
        assert_eq!((taken.attempts, taken.error.as_str()), (1, ""));
    }
}
