//! Threads: a fork and join that costs a fraction of a microsecond.
//!
//! A run hands out task indices by `fetch_add`. Workers that find no run spin while they are kept awake, as they are
//! from the first step of an inference to its last, and else sleep after a while; a run wakes them but does not wait for
//! them: it waits only for those that joined in while tasks were left.

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Turns of the waiting loop before a worker goes to sleep, some 20 microseconds.
const SPINS: usize = 2000;

/// Set in [`Shared::state`] while a run has tasks left; below it stands the number of workers that joined, above it the
/// number of the run.
const OPEN: u64 = 1 << 31;
const NEXT_RUN: u64 = 1 << 32;

/// The function that a run calls with `(thread, task)`.
type Job<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Threads that engines share. Dropping the pool ends them.
pub struct Pool {
    shared: Arc<Shared>,
    threads: usize,
    #[cfg(not(target_family = "wasm"))]
    handles: Vec<std::thread::JoinHandle<()>>,
}

struct Shared {
    state: AtomicU64,
    next: AtomicUsize,
    tasks: AtomicUsize,
    job: UnsafeCell<Option<Job<'static>>>,
    /// One run at a time; a second caller works alone.
    running: Mutex<()>,
    /// Number of [`Awake`] guards.
    awake: AtomicUsize,
    /// Number of sleeping workers.
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    /// Number of workers that have called [`Pool::work`].
    arrived: AtomicUsize,
    /// True if a task panicked on a worker.
    failed: AtomicBool,
    stop: AtomicBool,
}

// SAFETY: `job` is written only by the holder of `running` while `state` has no joined worker, and read only by workers
// that joined, whom the writer waits for before it returns. Everything else is atomic.
unsafe impl Sync for Shared {}

// SAFETY: `job` refers to a function that is `Sync`, and its accesses are ordered as for `Sync` of this type.
unsafe impl Send for Shared {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Returns a pool that runs everything on the calling thread.
    pub fn single() -> Arc<Self> {
        Self::external(1)
    }

    /// Starts `threads - 1` threads, which work beside the calling thread. Where the system refuses a thread, the pool has
    /// fewer.
    #[cfg(not(target_family = "wasm"))]
    pub fn new(threads: usize) -> Arc<Self> {
        let shared = Arc::new(Shared::new());
        let spawn = |_| {
            let shared = shared.clone();
            std::thread::Builder::new().name("convoke".into()).spawn(move || shared.work())
        };
        // A machine that refuses a thread runs with fewer.
        let handles: Vec<_> = (1..threads.max(1)).map_while(|i| spawn(i).ok()).collect();
        Arc::new(Pool { shared, threads: handles.len() + 1, handles })
    }

    /// Returns [`Pool::external`]: on WebAssembly, threads are started from JavaScript.
    #[cfg(target_family = "wasm")]
    pub fn new(threads: usize) -> Arc<Self> {
        Self::external(threads)
    }

    /// Returns a pool of the calling thread and `threads - 1` others, each of which must call [`Pool::work`]. Runs do not
    /// wait for threads that have not called it.
    pub fn external(threads: usize) -> Arc<Self> {
        Arc::new(Pool {
            shared: Arc::new(Shared::new()),
            threads: threads.max(1),
            #[cfg(not(target_family = "wasm"))]
            handles: vec![],
        })
    }

    /// Works on the runs of a [`Pool::external`]; returns only when the pool is stopped.
    pub fn work(&self) {
        self.shared.work();
    }

    /// Returns the number of workers that have called [`Pool::work`] so far.
    pub fn arrived(&self) -> usize {
        self.shared.arrived.load(Ordering::Acquire)
    }

