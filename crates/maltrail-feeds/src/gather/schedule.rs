//! Work in parallel, within bounds: eight jobs at once, at most two of a host, results in order of the jobs
//! whatever ends first.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::sync::{Condvar, Mutex, PoisonError};

/// Jobs at once.
const AT_ONCE: usize = 8;
/// Jobs of a host at once.
const PER_HOST: usize = 2;

struct Queue {
    waiting: Vec<usize>,
    busy: BTreeMap<String, usize>,
}

impl Queue {
    /// The first job whose host has room.
    fn take(&mut self, hosts: &[String]) -> Option<usize> {
        let free = |job: &usize| {
            let busy = hosts.get(*job).and_then(|host| self.busy.get(host));
            busy.copied().unwrap_or(0) < PER_HOST
        };
        let at = self.waiting.iter().position(free)?;
        let job = self.waiting.remove(at);
        if let Some(host) = hosts.get(job) {
            *self.busy.entry(host.clone()).or_default() += 1;
        }
        Some(job)
    }

    fn done(&mut self, host: Option<&String>) {
        if let Some(count) = host.and_then(|host| self.busy.get_mut(host)) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Runs `work` for every job; `progress` hears the number of jobs done. A job that ends in a panic has no
/// result, the others have theirs.
pub(super) fn run<J: Sync, R: Send>(
    jobs: &[J],
    host: impl Fn(&J) -> String,
    work: impl Fn(&J) -> R + Sync,
    progress: &mut dyn FnMut(usize),
) -> Vec<Option<R>> {
    let hosts: Vec<String> = jobs.iter().map(host).collect();
    let queue = Mutex::new(Queue {
        waiting: (0..jobs.len()).collect(),
        busy: BTreeMap::new(),
    });
    let room = Condvar::new();
    let mut results: Vec<Option<R>> = jobs.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..AT_ONCE.min(jobs.len()) {
            let sender = sender.clone();
            let (hosts, queue, room, work) = (&hosts, &queue, &room, &work);
            scope.spawn(move || {
                while let Some(at) = next(queue, room, hosts) {
                    let result = jobs
                        .get(at)
                        .and_then(|job| catch_unwind(AssertUnwindSafe(|| work(job))).ok());
                    lock(queue).done(hosts.get(at));
                    room.notify_all();
                    if sender.send((at, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (done, (at, result)) in (1..).zip(receiver) {
            if let Some(place) = results.get_mut(at) {
                *place = result;
            }
            progress(done);
        }
    });
    results
}

fn lock(queue: &Mutex<Queue>) -> std::sync::MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next job; waits while all that are left are for hosts without room.
fn next(queue: &Mutex<Queue>, room: &Condvar, hosts: &[String]) -> Option<usize> {
    let mut held = lock(queue);
    loop {
        if held.waiting.is_empty() {
            return None;
        }
        if let Some(at) = held.take(hosts) {
            return Some(at);
        }
        held = room.wait(held).unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn hosts_have_two_at_once_and_results_their_order() {
        let jobs: Vec<usize> = (0..40).collect();
        let busy: Vec<AtomicUsize> = (0..4).map(|_| AtomicUsize::new(0)).collect();
        let most = AtomicUsize::new(0);
        let mut heard = Vec::new();
        let results = run(
            &jobs,
            |job| format!("host{}", job % 4),
            |job| {
                let now = busy[job % 4].fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(3));
                busy[job % 4].fetch_sub(1, Ordering::SeqCst);
                job * 2
            },
            &mut |done| heard.push(done),
        );
        assert_eq!(
            most.load(Ordering::SeqCst),
            PER_HOST,
            "never more, and used"
        );
        let wanted: Vec<Option<usize>> = (0..40).map(|job| Some(job * 2)).collect();
        assert_eq!(results, wanted);
        assert_eq!(heard, (1..=40).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_costs_its_job() {
        let results = run(
            &[1, 2, 3],
            |_| "host".to_owned(),
            |job| {
                assert!(*job != 2, "on purpose");
                *job
            },
            &mut |_| {},
        );
        assert_eq!(results, [Some(1), None, Some(3)]);
    }
}
