//! The commits that wait, in a line a workspace: bounded in number and in bytes. What groups under way touch is claimed by
//! them, and others that want it stay in the line, so that writers of this process never wait for each other in the
//! database.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use artel_util::Error;
use tonic::Code;
use uuid::Uuid;

use super::member::{Claim, Member, Needs};
use crate::failure::Failure;

/// What `config.toml` says of groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Groups under way at most.
    pub(crate) writers: usize,
    /// Groups of one workspace under way at most.
    pub(crate) lanes: usize,
    /// Commits in a group at most.
    pub(crate) group: usize,
    /// Bytes in a group at most; a commit beyond it goes alone.
    pub(crate) group_bytes: usize,
    /// How long a group waits for a row that somebody outside of this process has locked.
    pub(crate) lock: Duration,
    /// Commits at most that wait for such rows aside.
    pub(crate) aside: usize,
    /// Commits that wait at most.
    pub(crate) waiting: usize,
    /// Bytes that wait at most.
    pub(crate) waiting_bytes: usize,
}

/// When a caller that found the queue full may come again.
const COME_AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Queue {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lines: HashMap<Uuid, Line>,
    /// The workspaces whose lines wait for a writer, the one that waits longest first.
    ready: VecDeque<Uuid>,
    writers: usize,
    /// A group that touches rows of no workspace is under way; there is one such group at a time.
    global: bool,
    /// Rows that somebody outside has locked, and how many commits wait for each aside. Others that touch them stay in
    /// their lines until then.
    stuck: HashMap<Claim, usize>,
    count: usize,
    bytes: usize,
    /// The number of the last group.
    last: u64,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Member>,
    /// Groups under way by number and how many commits each has, and which of them claims what.
    groups: HashMap<u64, usize>,
    claimed: HashMap<Claim, u64>,
    /// No other group may be under way.
    is_exclusive: bool,
    is_ready: bool,
}