    /// Ends all workers, as dropping the pool does.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        drop(lock(&self.shared.sleep));
        self.shared.wake.notify_all();
    }

    /// Returns the number of threads that work on a run, the caller's included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Wakes the workers, and keeps them from sleeping between the runs to come: waking a worker takes as long as a small step.
    pub(crate) fn awake(&self) -> Awake<'_> {
        self.shared.awake.fetch_add(1, Ordering::SeqCst);
        self.shared.wake();
        Awake(&self.shared)
    }

    /// Calls `f` with each of `0..tasks`, on all threads; returns when all are done.
    ///
    /// # Panics
    /// If a call of `f` panics.
    pub fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        self.run_on(tasks, &|_, task| f(task));
    }

    /// Calls `f` with a thread, below [`Pool::threads`], and each of `0..tasks`; returns when all are done.
    pub(super) fn run_on(&self, tasks: usize, f: Job<'_>) {
        if self.threads > 1
            && tasks > 1
            && let Ok(_running) = self.shared.running.try_lock()
        {
            return self.shared.run(tasks, f);
        }
        (0..tasks).for_each(|task| f(0, task));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
        #[cfg(not(target_family = "wasm"))]
        for handle in self.handles.drain(..) {
            // A worker's panic was already reported by the run that it happened in.
            let _ = handle.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Shared {
    fn new() -> Self {
        Shared {
            state: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            tasks: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            running: Mutex::new(()),
            awake: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            arrived: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        }
    }

    /// Runs the tasks on the calling thread, which holds `running`, and on the workers that join.
    fn run(&self, tasks: usize, f: Job<'_>) {
        // SAFETY: only the lifetime changes. Close, at the end of this function even if `f` panics, lets no worker in
        // any more and waits until those inside are out, so that none uses `f` after this function.
        let job = unsafe { std::mem::transmute::<Job<'_>, Job<'static>>(f) };
        // SAFETY: `running` is held and the last run was closed: no worker reads `job` now.
        unsafe { *self.job.get() = Some(job) };
        self.next.store(0, Ordering::Relaxed);
        self.tasks.store(tasks, Ordering::Relaxed);
        let run = (self.state.load(Ordering::Relaxed) & !(NEXT_RUN - 1)).wrapping_add(NEXT_RUN);
        self.state.store(run | OPEN, Ordering::SeqCst);
        let close = Close(self);
        self.wake();
        self.take_tasks(0, f);
        drop(close);
        assert!(!self.failed.swap(false, Ordering::Relaxed), "a task panicked on another thread");
    }

    /// Ends the sleep of all workers.
    fn wake(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.sleep));
            self.wake.notify_all();
        }
    }

    fn take_tasks(&self, thread: usize, f: Job<'_>) {
        let tasks = self.tasks.load(Ordering::Relaxed);
        loop {
            let task = self.next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            f(thread, task);
        }
    }

    /// Joins one run after the other until the pool is stopped.
    fn work(&self) {
        let thread = 1 + self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut seen = 0;
        while !self.stop.load(Ordering::Acquire) {
            let state = self.state.load(Ordering::Acquire);
            if state / NEXT_RUN == seen {
                self.wait(seen);
            } else if state & OPEN == 0 {
                seen = state / NEXT_RUN;
            } else if self.state.compare_exchange_weak(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                seen = state / NEXT_RUN;
                let leave = Leave(self);
                // SAFETY: this worker joined, so the caller's writes are visible and it waits before it writes again.
                let job = unsafe { *self.job.get() };
                self.take_tasks(thread, job.expect("an open run has a job"));
                drop(leave);
            }
        }
    }

    /// Returns when a run after `seen` may have come: spins first, then sleeps.
    fn wait(&self, seen: u64) {
        let over = || self.state.load(Ordering::SeqCst) / NEXT_RUN != seen || self.stop.load(Ordering::Acquire);
        let awake = || self.awake.load(Ordering::SeqCst) > 0;
        let mut turns = 0;
        while turns < SPINS || awake() {
            if over() {
                return;
            }
            turns += 1;
            std::hint::spin_loop();
        }
        let mut guard = lock(&self.sleep);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !over() && !awake() {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Guard that keeps workers from sleeping.
pub(crate) struct Awake<'a>(&'a Shared);

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.0.awake.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Guard that ends a run: it closes the run and waits for the workers inside.
struct Close<'a>(&'a Shared);

impl Drop for Close<'_> {
    fn drop(&mut self) {
        // After a panic tasks are left; no worker may start them.
        self.0.next.store(usize::MAX / 2, Ordering::Relaxed);
        self.0.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut turns = 0;
        while self.0.state.load(Ordering::Acquire) & (OPEN - 1) != 0 {
            turns += 1;
            if turns % SPINS == 0 {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}

/// Guard that takes a worker out of a run.
struct Leave<'a>(&'a Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed.store(true, Ordering::Relaxed);
        }
        self.0.state.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in 1..=4 {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            for tasks in [0, 1, 2, 7, 100] {
                for _ in 0..200 {
                    let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    pool.run_on(tasks, &|thread, i| {
                        assert!(thread < threads);
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn workers_wake_up_and_runs_may_nest() {
        let pool = Pool::new(2);
        for _ in 0..3 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            let sum = AtomicUsize::new(0);
            pool.run(8, &|i| {
                pool.run(3, &|j| {
                    sum.fetch_add(i * 3 + j, Ordering::Relaxed);
                });
            });
            assert_eq!(sum.into_inner(), (0..24).sum::<usize>());
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        let pool = Pool::new(2);
        for _ in 0..10 {
            let run = || pool.run(50, &|i| assert!(i != 49, "expected in this test"));
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        }
        let count = AtomicUsize::new(0);
        pool.run(50, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 50);
    }

    #[test]
    fn external_workers_join() {
        let pool = Pool::external(3);
        std::thread::scope(|s| {
            (0..2).for_each(|_| {
                s.spawn(|| pool.work());
            });
            while pool.arrived() < 2 {
                std::thread::yield_now();
            }
            let count = AtomicUsize::new(0);
            pool.run(1000, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), 1000);
            pool.stop();
        });
    }
}
