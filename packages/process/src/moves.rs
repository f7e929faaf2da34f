//! What follows from an outcome: the rules of a saga, pure.

use std::time::Duration;

use artel_proto::process::{Saga, SagaState};
use artel_repo::Commit;
use artel_util::Error;

use crate::outcome::Outcome;
use crate::refusal::keep;
use crate::rules::Rules;
use crate::table::{Kind, Process, Table};

/// What is recorded next.
pub(crate) struct Move<P: Process> {
    pub saga: Saga,
    pub subject: P::Subject,
    pub commit: Commit,
    /// How long to wait before the step is tried again; nothing where there is a next step or an end.
    pub pause: Option<Duration>,
}

/// How the saga goes on from here.
pub(crate) fn after<P: Process>(
    table: &Table<P>,
    saga: &Saga,
    subject: &P::Subject,
    outcome: Outcome<P>,
    rules: &Rules,
) -> Move<P> {
    let mut next = saga.clone();
    let back = saga.state() == SagaState::Undoing;
    let position = table.position(&saga.step).unwrap_or_default();
    let kind = table.steps.get(position).map_or(Kind::Forward, |step| step.kind);
    let turns = !back && kind != Kind::Forward;
    let error = match outcome {
        Outcome::Done(subject, commit) => {
            let then =
                if back { table.back(position, &subject) } else { table.onward(position + 1, &subject) };
            enter(&mut next, then.map(|step| step.name));
            return Move { saga: next, subject, commit, pause: None };
        }
        Outcome::Refused(error) if turns => {
            turn_around(table, &mut next, subject, kind, error);
            return Move { saga: next, subject: subject.clone(), commit: Commit::new(), pause: None };
        }
        Outcome::NotDone(error) => error,
        Outcome::Unknown(error) => {
            next.unsure = true;
            error
        }
        // It has to succeed whatever is said: somebody has to look.
        Outcome::Refused(error) => error,
    };
    if turns && saga.attempts >= rules.attempts {
        turn_around(table, &mut next, subject, kind, error);
        return Move { saga: next, subject: subject.clone(), commit: Commit::new(), pause: None };
    }
    next.last_error = error.to_string();
    let pause = Some(rules.pause(saga.attempts));
    Move { saga: next, subject: subject.clone(), commit: Commit::new(), pause }
}

/// Goes to a step, or to the end of the way.
fn enter(saga: &mut Saga, step: Option<&'static str>) {
    saga.last_error.clear();
    saga.unsure = false;
    saga.attempts = 1;
    saga.step = step.unwrap_or_default().to_owned();
    if step.is_none() {
        saga.attempts = 0;
        let end = if saga.state() == SagaState::Undoing { SagaState::Undone } else { SagaState::Done };
        saga.set_state(end);
    }
}

/// Goes back, from the step itself where it may have been done. One that is undone by key is undone even if it was refused:
/// a call that got lost on the way may still arrive.
fn turn_around<P: Process>(
    table: &Table<P>,
    saga: &mut Saga,
    subject: &P::Subject,
    kind: Kind,
    error: Error,
) {
    let position = table.position(&saga.step).unwrap_or_default();
    let with_itself = kind == Kind::Compensable || saga.unsure;
    let from = if with_itself { position + 1 } else { position };
    keep(saga, error);
    saga.set_state(SagaState::Undoing);
    enter(saga, table.back(from, subject).map(|step| step.name));
}