/// Commits of one workspace that go into one transaction, in the order in which they came.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) members: Vec<Member>,
    /// What [`Queue::done`] is told.
    pub(super) mark: Mark,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default() }
    }

    /// Puts a commit at the end of its line. True where a writer has to be started for it. RESOURCE_EXHAUSTED where too
    /// much waits already.
    pub(super) fn push(&self, member: Member) -> Result<bool, Error> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        let bounds = &self.bounds;
        if state.count >= bounds.waiting {
            return Err(full("commit_queue", &format!("{} commits wait", bounds.waiting)));
        }
        if state.count > 0 && state.bytes + member.size > bounds.waiting_bytes {
            return Err(full("commit_queue_mib", &format!("{} bytes of commits wait", state.bytes)));
        }
        state.count += 1;
        state.bytes += member.size;
        let workspace = member.caller.workspace;
        state.lines.entry(workspace).or_default().waiting.push_back(member);
        state.make_ready(workspace, bounds.lanes);
        tell_depth(state.count);
        Ok(state.starts(bounds))
    }

    /// Puts commits that had begun back to the beginning of their line.
    pub(super) fn put_back(&self, members: Vec<Member>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for member in members.into_iter().rev() {
            if member.is_late(Instant::now()) {
                member.tell(Err(Failure::Timeout.into()));
                continue;
            }
            member.put_back();
            state.count += 1;
            state.bytes += member.size;
            state.lines.entry(member.caller.workspace).or_default().waiting.push_front(member);
        }
        tell_depth(state.count);
    }

    /// Keeps commits that touch these rows in their lines.
    pub(super) fn stick(&self, rows: &[Claim]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter().for_each(|row| *state.stuck.entry(*row).or_default() += 1);
    }

    /// Ends that. True where a writer has to be started for those that waited.
    pub(super) fn unstick(&self, rows: &[Claim]) -> bool {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        for row in rows {
            if let Some(count) = state.stuck.get_mut(row) {
                *count -= 1;
            }
        }
        state.stuck.retain(|_, count| *count > 0);
        state.make_all_ready(self.bounds.lanes);
        state.starts(&self.bounds)
    }

    /// The next group for a writer; `None` ends the writer.
    pub(super) fn take(&self) -> Option<Group> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        let mut group = None;
        while let Some(workspace) = state.ready.pop_front() {
            let Some(line) = state.lines.get_mut(&workspace) else { continue };
            line.is_ready = false;
            if !line.is_worth_a_group() {
                continue;
            }
            let mut taken = Taken::new(&self.bounds, state.global, !line.groups.is_empty());
            // Who stays behind is not overtaken by others that want the same.
            let mut kept: HashSet<Claim> = HashSet::new();
            let mut at = 0;
            while let Some(member) = line.waiting.get(at) {
                let stays = |claim: &Claim| {
                    line.claimed.contains_key(claim)
                        || kept.contains(claim)
                        || state.stuck.contains_key(claim)
                };
                if member.claims.iter().any(stays) {
                    kept.extend(&member.claims);
                    at += 1;
                    continue;
                }
                if !taken.has_room_for(member) {
                    break;
                }
                let Some(member) = line.waiting.remove(at) else { break };
                state.count -= 1;
                state.bytes -= member.size;
                taken.add(member);
            }
            if !taken.members.is_empty() {
                state.last += 1;
                let mark = Mark { workspace, number: state.last, is_global: taken.is_global };
                let claims = taken.members.iter().flat_map(|member| &member.claims);
                line.claimed.extend(claims.map(|claim| (*claim, mark.number)));
                line.groups.insert(mark.number, taken.members.len());
                line.is_exclusive = taken.is_exclusive;
                state.global |= taken.is_global;
                group = Some(Group { members: taken.members, mark });
                state.make_ready(workspace, self.bounds.lanes);
                break;
            }
            // What remains waits for a group or a row.
            if line.waiting.is_empty() && line.groups.is_empty() {
                state.lines.remove(&workspace);
            }
        }
        state.writers -= usize::from(group.is_none());
        tell_depth(state.count);
        group
    }

    /// How many wait in the line of a group under way.
    pub(super) fn waiting(&self, mark: Mark) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.get(&mark.workspace).map_or(0, |line| line.waiting.len())
    }

    /// Those who came meanwhile and may join a group under way, which has so many commits and bytes: they want nothing
    /// that anybody else has or waits for, and nothing else is wrong with them, as `fits` says.
    pub(super) fn join(
        &self,
        mark: Mark,
        (count, bytes): (usize, usize),
        fits: impl Fn(&Member) -> bool,
    ) -> Vec<Member> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        let Some(line) = state.lines.get_mut(&mark.workspace) else { return Vec::new() };
        let mut taken = Taken { before: count, bytes, ..Taken::new(&self.bounds, false, false) };
        let (mut kept, mut brought) = (HashSet::<Claim>::new(), HashSet::<Claim>::new());
        let mut at = 0;
        while let Some(member) = line.waiting.get(at) {
            let stays = |claim: &Claim| {
                line.claimed.get(claim).is_some_and(|owner| *owner != mark.number)
                    || kept.contains(claim)
                    || state.stuck.contains_key(claim)
            };
            if member.claims.iter().any(stays) {
                kept.extend(&member.claims);
                at += 1;
                continue;
            }
            // Of what the group has or gets, only rows that are there already are shared.
            let own = || member.claims.iter().filter(|claim| !member.known_rows().any(|row| row == **claim));
            let is_free = |claim: &Claim| !line.claimed.contains_key(claim) && !brought.contains(claim);
            let is_new = member.known_rows().any(|row| brought.contains(&row));
            let joins = !member.hazards.is_global && !member.hazards.is_exclusive();
            // Nobody overtakes who cannot join: commits keep the order in which they came.
            if !joins || !fits(member) || is_new || !own().all(is_free) || !taken.has_room_for(member) {
                break;
            }
            brought.extend(own());
            let Some(member) = line.waiting.remove(at) else { break };
            state.count -= 1;
            state.bytes -= member.size;
            taken.add(member);
        }
        let claims = taken.members.iter().flat_map(|member| &member.claims);
        line.claimed.extend(claims.map(|claim| (*claim, mark.number)));
        if let Some(size) = line.groups.get_mut(&mark.number) {
            *size += taken.members.len();
        }
        tell_depth(state.count);
        taken.members
    }

    /// Counts commits that left their line and are done aside as waiting.
    pub(super) fn hold(&self, members: &[Member]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += members.len();
        state.bytes += members.iter().map(|member| member.size).sum::<usize>();
        tell_depth(state.count);
    }

    /// Ends that for commits of these sizes.
    pub(super) fn let_go(&self, sizes: impl IntoIterator<Item = usize>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for size in sizes {
            state.count -= 1;
            state.bytes -= size;
        }
        tell_depth(state.count);
    }

    /// Says that a group is done with, so that its line may be served again.
    pub(super) fn done(&self, mark: Mark) {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        if let Some(line) = state.lines.get_mut(&mark.workspace) {
            line.groups.remove(&mark.number);
            line.is_exclusive = false;
            line.claimed.retain(|_, number| *number != mark.number);
        }
        state.make_ready(mark.workspace, self.bounds.lanes);
        if mark.is_global {
            state.global = false;
            state.make_all_ready(self.bounds.lanes);
        }
    }
}

