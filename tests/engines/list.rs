//! The list of tests, which the command line chooses from.

use std::process::ExitCode;
use std::sync::Arc;

use convoke::cpu::Pool;
use libtest_mimic::{Arguments, Failed, Trial};
use pollster::block_on;

use crate::suite::subject::Subject;

/// The engines that a test can run on.
#[derive(Clone, Copy)]
pub enum Engines {
    Cpu,
    #[cfg(feature = "gpu")]
    Gpu,
}

impl Engines {
    #[cfg(feature = "gpu")]
    pub const ALL: [Engines; 2] = [Engines::Cpu, Engines::Gpu];
    #[cfg(not(feature = "gpu"))]
    pub const ALL: [Engines; 1] = [Engines::Cpu];

    pub fn name(self) -> &'static str {
        match self {
            Engines::Cpu => "cpu",
            #[cfg(feature = "gpu")]
            Engines::Gpu => "gpu",
        }
    }

    /// Returns the engine, on the CPU with this number of threads.
    pub fn subject(self, threads: usize) -> Subject {
        match self {
            Engines::Cpu => Subject::cpu(Pool::new(threads)),
            #[cfg(feature = "gpu")]
            Engines::Gpu => Subject::gpu(&crate::gpu::DEVICE),
        }
    }
}

/// Tests by name.
pub struct List {
    arguments: Arguments,
    trials: Vec<Trial>,
}

impl List {
    pub fn from_args() -> Self {
        List { arguments: Arguments::from_args(), trials: vec![] }
    }

    /// Tells whether the command line leaves a test of this name in. Tests whose choice is expensive ask before they are
    /// added, because some runners start a process for each test.
    pub fn wants(&self, name: &str) -> bool {
        let matches = |pattern: &String| if self.arguments.exact { name == pattern } else { name.contains(pattern) };
        self.arguments.filter.as_ref().is_none_or(matches) && !self.arguments.skip.iter().any(matches)
    }

    /// Adds a test that passes with `Ok`.
    pub fn check(&mut self, name: impl Into<String>, test: impl FnOnce() -> Result<(), String> + Send + 'static) {
        self.trials.push(Trial::test(name, || test().map_err(Failed::from)));
    }

    /// Adds a test that passes unless it panics.
    pub fn test(&mut self, name: impl Into<String>, test: impl FnOnce() + Send + 'static) {
        self.check(name, || {
            test();
            Ok(())
        });
    }

    /// Adds a test on each engine, on the CPU with two threads, that passes unless it panics. The name is completed with
    /// the engine.
    pub fn on_each<T>(&mut self, name: &str, test: T)
    where
        T: AsyncFn(&Subject) + Send + Sync + 'static,
    {
        let test = Arc::new(test);
        for engine in Engines::ALL {
            let test = test.clone();
            self.test(format!("{}::{name}", engine.name()), move || block_on(test(&engine.subject(2))));
        }
    }

    /// Runs the chosen tests, or lists them.
    pub fn run(self) -> ExitCode {
        libtest_mimic::run(&self.arguments, self.trials).exit_code()
    }
}