impl Line {
    /// Beside groups under way another is only begun when as many wait as those have: fewer cost less when they join one
    /// of them or wait for its end, and while little is to be done nobody waits.
    fn is_worth_a_group(&self) -> bool {
        self.waiting.len() >= self.groups.values().sum::<usize>()
    }
}

impl State {
    fn make_ready(&mut self, workspace: Uuid, lanes: usize) {
        let Some(line) = self.lines.get_mut(&workspace) else { return };
        if line.waiting.is_empty() {
            if line.groups.is_empty() {
                self.lines.remove(&workspace);
            }
        } else if line.groups.len() < lanes && !line.is_exclusive && !line.is_ready && line.is_worth_a_group()
        {
            line.is_ready = true;
            self.ready.push_back(workspace);
        }
    }

    fn make_all_ready(&mut self, lanes: usize) {
        let waiting: Vec<Uuid> = self.lines.keys().copied().collect();
        waiting.into_iter().for_each(|workspace| self.make_ready(workspace, lanes));
    }

    /// Whether a writer has to be started, which then counts as started.
    fn starts(&mut self, bounds: &Bounds) -> bool {
        let starts = !self.ready.is_empty() && self.writers < bounds.writers;
        self.writers += usize::from(starts);
        starts
    }
}

/// A group under way, as the queue knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    workspace: Uuid,
    number: u64,
    is_global: bool,
}

/// A group in the making.
struct Taken<'a> {
    bounds: &'a Bounds,
    global_is_taken: bool,
    /// Another group of the workspace is under way.
    has_neighbour: bool,
    /// How many it has already.
    before: usize,
    members: Vec<Member>,
    keys: HashSet<String>,
    needs: Needs,
    bytes: usize,
    is_global: bool,
    is_exclusive: bool,
    now: Instant,
}

impl<'a> Taken<'a> {
    fn new(bounds: &'a Bounds, global_is_taken: bool, has_neighbour: bool) -> Self {
        Self {
            bounds,
            global_is_taken,
            has_neighbour,
            before: 0,
            members: Vec::new(),
            keys: HashSet::new(),
            needs: Needs::default(),
            bytes: 0,
            is_global: false,
            is_exclusive: false,
            now: Instant::now(),
        }
    }

    fn has_room_for(&self, member: &Member) -> bool {
        if member.hazards.is_global && self.global_is_taken
            || member.hazards.is_exclusive() && self.has_neighbour
        {
            return false;
        }
        let count = self.before + self.members.len();
        count == 0
            || count < self.bounds.group
                && self.bytes + member.size <= self.bounds.group_bytes
                // The second of two with one key is answered by what became of the first.
                && !self.keys.contains(&member.batch.key)
                && !self.needs.is_mended_by(&member.hazards)
    }

    fn add(&mut self, member: Member) {
        metrics::histogram!("artel_persist_commit_wait_seconds").record(self.now - member.since);
        if !member.begin() {
            return;
        }
        if member.is_late(self.now) {
            return member.tell(Err(Failure::Timeout.into()));
        }
        self.keys.insert(member.batch.key.clone());
        self.needs.add(&member.hazards);
        self.bytes += member.size;
        self.is_global |= member.hazards.is_global;
        self.is_exclusive |= member.hazards.is_exclusive();
        self.members.push(member);
    }
}

fn full(limit: &str, what: &str) -> Error {
    Error::new(
        Code::ResourceExhausted,
        "COMMIT_QUEUE_FULL",
        format!("{what}, which is the limit persist.{limit}. Try again in a moment."),
    )
    .with("limit", format!("persist.{limit}"))
    .retry_after(COME_AGAIN)
}

fn tell_depth(count: usize) {
    metrics::gauge!("artel_persist_commit_queue").set(count as f64);
}
